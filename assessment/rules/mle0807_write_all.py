"""M8-07, second part: the pipeline's token may write everything, or nothing limits it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0807",
    part="permissions",
    name="write-all",
    step=8,
    severity=MEDIUM,
    title="The pipeline's token has all write permissions",
    why="Any step, and any action that it uses, can change code, releases and packages of the repository.",
    remedy="Start from `permissions: contents: read` and give single jobs what they need.",
    source="zizmor excessive-permissions",
    applies=lambda repo: any(workflow.system == "github" and workflow.jobs for workflow in repo.workflows),
)
def check(repo: Repo) -> Iterator[Hit]:
    written: list[Site] = []
    unlimited: list[Site] = []
    for workflow in repo.workflows:
        if workflow.system != "github" or not workflow.jobs or workflow.root is None:
            continue
        nodes = [workflow.root, *(job.node for job in workflow.jobs)]
        found = [node.get("permissions") for node in nodes if node is not None]
        written.extend(node.site() for node in found if node is not None and node.text == "write-all")
        if found[0] is None and any(node is None for node in found[1:]):
            unlimited.append(workflow.site())
    if written:
        yield Hit(written, anchor="write-all")
    if unlimited:
        yield Hit(
            unlimited,
            confidence="medium",
            title="Workflows do not limit the permissions of their token",
            why="The token gets what the repository's settings give, often write access, whatever the jobs need.",
            anchor="unlimited",
        )
