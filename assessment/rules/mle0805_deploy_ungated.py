"""M8-05: a push deploys without any job that ran tests before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, SeverityName, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.ci import Deployment
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.workflows import Job, Step, Workflow

_BY_HAND = frozenset(["release", "workflow_dispatch", "workflow_call", "repository_dispatch", "deployment", "create"])

_OF_A_TAG = re.compile(r"refs/tags|ref_type\s*==\s*'tag'|\btag IS present\b", re.I)


@rule(
    id="MLE0805",
    name="deploy-ungated",
    step=8,
    severity=HIGH,
    title="A push deploys without waiting for tests",
    why="The first place where a broken change is noticed is production.",
    remedy="Let the deploying job need a job that runs the tests, and put an approval before production.",
    source="seen in real repositories; ML Test Score, infrastructure 4",
    applies=lambda repo: any(_pushed(repo, workflow) for workflow in repo.workflows),
)
def check(repo: Repo) -> Iterator[Hit]:
    found: dict[tuple[str, SeverityName], list[Site]] = {}  # copies of one workflow are one cause
    for workflow in repo.workflows:
        ungated = [pushed for pushed in _pushed(repo, workflow) if not _gated(repo, *pushed)]
        if not ungated or _after_tests(repo, workflow):
            continue
        jobs = list(dict.fromkeys(job for job, _, _ in reversed(ungated)))  # the last one is what goes live
        what = ", ".join(dict.fromkeys(deployed.what for _, _, deployed in ungated))
        sites = found.setdefault((what, _severity(repo, workflow, jobs)), [])
        sites += [_waits(jobs[0]), *(deployed.site for _, _, deployed in reversed(ungated))]
    for (what, severity), sites in found.items():
        yield Hit(
            list(dict.fromkeys(sites)),
            severity=severity,
            title=f"A push deploys ({what}) without a job that ran tests before",
            anchor=sites[0].path,
        )


def _waits(job: Job) -> Site:
    """Where a job says what it waits for, or where it begins if it waits for nothing."""
    needs = job.node.get("needs") if job.node is not None else None
    return needs.site() if needs is not None else job.site()


def _pushed(repo: Repo, workflow: Workflow) -> list[tuple[Job, Step, Deployment]]:
    """What the workflow ships when something is pushed."""
    from ml_engineer.assessment.ci import deployments

    if not set(workflow.triggers) - _BY_HAND - {"pull_request", "schedule"}:
        return []
    return [found for found in deployments(repo, workflow) if not found[0].manual]


def _gated(repo: Repo, job: Job, step: Step, found: Deployment) -> bool:
    from ml_engineer.assessment.ci import is_unknown, runs_tests, tests

    for earlier in job.steps:
        if earlier is step:
            if _tests_first(repo, step, found):
                return True
            break
        if tests(repo, earlier) or is_unknown(earlier):
            return True
    before = list(job.before())
    return any(runs_tests(repo, other) is not None or any(map(is_unknown, other.steps)) for other in before)


def _tests_first(repo: Repo, step: Step, found: Deployment) -> bool:
    """Whether one step runs the tests and then ships, as `make test deploy` does."""
    from ml_engineer.assessment.ci import commands_of, is_test, ships

    for command in commands_of(repo, step):
        if is_test(repo, command):
            return True
        if ships(command) == found.what:
            return False
    return False


def _after_tests(repo: Repo, workflow: Workflow) -> bool:
    """Whether it starts when another workflow that runs tests has ended."""
    from ml_engineer.assessment.ci import tested_workflows

    node = workflow.triggers.get("workflow_run")
    listed = node.get("workflows") if node is not None else None
    names = set(listed.strings()) if listed is not None else set()
    for other in tested_workflows(repo):
        name = other.root.get("name") if other.root is not None else None
        if name is not None and name.text in names:
            return True
    return False


def _severity(repo: Repo, workflow: Workflow, jobs: list[Job]) -> SeverityName:
    """Medium where a person may stand between, or where tests run in another workflow at the same time."""
    from ml_engineer.assessment.ci import tested_workflows

    elsewhere = [w for w in tested_workflows(repo) if w is not workflow]
    if all(job.environment is not None for job in jobs) or (elsewhere and workflow not in tested_workflows(repo)):
        return MEDIUM
    push = workflow.triggers.get("push")
    only_tags = push is not None and push.get("tags") is not None and push.get("branches") is None
    only_tags = only_tags or all(_OF_A_TAG.search(job.condition) for job in jobs)
    return MEDIUM if only_tags else HIGH
