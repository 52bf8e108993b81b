"""What a batch knows of its repositories, as data: the rows that summary, dashboard, policy and comparison are made of.

    row = row_of(report, source)            one repository, from its sealed report
    summary = Summary.of(rows, …)           all of them: worst first, with the most common faults

`summary.json` is a Summary, `findings.csv` has a line for each finding. Both hold no time and nothing of the machine
that made them, so that the same repositories give the same bytes; a policy's verdict, which has exceptions with an end,
names the day. How a verdict and a comparison are made is in policy.py and compare.py.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from pydantic import Field

from ml_engineer import __version__
from ml_engineer.agent.synthesise import total_usage
from ml_engineer.assessment.rules_index import load as load_rules
from ml_engineer.interfaces.batch.sources import Source
from ml_engineer.report import summary as report_summary
from ml_engineer.report.schema import (
    STEP_NAMES,
    Absence,
    Evidence,
    Finding,
    Model,
    Quote,
    Report,
    Severity,
    StepScore,
    Usage,
)
from ml_engineer.report.text import visible
from ml_engineer.report.visible import visible_json

State = Literal["reviewed", "partial", "failed", "waiting"]
SUMMARY_VERSION = "1.0"
SUMMARY, FINDINGS = "summary.json", "findings.csv"  # their names in the folder of a batch
COLUMNS = (
    "repository", "owner", "revision", "rule", "step", "severity", "confidence", "title", "path", "line", "cell",
    "sites", "fingerprint", "report",
)  # fmt: skip


class Fault(Model):
    """One finding of a repository, in short. `path` is empty where the evidence is no place."""

    rule: str
    step: int
    severity: Severity
    confidence: str
    title: str
    path: str = ""
    line: int | None = None
    cell: int | None = None
    sites: int = Field(description="pieces of evidence")
    fingerprint: str


class Row(Model):
    """One repository of a batch. Without a report (`failed`, `waiting`) everything that a report gives is empty."""

    name: str
    place: str = Field(description="folder, or URL without user name")
    scope: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    folder: str = Field(description="its reports: reports/<folder>/report.html, .json, .md, .sarif")
    state: State
    error: str | None = None
    error_kind: str | None = None
    attempts: int = 0
    revision: str | None = None
    dirty: bool | None = None
    what: str = Field(default="", description="model, deployment and serving, in a line")
    readiness: int | None = Field(default=None, description="per cent of the applicable checks that hold")
    checks_held: int = 0
    checks_applicable: int = 0
    ml_test_score: float | None = None
    maturity: str = ""
    by_severity: dict[Severity, int] = {}
    steps: list[StepScore] = []
    gaps: list[str] = Field(default=[], description="why the coverage is partial")
    files_scanned: int = 0
    usage: Usage = Usage()
    digest: str = ""
    rules_version: str = ""

    @property
    def worst(self) -> tuple[int, ...]:
        """Sort by it to put the worst first: what was not reviewed, then by findings from critical down."""
        order = {"failed": 0, "waiting": 1, "partial": 2, "reviewed": 2}
        counts = (-self.by_severity.get(severity, 0) for severity in Severity)
        return (order[self.state], *counts, 101 if self.readiness is None else self.readiness)


class CommonFault(Model):
    """A rule that fails, and in how many repositories."""

    rule: str
    title: str
    step: int
    severity: Severity
    repositories: int
    findings: int


class Totals(Model):
    repositories: int = 0
    reviewed: int = 0
    partial: int = 0
    failed: int = 0
    waiting: int = 0
    findings: int = 0
    by_severity: dict[Severity, int] = {}


# --- the verdict of a policy, and the comparison with an earlier batch ------------------------------------------------


class Breach(Model):
    """What a repository does not keep."""

    repository: str
    folder: str
    kind: Literal["severity", "rule", "readiness", "step", "ml_test_score"]
    asked: str = Field(default="", description="the demand, the same for every repository that does not keep it")
    text: str


class ExceptionState(Model):
    """An exception of the policy, and what became of it. `expired`: its findings count again."""

    repository: str
    rule: str
    reason: str
    until: str
    state: Literal["used", "expired", "unused"]
    findings: int = Field(description="that it puts aside, or would if it had not expired")


class Verdict(Model):
    """`incomplete`: nothing is broken where one could look, and that is not everywhere. Never green."""

    state: Literal["passed", "failed", "incomplete"]
    day: str | None = Field(
        default=None, description="UTC day on which the exceptions were looked at, if there are any"
    )
    fail_on: Severity | None = None
    breaches: list[Breach] = []
    exceptions: list[ExceptionState] = []


class Change(Model):
    """A finding that is new, fixed or elsewhere. `was` is the place of a moved one before."""

    kind: Literal["new", "fixed", "moved"]
    rule: str
    severity: Severity
    title: str
    place: str
    was: str = ""
    fingerprint: str


class Difference(Model):
    """How one repository has changed. `unknown`: it has no report now, or had none before; `error` says why."""

    name: str
    folder: str
    state: Literal["compared", "came", "went", "unknown"]
    error: str = ""
    partial: bool = Field(default=False, description="one of both coverages is partial: fixed may be only unseen")
    readiness: tuple[int | None, int | None] = Field(default=(None, None), description="before and now, per cent")
    ml_test_score: tuple[float | None, float | None] = (None, None)
    steps: dict[int, tuple[int | None, int | None]] = Field(default={}, description="readiness of those that changed")
    changes: list[Change] = []

    def count(self, kind: str) -> int:
        return sum(change.kind == kind for change in self.changes)


class Comparison(Model):
    """This batch against an earlier one. `repositories` holds those in which something is different, worst first."""

    earlier: str = Field(description="SHA-256 of the earlier summary.json")
    rules_changed: bool = Field(description="other rules, so that a finding may be new or gone without a change")
    compared: int
    came: int
    went: int
    unknown: int
    new: int
    fixed: int
    moved: int
    readiness: tuple[int | None, int | None] = Field(description="mean of what was compared, before and now")
    new_by_severity: dict[Severity, int]
    repositories: list[Difference] = []


class Summary(Model):
    """All of a batch. Repositories worst first, faults most common first."""

    schema_version: str = SUMMARY_VERSION
    tool_version: str = __version__
    rules_versions: list[str] = []
    coverage: Literal["complete", "partial"]
    totals: Totals
    readiness_by_step: dict[int, int | None] = Field(default={}, description="mean over the repositories, per cent")
    common_faults: list[CommonFault] = []
    usage: Usage = Usage()
    policy: Verdict | None = None
    comparison: Comparison | None = None
    repositories: list[Row] = []

    @classmethod
    def of(cls, rows: Iterable[Row], faults: Iterable[tuple[str, Fault]]) -> Summary:
        """From the rows and the (folder, fault) pairs of all repositories; both may be streams."""
        ordered = sorted(rows, key=lambda row: (row.worst, row.name, row.folder))
        states = Counter(row.state for row in ordered)
        severities: Counter[Severity] = Counter()
        for row in ordered:
            severities.update(row.by_severity)
        whole = bool(ordered) and states["reviewed"] == len(ordered)
        return cls(
            rules_versions=sorted({row.rules_version for row in ordered if row.rules_version}),
            coverage="complete" if whole else "partial",
            totals=Totals(
                repositories=len(ordered),
                reviewed=states["reviewed"],
                partial=states["partial"],
                failed=states["failed"],
                waiting=states["waiting"],
                findings=sum(severities.values()),
                by_severity={severity: severities[severity] for severity in Severity},
            ),
            readiness_by_step=by_step(ordered),
            common_faults=_common(faults),
            usage=_total([row.usage for row in ordered]),
            repositories=ordered,
        )

    def to_json(self) -> str:
        return visible_json(self.model_dump_json(indent=2)) + "\n"


def blank_row(source: Source) -> Row:
    """The row of a repository that has no report."""
    return Row(
        name=source.name,
        place=source.shown,
        scope=source.scope,
        owner=source.owner,
        labels=source.labels,
        folder=source.folder,
        state="waiting",
    )


def row_of(report: Report, row: Row) -> Row:
    """The row of a repository that has its report now. `row` says where it came from."""
    head = report_summary.summarise(report)
    return row.model_copy(
        update={
            "state": "reviewed" if report.coverage.state == "complete" else "partial",
            "error": None,
            "error_kind": None,
            "revision": report.repository.revision,
            "dirty": report.repository.dirty,
            "what": head.what,
            "readiness": head.readiness,
            "checks_held": head.checks_held,
            "checks_applicable": head.checks_applicable,
            "ml_test_score": report.score.ml_test_score,
            "maturity": report.score.maturity,
            "by_severity": head.by_severity,
            "steps": report.score.steps,
            "gaps": head.gaps,
            "files_scanned": report.coverage.files_scanned,
            "usage": report.usage,
            "digest": report.digest,
            "rules_version": report.tool.rules_version,
        }
    )


def faults_of(report: Report) -> list[Fault]:
    """The findings in short, worst first."""
    return [_fault(finding) for finding in report_summary.rank(report.findings)]


def _fault(finding: Finding) -> Fault:
    path, line, cell = _site(finding.evidence[0])
    return Fault(
        rule=finding.rule,
        step=finding.step,
        severity=finding.severity,
        confidence=finding.confidence,
        title=finding.title,
        path=path,
        line=line,
        cell=cell,
        sites=len(finding.evidence),
        fingerprint=finding.fingerprint,
    )


def _site(evidence: Evidence) -> tuple[str, int | None, int | None]:
    match evidence:
        case Quote():
            return evidence.path, evidence.line_start, evidence.cell
        case Absence():
            return evidence.need.path, evidence.need.line, evidence.need.cell
    return "", None, None


def by_step(rows: Iterable[Row]) -> dict[int, int | None]:
    """Mean readiness of each step over the repositories to which it applies, per cent."""
    seen: dict[int, list[int]] = {step: [] for step in STEP_NAMES}
    for row in rows:
        for score in row.steps:
            if score.readiness is not None:
                seen[score.step].append(score.readiness)
    return {step: round(sum(values) / len(values)) if values else None for step, values in seen.items()}


def _common(faults: Iterable[tuple[str, Fault]]) -> list[CommonFault]:
    """By rule; its severity is the one that it has most often, and so is its title where it has no title of its own."""
    rules = load_rules()
    parts = Counter(rule.id for rule in rules)
    own = {rule.id: rule.title for rule in rules if parts[rule.id] == 1}
    found: dict[str, list[tuple[str, Fault]]] = defaultdict(list)
    for folder, fault in faults:
        found[fault.rule].append((folder, fault))
    common = []
    for rule, items in found.items():
        titles = Counter(fault.title for _, fault in items)
        severities = Counter(fault.severity for _, fault in items)
        common.append(
            CommonFault(
                rule=rule,
                title=own.get(rule) or min(titles, key=lambda title: (-titles[title], title)),
                step=items[0][1].step,
                severity=min(severities, key=lambda severity: (-severities[severity], severity.rank)),
                repositories=len({folder for folder, _ in items}),
                findings=len(items),
            )
        )
    return sorted(common, key=lambda one: (-one.repositories, one.severity.rank, one.rule))


def findings_csv(rows: Iterable[Row], faults: Mapping[str, Iterable[Fault]]) -> Iterator[str]:
    """The lines of findings.csv, those of a repository together. `faults` by the row's folder."""
    yield _csv_line(COLUMNS)
    for row in rows:
        for fault in faults.get(row.folder, ()):
            cells = (
                row.name, row.owner, row.revision or "", fault.rule, fault.step, fault.severity, fault.confidence,
                fault.title, fault.path, "" if fault.line is None else fault.line,
                "" if fault.cell is None else fault.cell, fault.sites, fault.fingerprint,
                f"reports/{row.folder}/report.html",
            )  # fmt: skip
            yield _csv_line(cells)


def _csv_line(cells: Iterable[str | int]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([harmless(cell) for cell in cells])
    return buffer.getvalue()


def harmless(cell: str | int) -> str | int:
    """Text that a spreadsheet will not take for a formula: it comes from repositories that others wrote."""
    if isinstance(cell, int):
        return cell
    text = visible(cell)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _total(usages: list[Usage]) -> Usage:
    """What all of them have cost; who spent what stands in their own reports."""
    return total_usage([usage.model_copy(update={"by_agent": {}}) for usage in usages])
