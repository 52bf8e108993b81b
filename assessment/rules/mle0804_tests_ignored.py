"""M8-04: the tests run, and their failure changes nothing; or a step only says that they run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.commands import Command
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.workflows import Job, Step

_SWALLOWED = re.compile(
    r"\|\|\s*(true|:|exit\s+0|echo\b|/bin/true)|;\s*(true|exit\s+0)\s*$|--exit-zero|--suppress-tests"
)
_TEST_NAME = re.compile(r"\b(unit|integration|e2e|regression|smoke)?[\s_-]*tests?\b|\bpytest\b", re.I)
_NOT_A_TEST = re.compile(
    r"\b(report|result|coverage|upload|publish|install|setup|set up|deploy|docs?|artifact)\w*", re.I
)
_UNRELEASED = re.compile(
    r"nightly|nightlies|\bpre-?releases?\b|\binstall\b.*\s--pre\b|\bexperimental\b|\bcanary\b|\bnon-?blocking\b|\bupstream\b",
    re.I,
)
_SAYS = re.compile(r"^(echo|printf|true|:|#|Write-Host|Write-Output)\b|^#")


@rule(
    id="MLE0804",
    name="tests-ignored",
    step=8,
    severity=HIGH,
    title="A failing test does not fail the pipeline",
    why="The pipeline is green whatever the tests say, so nobody looks and broken code ships with a good conscience.",
    remedy="Let the test step fail; mark single known failures as expected in the tests themselves.",
    source="seen in real repositories",
    applies=lambda repo: any(workflow.jobs for workflow in repo.workflows),
)
def check(repo: Repo) -> Iterator[Hit]:
    swallowed: list[Site] = []
    pretended: list[Site] = []
    for workflow in repo.workflows:
        for job in workflow.jobs:
            for step in job.steps:
                swallowed.extend(_swallowed(repo, job, step))
                if _pretends(step):
                    pretended.append(step.site())
    if swallowed:
        yield Hit(list(dict.fromkeys(swallowed)), anchor="swallowed")
    if pretended:
        yield Hit(
            pretended,
            title="A CI step named after tests only prints a line",
            why="The pipeline shows a test step in green and tests nothing.",
            remedy="Run the tests in this step, or remove it.",
            anchor="pretended",
        )


def _swallowed(repo: Repo, job: Job, step: Step) -> Iterator[Site]:
    from ml_engineer.assessment.ci import commands_of, is_test

    commands = [c for c in commands_of(repo, step, expand=False) if _leads_to_test(repo, c)]
    if not commands:
        return
    for command in commands:
        inner = [c for c in repo.commands.expand(command) if is_test(repo, c)]
        for found in [command, *inner]:
            if _SWALLOWED.search(found.text) and (found is not command or _own(found.text)):
                yield found.site
                break
    for node in (step.may_fail, job.may_fail):
        if node is not None and node.truth() is True and not _tries_what_comes(job, step):
            yield node.site()


def _tries_what_comes(job: Job, step: Step) -> bool:
    """Whether the tests run on unreleased versions: their failure is news of what will come, and no reason to stop."""
    told = [job.name, step.name, *(text for other in job.steps for _, text in other.lines)]
    return any(_UNRELEASED.search(text) for text in told)


def _leads_to_test(repo: Repo, command: Command) -> bool:
    from ml_engineer.assessment.ci import is_test

    return any(is_test(repo, inner) for inner in repo.commands.expand(command))


def _own(text: str) -> bool:
    """Whether what is swallowed is the test run, not a command before or after it on the same line."""
    part = _SWALLOWED.search(text)
    before = text[: part.start()] if part else text
    return re.search(r"test|tox|nox|check|make|just", re.split(r"&&|;", before)[-1], re.I) is not None


def _pretends(step: Step) -> bool:
    """Whether a step is named after tests and does nothing but print."""
    if not step.lines or not _TEST_NAME.search(step.name) or _NOT_A_TEST.search(step.name):
        return False
    return all(_SAYS.match(text.strip()) for _, text in step.lines) and not any("$" in t for _, t in step.lines)
