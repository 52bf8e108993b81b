"""M8-06: actions, runners and commands that CI services have switched off (high) or are about to (medium)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.manifests import Node
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.workflows import Job, Step

# Majors below this one fail at once: the service behind them is switched off.
_DEAD = {"actions/upload-artifact": 4, "actions/download-artifact": 4, "actions/cache": 3}
# Majors below this one run on a Node.js that runners no longer have; they are forced onto another one, with warnings.
_OLD = {
    "actions/checkout": 3, "actions/setup-python": 3, "actions/setup-node": 3, "docker/build-push-action": 3,
    "docker/login-action": 2, "docker/setup-buildx-action": 2, "aws-actions/configure-aws-credentials": 2,
    "aws-actions/amazon-ecr-login": 2, "codecov/codecov-action": 3, "actions/create-release": 2,
    "actions/upload-release-asset": 2, "actions/setup-java": 3, "azure/login": 2, "conda-incubator/setup-miniconda": 3,
}  # fmt: skip
_RUNNERS = re.compile(r"^(ubuntu-(16\.04|18\.04|20\.04)|macos-(10\.15|11|12|13)|windows-(2016|2019)|vs2017-win2016)$")
_CURRENT = re.compile(r"^(ubuntu-(latest|24\.04|26\.04)|macos-(latest|14|15))$")
_GONE_PYTHON = re.compile(r"^(2\.7|3\.[4-7])(\.\d+)?$")
_COMMANDS = re.compile(r"::(set-output|save-state|set-env|add-path)\b")
_PAGES = re.compile(r"(^|[_.-])(docs?|documentation|pages|sphinx|mkdocs|stale|labell?er)([_.-]|$)", re.I)
_STOPPED = re.compile(r"::(set-env|add-path)\b")


@rule(
    id="MLE0806",
    name="retired-actions",
    step=8,
    severity=HIGH,
    title="The pipeline uses what its CI service has switched off",
    why="The job fails before it does anything, so nothing is tested or shipped by it any more.",
    remedy="Move to the current major of the action, a current runner image and a supported Python; pin by commit.",
    source="GitHub changelog: deprecation notices",
    applies=lambda repo: any(workflow.system == "github" and workflow.jobs for workflow in repo.workflows),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.ci import tested_workflows

    dead: list[tuple[str, Site]] = []
    old: list[tuple[str, Site]] = []
    can_wait = True  # what is dead makes pages of documentation only
    for workflow in repo.workflows:
        before = len(dead)
        for job in workflow.jobs if workflow.system == "github" else ():
            dead.extend(_runtime(job))
            for step in job.steps:
                dead.extend(_action(step, _DEAD))
                old.extend(_action(step, _OLD))
                for number, line in step.lines:
                    if _STOPPED.search(line):
                        dead.append(("a switched-off workflow command", step.file.site(number)))
                    elif _COMMANDS.search(line):
                        old.append(("a deprecated workflow command", step.file.site(number)))
        if len(dead) > before and (not _PAGES.search(workflow.file.name) or workflow in tested_workflows(repo)):
            can_wait = False
    if dead:
        names = ", ".join(dict.fromkeys(name for name, _ in dead))
        title = f"The pipeline uses what is switched off: {names}"
        yield Hit(_sites(dead), severity=MEDIUM if can_wait else HIGH, title=title, anchor="dead")
    if old:
        names = ", ".join(dict.fromkeys(name for name, _ in old))
        yield Hit(
            _sites(old),
            severity=MEDIUM,
            confidence="medium",
            title=f"The pipeline uses retired actions: {names}",
            why="They were written for a runtime that runners have dropped: they start with warnings as yet.",
            anchor="old",
        )


def _sites(found: list[tuple[str, Site]]) -> list[Site]:
    return list(dict.fromkeys(site for _, site in found))


def _action(step: Step, table: dict[str, int]) -> Iterator[tuple[str, Site]]:
    name, _, version = (step.uses or "").partition("@")
    key = "/".join(name.split("/")[:2]).lower()
    major = re.match(r"v?(\d+)", version)
    if key in table and major and len(version) < 12 and int(major[1]) < table[key]:
        yield f"{name}@{version}", step.site()


def _runtime(job: Job) -> Iterator[tuple[str, Site]]:
    """A runner image that is gone, and a Python that the current images do not offer."""
    labels = _values(job, "runs-on")
    for label, site in labels:
        if _RUNNERS.match(label):
            yield f"runner {label}", site
    on_current = bool(labels) and all(_CURRENT.match(label) for label, _ in labels)
    for step in job.steps if on_current else ():
        if (step.uses or "").startswith("actions/setup-python@") and (node := step.inputs.get("python-version")):
            for version, site in _filled_in(job, node):
                if _GONE_PYTHON.match(version.strip()):
                    yield f"Python {version.strip()} on {labels[0][0]}", site


def _values(job: Job, key: str) -> list[tuple[str, Site]]:
    """The labels of a job, those of its matrix included."""
    node = job.node.get(key) if job.node is not None else None
    return _filled_in(job, node) if node is not None else []


def _filled_in(job: Job, node: Node) -> list[tuple[str, Site]]:
    """The texts of a value or of a list, a variable of the matrix replaced by what it stands for."""
    if job.node is None:
        return []
    found: list[tuple[str, Site]] = []
    for item in node.items if node.kind == "list" else [node]:
        variable = re.fullmatch(r"\$\{\{\s*matrix\.([\w-]+)\s*\}\}", item.text)
        listed = job.node.get("strategy", "matrix", variable[1]) if variable else None
        if listed is not None:
            found.extend((value.text, value.site()) for value in listed.items)
        else:
            found.append((item.text, item.site()))
    return found
