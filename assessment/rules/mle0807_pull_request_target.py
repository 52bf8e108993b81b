"""M8-07, fourth part: a stranger's code is checked out in a pipeline that has the repository's secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_HEAD = re.compile(r"pull_request\.head\.(sha|ref)|github\.head_ref|refs/pull/|workflow_run\.head_(sha|branch)")


@rule(
    id="MLE0807",
    part="pull-request-target",
    name="pull-request-target",
    step=8,
    severity=HIGH,
    title="Code of a pull request runs with the repository's secrets",
    why="`pull_request_target` gives the job secrets and a writing token, and the checkout brings a stranger's code.",
    remedy="Use `pull_request` for whatever runs the code, and keep `pull_request_target` to labels and comments.",
    source="zizmor dangerous-triggers; GitHub Security Lab",
    applies=lambda repo: any("pull_request_target" in workflow.triggers for workflow in repo.workflows),
)
def check(repo: Repo) -> Iterator[Hit]:
    for workflow in repo.workflows:
        if "pull_request_target" not in workflow.triggers:
            continue
        for job in workflow.jobs:
            for position, step in enumerate(job.steps):
                given = step.inputs.get("ref") if (step.uses or "").startswith("actions/checkout") else None
                if given is not None and _HEAD.search(given.text):
                    runs = any(later.lines for later in job.steps[position + 1 :])
                    approved = any(other.environment is not None for other in (job, *job.before()))
                    yield Hit([given.site(), step.site()], severity=HIGH if runs and not approved else MEDIUM)
