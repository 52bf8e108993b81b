"""M5-19: the container runs as root."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Dockerfile, Stage
    from ml_engineer.assessment.repo import Repo

# Images whose own user is not root, or whose platform chooses the user.
_NOT_ROOT = re.compile(
    r"nonroot|rootless|unprivileged|chainguard|cgr\.dev|bitnami/|jupyter/|(^|/)lambda/|aws-lambda|apache/airflow|"
    r"apache/spark|bentoml|ubi\d*/python|sclorg|torchserve|grafana/|prom/|airflow|astro-runtime|selenium/|"
    r"openshift|elasticsearch|jenkins/jenkins|sbtscala",
    re.I,
)
_INSTALLS = re.compile(r"(^|[&|;]\s*|\s)(apt(-get)?|apk|yum|dnf|microdnf)\s+(-\S+\s+)*(install|add)\b")
_DROPS = re.compile(r"\b(gosu|su-exec|setpriv|runuser|chroot --userspec)\b")
_DEVELOPMENT = re.compile(r"(^|/)\.devcontainer/|(^|/)\.gitpod|[._-]dev(\.|$)|(^|/)\.binder/", re.I)


@rule(
    id="MLE0519",
    name="image-root",
    step=5,
    severity=MEDIUM,
    title="The container runs as root",
    why="Whoever breaks into the process is root in the container, with one bug less to find on the way to the host.",
    remedy="Create a user in the image and end with `USER 10001`; let it own only the folders the service writes.",
    source="checkov CKV_DOCKER_3; Docker build best practices",
    applies=lambda repo: any(_shipped(docker) for docker in repo.dockerfiles),
)
def check(repo: Repo) -> Iterator[Hit]:
    for docker in repo.dockerfiles:
        final = docker.final
        if final is None or not _shipped(docker) or not _is_root(repo, final):
            continue
        if final.user is not None:
            yield Hit([final.user.site()], title="The image is told to run as root")
        else:
            yield Hit([final.start.site()], title="The image sets no USER, so the container runs as root")


def _shipped(docker: Dockerfile) -> bool:
    return docker.final is not None and "test" not in docker.file.roles and not _DEVELOPMENT.search(docker.path)


def _is_root(repo: Repo, final: Stage) -> bool:
    if final.user is not None:
        name = final.user.words[0].partition(":")[0] if final.user.words else ""
        return name in ("root", "0") and not _drops(repo, final)
    image = final.image
    if image.text == "scratch" or _NOT_ROOT.search(image.text):
        return False
    if not image.known:  # what installs packages of the system is root, and stays so
        return any(_INSTALLS.search(run.script) for run in final.inherited("RUN")) and not (
            _drops(repo, final) or _needs_sudo(final)
        )
    return not _drops(repo, final) and not _needs_sudo(final)


def _needs_sudo(final: Stage) -> bool:
    """Whether a build step asks for root: the base image has set another user."""
    return any(re.search(r"(^|[&|;]\s*)sudo\s", run.script) for run in final.inherited("RUN"))


def _drops(repo: Repo, final: Stage) -> bool:
    """Whether the start command, or the script it runs, gives up root."""
    words = " ".join(final.start_words)
    if _DROPS.search(words):
        return True
    names = {word.rsplit("/", 1)[-1] for word in final.start_words if word.endswith(".sh") or "entrypoint" in word}
    return any(_DROPS.search(file.text) for file in repo.files.values() if file.name in names)
