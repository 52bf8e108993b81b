"""The answer before the detail: what is this, how ready is it, what to fix first. Every view opens with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ml_engineer.report.schema import Claim, ClaimState, CoveredStep, Finding, Report, Severity, StepState, Usage
from ml_engineer.report.text import joined, one_line, plural, public_url

FIX_FIRST = 5
_KNOWN = {ClaimState.MEASURED, ClaimState.IMPLEMENTED, ClaimState.PRESENT}


@dataclass(frozen=True, slots=True)
class Summary:
    """The head of every view. `readiness` is a percentage of the applicable checks, or None where none applies; where
    no `model_found`, those are only what every repository needs, and the percentage is shown to nobody."""

    what: str
    origin: str
    model_found: bool
    readiness: int | None
    checks_held: int
    checks_applicable: int
    by_severity: dict[Severity, int]
    fix_first: list[Finding]
    gaps: list[str]


def summarise(report: Report) -> Summary:
    applicable = sum(step.checks_applicable for step in report.score.steps)
    held = applicable - sum(step.checks_failed for step in report.score.steps)
    ranked = rank(report.findings)
    return Summary(
        what=_what(report),
        origin=_origin(report),
        model_found=_model_found(report),
        readiness=round(100 * held / applicable) if applicable else None,
        checks_held=held,
        checks_applicable=applicable,
        by_severity={severity: sum(f.severity is severity for f in report.findings) for severity in Severity},
        fix_first=_first_of_each_rule(f for f in ranked if f.severity is not Severity.INFO)[:FIX_FIRST],
        gaps=_gaps(report),
    )


def _first_of_each_rule(findings: Iterable[Finding]) -> list[Finding]:
    """A rule that fails in many files is one thing to fix: its worst finding stands for all."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.rule, finding)
    return list(first.values())


def rank(findings: Sequence[Finding]) -> list[Finding]:
    """Worst and surest first. Inside one rank the report's order stays, which puts the serving path first."""
    return sorted(findings, key=lambda finding: (finding.severity.rank, finding.confidence.rank))


def severity_line(summary: Summary) -> str:
    """`2 critical · 5 high · 1 low`, or that there is none."""
    return joined(f"{count} {severity}" for severity, count in summary.by_severity.items() if count) or "no findings"


def readiness_line(summary: Summary) -> str:
    if summary.readiness is None:
        return "no check applies"
    if not summary.model_found:
        checks = plural(summary.checks_applicable, "check")
        return f"nothing of a model was found; {summary.checks_held} of {checks} that every repository needs hold"
    return f"{summary.readiness} % ready: {summary.checks_held} of {plural(summary.checks_applicable, 'check')} hold"


def evidence_line(report: Report) -> str:
    """What became of the evidence: `120 pieces of evidence re-read: 2 lines repaired, 1 dropped`."""
    check = report.evidence_check
    pieces = plural(check.checked, "piece of evidence", "pieces of evidence")
    return f"{pieces} re-read: {plural(check.repaired, 'line')} repaired, {check.dropped} dropped"


def cost_line(report: Report) -> str:
    """What was spent."""
    return spent(report.usage) or "no model was asked"


def spent(usage: Usage) -> str:
    """Turns, tokens and price, or nothing where nothing was spent. An unknown price is said so, never shown as zero."""
    if not usage.turns and usage.cost_usd == 0:
        return ""
    tokens = usage.tokens.input + usage.tokens.output + usage.tokens.cache_read + usage.tokens.cache_write
    price = "unpriced" if usage.cost_usd == "unpriced" else f"${usage.cost_usd:.2f}"
    counted = [plural(usage.turns, "turn") if usage.turns else "", plural(tokens, "token") if tokens else ""]
    return joined([*counted, price])


def step_line(step: CoveredStep) -> str:
    """How a step ended, with the reason where there is one."""
    return step.state + (f": {one_line(step.reason)}" if step.reason else "")


def _what(report: Report) -> str:
    fields = report.sections.model_deployment
    known = [_known(fields.get(name)) for name in ("Model Type", "Deployment Pattern", "Serving Framework")]
    return joined(known) or "nothing is known yet about the model and its deployment"


def _model_found(report: Report) -> bool:
    """Whether there is anything to bring to production; a review of some steps cannot tell."""
    claims = [*report.sections.model_deployment.values(), *(row.tool for row in report.sections.training_pipeline)]
    partly = any(step.state is not StepState.DONE for step in report.coverage.steps)
    return partly or any(_known(claim) for claim in claims)


def _known(claim: Claim | None) -> str:
    return one_line(claim.text) if claim and claim.state in _KNOWN else ""


def _origin(report: Report) -> str:
    repository = report.repository
    revision = f"revision {repository.revision[:12]}" if repository.revision else "no git history"
    changed = "with uncommitted changes" if repository.dirty else ""
    remote = repository.url and not repository.url.startswith(("/", ".", "~", "file:"))  # a clone of a folder says less
    place = public_url(repository.url) if repository.url and remote else repository.path or ""
    return joined([one_line(place), " ".join(filter(None, [one_line(revision), changed]))])


def _gaps(report: Report) -> list[str]:
    """Why the coverage is not complete; empty where it is."""
    if report.coverage.state == "complete":
        return []
    ended = [step for step in report.coverage.steps if step.state is not StepState.DONE]
    gaps = [f"step {step.step} {step.name} {step_line(step)}" for step in ended]
    if report.coverage.skipped_total:
        gaps.append(f"{plural(report.coverage.skipped_total, 'file')} not read")
    return gaps + [one_line(note) for note in report.coverage.notes]
