"""From the assessment and the step records to one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from ml_engineer import __version__
from ml_engineer.agent.handoffs import Made
from ml_engineer.assessment.record import Assessment
from ml_engineer.report.schema import (
    PIPELINE_STAGES,
    SECTION_FIELDS,
    STEP_NAMES,
    Absence,
    Claim,
    ClaimState,
    Coverage,
    CoveredStep,
    EvidenceCheck,
    Finding,
    Handoff,
    PipelineRow,
    Quote,
    Report,
    Run,
    Sections,
    Severity,
    StepRecord,
    StepState,
    TokenUsage,
    Tool,
    Usage,
    pipeline_claim_name,
)

NOT_REVIEWED = Claim(text="not reviewed", state=ClaimState.UNKNOWN)


def step_record(assessment: Assessment, step: int, *, wanted: bool) -> StepRecord:
    """The record of a step as the assessment alone gives it."""
    name = STEP_NAMES[step]
    if not wanted:
        return StepRecord(step=step, name=name, state=StepState.SKIPPED, reason="not asked for")
    findings = [finding for finding in assessment.findings if finding.step == step]
    return StepRecord(
        step=step,
        name=name,
        state=StepState.DONE,
        summary=summary_of(findings),
        findings=findings,
        claims=assessment.claims.get(step, {}),
    )


def summary_of(findings: Sequence[Finding]) -> str:
    """How many findings of each severity, worst first."""
    if not findings:
        return "no findings"
    counts = Counter(finding.severity for finding in findings)
    return ", ".join(f"{counts[severity]} {severity.value}" for severity in Severity if counts[severity])


def report(
    assessment: Assessment,
    records: Sequence[StepRecord],
    *,
    run_id: str,
    started: str,
    model: str | None = None,
    mode: Literal["review", "implement"] = "review",
    made: Made | None = None,
) -> Report:
    """The draft: everything in its place, evidence not yet checked, not sealed."""
    made = made or Made()
    claims = {name: claim for record in records for name, claim in record.claims.items()} | made.fields
    handoffs = {one.id: one for one in [*(one for record in records for one in record.handoffs), *made.handoffs]}
    done = {record.step for record in records if record.state is StepState.DONE}
    order = {finding.fingerprint: number for number, finding in enumerate(assessment.findings)}
    findings = sorted(
        (finding for record in records for finding in record.findings),
        key=lambda finding: (finding.severity.rank, order.get(finding.fingerprint, len(order))),
    )
    return Report(
        tool=Tool(version=__version__, rules_version=assessment.rules_version),
        run=Run(id=run_id, mode=mode, model=model, started=started, finished=started),
        repository=assessment.repository,
        coverage=_coverage(assessment, records),
        profile=assessment.profile,
        sections=_sections(claims),
        steps=[record.model_copy(update={"findings": [], "claims": {}}) for record in records],
        findings=findings,
        suppressed=[item for item in assessment.suppressed if int(item.rule[3:5]) in done],
        handoffs=list(handoffs.values()),
        score=assessment.score,
        evidence_check=EvidenceCheck(),
        usage=total_usage([*(record.usage for record in records), *_of_peers(list(handoffs.values()))]),
    )


def _of_peers(handoffs: Sequence[Handoff]) -> list[Usage]:
    """What the peers that were asked have cost, each under its own name."""
    spent = [(one.peer, one.reply.usage) for one in handoffs if one.reply is not None]
    return [usage.model_copy(update={"by_agent": {peer: usage}}) for peer, usage in spent]


def total_usage(parts: Sequence[Usage]) -> Usage:
    """The sum; "unpriced" as soon as one part is."""
    tokens = {name: sum(getattr(one.tokens, name) for one in parts) for name in TokenUsage.model_fields}
    costs = [one.cost_usd for one in parts]
    priced = [cost for cost in costs if cost != "unpriced"]
    by_agent: dict[str, Usage] = {}
    for name, usage in ((name, usage) for one in parts for name, usage in one.by_agent.items()):
        by_agent[name] = total_usage([by_agent[name], usage]) if name in by_agent else usage
    return Usage(
        turns=sum(one.turns for one in parts),
        tokens=TokenUsage(**tokens),
        cost_usd=round(sum(priced), 10) if len(priced) == len(costs) else "unpriced",
        by_agent=by_agent,
    )


def with_gates(report: Report, gates: Sequence[bytes | None]) -> Report:
    """The report with what the steps' gates have looked at, repaired and left out counted in."""
    checks = [report.evidence_check, *(EvidenceCheck.model_validate_json(data) for data in gates if data is not None)]
    counts = {name: sum(getattr(one, name) for one in checks) for name in ("checked", "repaired", "dropped")}
    items = [line for one in checks for line in one.dropped_items]
    return report.model_copy(update={"evidence_check": EvidenceCheck(**counts, dropped_items=items)})


def _coverage(assessment: Assessment, records: Sequence[StepRecord]) -> Coverage:
    """Complete where everything that was asked for was looked at."""
    incomplete = [r for r in records if r.state in (StepState.DEFERRED, StepState.FAILED)]
    return Coverage(
        state="partial" if incomplete or assessment.problems else "complete",
        steps=[CoveredStep(step=r.step, name=r.name, state=r.state, reason=r.reason) for r in records],
        files_scanned=assessment.files_scanned,
        files_skipped=assessment.files_skipped,
        skipped_total=assessment.skipped_total,
        notes=[*assessment.problems, *assessment.notes],
    )


def _sections(claims: dict[str, Claim]) -> Sections:
    def cell(stage: str, column: str) -> Claim:
        return claims.get(pipeline_claim_name(stage, column), NOT_REVIEWED)

    fields = {
        attribute: {name: claims.get(name, NOT_REVIEWED) for name in names}
        for attribute, (_, names) in SECTION_FIELDS.items()
    }
    rows = [
        PipelineRow(
            stage=stage,  # type: ignore[arg-type]
            tool=cell(stage, "Tool/Framework"),
            automation=cell(stage, "Automation"),
            monitoring=cell(stage, "Monitoring"),
        )
        for stage in PIPELINE_STAGES
    ]
    return Sections(training_pipeline=rows, **fields)


def first_path(finding: Finding) -> str:
    """Path of the first piece of evidence that is a place, or an empty string."""
    for evidence in finding.evidence:
        if isinstance(evidence, Quote):
            return evidence.path
        if isinstance(evidence, Absence):
            return evidence.need.path
    return ""
