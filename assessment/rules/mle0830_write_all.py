"""M8-07, second part: the pipeline's token may write everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0830",
    name="write-all",
    step=8,
    severity=MEDIUM,
    title="The pipeline's token has all write permissions",
    why="Any step, and any action that it uses, can change code, releases and packages of the repository.",
    remedy="Start from `permissions: contents: read` and give single jobs what they need.",
    source="zizmor excessive-permissions",
    applies=lambda repo: any(workflow.system == "github" for workflow in repo.workflows),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    for workflow in repo.workflows:
        nodes = [workflow.root, *(job.node for job in workflow.jobs)] if workflow.system == "github" else []
        for node in nodes:
            permissions = node.get("permissions") if node is not None else None
            if permissions is not None and permissions.text == "write-all":
                sites.append(permissions.site())
    if sites:
        yield Hit(sites, anchor="write-all")
