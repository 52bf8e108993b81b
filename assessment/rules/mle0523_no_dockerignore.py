"""M5-23, second half: the whole folder goes into the image, and no .dockerignore keeps anything out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Copy, Dockerfile
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0523",
    part="dockerignore",
    name="no-dockerignore",
    step=5,
    severity=LOW,
    title="The whole folder is copied into the image and there is no .dockerignore",
    why="Git history, data, notebooks and local secrets end up in the image: it is large and it leaks.",
    remedy="Add a .dockerignore that names .git, data, models, notebooks, environments and .env files.",
    source="Docker build context documentation",
    applies=lambda repo: any(_whole(docker) for docker in repo.dockerfiles),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.buildcontext import ignore_of

    for docker in repo.dockerfiles:
        copy = _whole(docker)
        if copy is None or any(ignore_of(repo, docker, context) is not None for context in docker.contexts):
            continue
        wanted = [f"{context}/.dockerignore".lstrip("/") for context in docker.contexts]
        yield Hit([repo.missing(copy.instruction.site(), [".dockerignore"], wanted)])


def _whole(docker: Dockerfile) -> Copy | None:
    if docker.final is None or "test" in docker.file.roles:
        return None
    copies = [copy for stage in docker.stages for copy in stage.copies if copy.stage is None]
    return next((copy for copy in copies if set(copy.sources) & {".", "./", "/"}), None)
