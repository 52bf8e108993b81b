"""M8-02: there is CI, and no step of it runs tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.workflows import Workflow


@rule(
    id="MLE0802",
    name="ci-no-tests",
    step=8,
    severity=HIGH,
    title="The CI pipeline runs no tests",
    why="A green pipeline says only that the steps ran: a change that breaks the model or the service passes.",
    remedy="Add a job that runs the test suite on every push and pull request, and let the others need it.",
    source="Microsoft MLOps maturity level 1",
    applies=lambda repo: any(workflow.jobs for workflow in repo.workflows),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.ci import is_hidden, tested_workflows

    workflows = [w for w in repo.workflows if w.jobs]
    if tested_workflows(repo) or any(map(is_hidden, workflows)):
        return
    first = min(workflows, key=_rank)
    searched = ["pytest", "unittest", "tox", "nox", "make test", "and what tasks and scripts lead to"]
    yield Hit([repo.missing(first.site(), searched, [w.file for w in workflows])], anchor="tests")


def _rank(workflow: Workflow) -> tuple[int, str]:
    """Pipelines that run on a change come first: there the tests belong."""
    runs_on_change = bool({"push", "pull_request", "merge_request"} & set(workflow.triggers))
    return 0 if runs_on_change else 1, workflow.file.path
