"""What the servers' answers look like: models whose JSON Schemas are in docs/schema.

A review's whole report is large and is fetched by its run; an answer holds what a calling agent needs to decide what to
do next, and where the rest is.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from ml_engineer.report.schema import (
    SECTION_FIELDS,
    STEP_NAMES,
    ClaimState,
    Finding,
    Handoff,
    Measurement,
    Report,
    Severity,
)
from ml_engineer.report.summary import rank, spent, summarise
from ml_engineer.report.text import plural, where

_MAX_PLACES = 5  # places of one finding in an answer; the report has all
_OPEN = (ClaimState.ABSENT, ClaimState.UNKNOWN)


class Result(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FindingItem(Result):
    """One root cause."""

    rule: str
    step: int
    severity: str
    confidence: str
    title: str
    why: str
    remedy: str
    places: list[str] = Field(description=f"path:line, the first {_MAX_PLACES}")
    peers: list[str]
    fingerprint: str

    @classmethod
    def of(cls, finding: Finding) -> FindingItem:
        places = list(dict.fromkeys(where(item) for item in finding.evidence))
        return cls(
            places=places[:_MAX_PLACES],
            severity=finding.severity.value,
            confidence=finding.confidence.value,
            **finding.model_dump(include={"rule", "step", "title", "why", "remedy", "peers", "fingerprint"}),
        )


class StepReadiness(Result):
    step: int
    name: str
    state: str = Field(description="done, skipped, deferred or failed")
    readiness: int | None = Field(description="percentage of the applicable checks that hold; null where none applies")


class HandoffItem(Result):
    """A question for a peer agent."""

    peer: str
    cue: str
    question: str
    why: str = Field(description="which cues fired, and on what evidence")
    expected: str
    state: str = Field(description="queued, answered, declined or failed")
    answer: str = ""

    @classmethod
    def of(cls, handoff: Handoff) -> HandoffItem:
        return cls(
            peer=handoff.peer,
            cue=handoff.cue,
            question=handoff.question,
            why=handoff.context,
            expected=handoff.expected,
            state=handoff.state.value,
            answer=handoff.reply.answer if handoff.reply is not None else "",
        )


class ReviewResult(Result):
    """The answer before the detail. The sealed report is the resource `report_uri`."""

    run_id: str
    repository: str
    revision: str | None
    what: str = Field(description="what kind of model, deployment and serving this is")
    coverage: str = Field(description="complete or partial")
    gaps: list[str] = Field(description="why the coverage is partial")
    readiness: int | None = Field(description="percentage of the applicable checks that hold")
    ml_test_score: float
    maturity: str
    by_severity: dict[str, int]
    findings_total: int
    fix_first: list[FindingItem]
    steps: list[StepReadiness]
    handoffs: list[HandoffItem]
    model: str | None = Field(description="the model that was asked, or null: without a model")
    cost: str = Field(description="what was spent, empty where nothing was")
    digest: str = Field(description="of the sealed report")
    report_uri: str
    markdown_uri: str

    @classmethod
    def of(cls, report: Report) -> ReviewResult:
        summary = summarise(report)
        return cls(
            run_id=report.run.id,
            repository=report.repository.name,
            revision=report.repository.revision,
            what=summary.what,
            coverage=report.coverage.state,
            gaps=summary.gaps,
            readiness=summary.readiness,
            ml_test_score=report.score.ml_test_score,
            maturity=report.score.maturity,
            by_severity={severity.value: count for severity, count in summary.by_severity.items()},
            findings_total=len(report.findings),
            fix_first=[FindingItem.of(finding) for finding in summary.fix_first],
            steps=_readiness(report),
            handoffs=[HandoffItem.of(one) for one in report.handoffs],
            model=report.run.model,
            cost=spent(report.usage),
            digest=report.digest,
            **_uris(report),
        )


class FindingList(Result):
    run_id: str
    total: int = Field(description="findings that match")
    findings: list[FindingItem] = Field(description="worst first")
    next_offset: int | None = Field(description="where the next page starts; null at the end")

    @classmethod
    def of(
        cls,
        report: Report,
        *,
        severity: str | None,
        step: int | None,
        rule: str | None,
        path: str | None,
        offset: int,
        limit: int,
    ) -> FindingList:
        """Findings at or above `severity`, of the step, of the rule, that have a place in a path that begins so."""
        matching = [
            finding
            for finding in rank(report.findings)
            if (severity is None or finding.severity.rank <= Severity(severity).rank)
            and (step is None or finding.step == step)
            and (rule is None or finding.rule == rule.upper())
            and (path is None or any(where(item).startswith(path) for item in finding.evidence))
        ]
        end = offset + limit
        return cls(
            run_id=report.run.id,
            total=len(matching),
            findings=[FindingItem.of(finding) for finding in matching[offset:end]],
            next_offset=end if end < len(matching) else None,
        )


class RuleItem(Result):
    id: str
    name: str
    step: int
    step_name: str
    severity: str
    title: str
    why: str
    remedy: str
    rests_on: str
    peers: list[str]


class RuleList(Result):
    """A rule; several where one id has parts."""

    rules: list[RuleItem]


class Action(Result):
    """One thing to do."""

    title: str
    remedy: str
    severity: str
    rule: str
    places: list[str]
    done_when: str


class PlannedWork(Result):
    """One step of the workflow: what to do in it, and what the repository leaves open."""

    step: int
    name: str
    readiness: int | None
    actions: list[Action] = Field(description="worst first; one an open rule")
    open_fields: list[str] = Field(description="fields of the report that the repository does not answer")
    ask: list[str] = Field(description="peers that the step's questions go to")


class ProductionPlan(Result):
    """The way from what was found to production, in the order of the ten steps. Made from a review, without a model."""

    run_id: str
    repository: str
    readiness: int | None
    first: list[str] = Field(description="what to do before anything else, worst first")
    steps: list[PlannedWork]
    handoffs: list[HandoffItem]

    @classmethod
    def of(cls, report: Report) -> ProductionPlan:
        summary = summarise(report)
        return cls(
            run_id=report.run.id,
            repository=report.repository.name,
            readiness=summary.readiness,
            first=[f"{finding.title} ({finding.rule}): {finding.remedy}" for finding in summary.fix_first],
            steps=[_planned(report, step) for step in STEP_NAMES],
            handoffs=[HandoffItem.of(one) for one in report.handoffs],
        )


class Routes(Result):
    """Which peers a task is for, decided by the routing graph, without a model."""

    task: str
    run_id: str | None
    handoffs: list[HandoffItem] = Field(description="empty: no peer is needed")


class Implemented(Result):
    """What an implementation left: a branch of its own in the repository."""

    run_id: str
    repository: str
    branch: str | None
    coverage: str = Field(description="complete, or partial where checks failed at the end")
    steps: list[str] = Field(description="how each step that was planned ended")
    notes: list[str]
    findings_left: int
    cost: str
    report_uri: str
    markdown_uri: str
    next: str = Field(description="how the user brings it in")

    @classmethod
    def of(cls, report: Report) -> Implemented:
        branch = next((n.removeprefix("branch: ") for n in report.run.notes if n.startswith("branch: ")), None)
        ended = [
            f"{record.step} {record.name}: {record.state.value}"
            + (f", {plural(len(record.changes), 'file')}" if record.changes else "")
            + (f" ({record.reason})" if record.reason else "")
            for record in report.steps
            if record.changes or record.reason
        ]
        return cls(
            run_id=report.run.id,
            repository=report.repository.name,
            branch=branch,
            coverage=report.coverage.state,
            steps=ended,
            notes=report.run.notes,
            findings_left=len(report.findings),
            cost=spent(report.usage),
            next=f"ml-engineer runs apply {report.run.id} (or with --patch, to see it first)",
            **_uris(report),
        )


class Answer(Result):
    """The model's answer to a question about a repository."""

    run_id: str
    text: str
    ended: str = Field(description="finished, or what ended it early")
    cost: str


class Figures(Result):
    """What was measured. `record` and each figure's record are files below `folder`."""

    measurements: list[Measurement]
    record: str = Field(description="the raw figures")
    level: str = Field(description="of the sandbox in which it ran")
    changed: list[str] = Field(description="files of the repository that it changed")
    method: str
    failures: dict[str, int] | None = Field(default=None, description="of a benchmark: requests that failed, by reason")
    model: str | None = Field(default=None, description="of a model: the class that was loaded")
    output: str | None = Field(default=None, description="of a training: the end of what it printed")
    folder: str = Field(description="where the records are kept")


class Measured(Result):
    text: str = Field(description="the figures for a reader, with what not to conclude from them")
    figures: Figures


class RunItem(Result):
    run_id: str
    mode: str
    state: str = Field(description="finished, running, interrupted, or open: a conversation")
    target: str
    started: str


class RunList(Result):
    """Runs of repositories that this server may use, latest first."""

    runs: list[RunItem]


def _uris(report: Report) -> dict[str, str]:
    return {"report_uri": f"report://{report.run.id}", "markdown_uri": f"report://{report.run.id}/markdown"}


def _readiness(report: Report) -> list[StepReadiness]:
    scores = {score.step: score.readiness for score in report.score.steps}
    return [
        StepReadiness(step=one.step, name=one.name, state=one.state.value, readiness=scores.get(one.step))
        for one in report.coverage.steps
    ]


def _planned(report: Report, step: int) -> PlannedWork:
    first: dict[str, Finding] = {}
    for finding in rank([one for one in report.findings if one.step == step]):
        first.setdefault(finding.rule, finding)
    readiness = next((score.readiness for score in report.score.steps if score.step == step), None)
    return PlannedWork(
        step=step,
        name=STEP_NAMES[step],
        readiness=readiness,
        actions=[_action(finding, report.findings) for finding in first.values()],
        open_fields=list(_open_fields(report, step)),
        ask=list(dict.fromkeys(peer for finding in first.values() for peer in finding.peers)),
    )


def _action(finding: Finding, findings: Iterable[Finding]) -> Action:
    """What the rule asks for, with every place of it."""
    places = [where(item) for one in findings if one.rule == finding.rule for item in one.evidence]
    return Action(
        title=finding.title,
        remedy=finding.remedy,
        severity=finding.severity.value,
        rule=finding.rule,
        places=list(dict.fromkeys(places))[:_MAX_PLACES],
        done_when=f"a review of step {finding.step} no longer reports {finding.rule}",
    )


def _open_fields(report: Report, step: int) -> Iterable[str]:
    for section, (_, fields) in SECTION_FIELDS.items():
        claims = getattr(report.sections, section)
        yield from (name for name, owner in fields.items() if owner == step and claims[name].state in _OPEN)
