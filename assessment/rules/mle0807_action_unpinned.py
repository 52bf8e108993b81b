"""M8-07, first part: actions named by a tag that its owner can move."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.workflows import Workflow

_SHA = re.compile(r"^[0-9a-f]{40}$")
_FIRST_PARTY = re.compile(r"^(actions|github)/", re.I)


@rule(
    id="MLE0807",
    name="action-unpinned",
    step=8,
    severity=MEDIUM,
    title="Actions of third parties are named by a tag, not by a commit",
    why="Whoever takes over such an action runs code with the pipeline's secrets: it has happened, by moved tags.",
    remedy="Name the full commit, with the version as a comment, and let a bot raise it.",
    source="zizmor unpinned-uses; GitHub security hardening guide",
    applies=lambda repo: any(step.uses for workflow in _github(repo) for step in workflow.steps),
)
def check(repo: Repo) -> Iterator[Hit]:
    third: dict[Site, str] = {}
    first: dict[Site, str] = {}
    for workflow in _github(repo):
        for step in workflow.steps:
            name, _, version = (step.uses or "").partition("@")
            if not name or name.startswith(("./", "docker://")) or "$" in name or _SHA.match(version):
                continue
            (first if _FIRST_PARTY.match(name) else third)[step.site()] = f"{name}@{version}"
    if third:
        names = ", ".join(dict.fromkeys(third.values()))
        yield Hit(list(third), title=f"Actions of third parties are not pinned to a commit: {names}", anchor="third")
    elif first:
        yield Hit(
            list(first),
            severity=LOW,
            title="Actions of the platform's own makers are named by a tag, not by a commit",
            anchor="first",
        )


def _github(repo: Repo) -> list[Workflow]:
    return [workflow for workflow in repo.workflows if workflow.system == "github"]
