"""The report on a terminal, in rich: first what this is, how ready it is and what to fix first; then the detail.

Its end says in short what its beginning said, which has scrolled away by then.

It adapts to the width it is given, down to 40 columns, and says in words what colour only underlines. Everything that
comes from the repository is put into `Text`, which knows no markup, with its control characters made visible.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ml_engineer.report import summary
from ml_engineer.report.schema import (
    PIPELINE_COLUMNS,
    SECTION_FIELDS,
    Claim,
    ClaimState,
    Evidence,
    Finding,
    Handoff,
    Report,
    ScoredTest,
    Severity,
    TestState,
)
from ml_engineer.report.text import describe, joined, number, one_line, place, plural, quoted, spans, where

SHORT = 3  # findings that its end names again
_WIDE = 72  # columns from which fields and values stand side by side
_SEVERITY = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "blue",
    Severity.INFO: "dim",
}
_STATE = {ClaimState.ABSENT: "red", ClaimState.UNKNOWN: "dim", ClaimState.PROPOSED: "blue"}
_TEST = {TestState.AUTOMATED: "#", TestState.MANUAL: "+", TestState.NOT_OBSERVED: "-", TestState.NOT_OBSERVABLE: "."}


class ReportView:
    """A renderable: `console.print(ReportView(report))`. `page` is the command that makes a page of it, if one does."""

    def __init__(self, report: Report, page: str = "") -> None:
        self.report = report
        self.page = page
        self.summary = summary.summarise(report)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= _WIDE
        yield from self._answer()
        yield from self._readiness(wide)
        yield from self._sections(wide)
        yield from self._findings()
        yield from self._handoffs()
        yield from self._checked()
        yield from self._in_short()

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _answer(self) -> Iterator[RenderableType]:
        answer, report = self.summary, self.report
        yield Text(one_line(report.repository.name), style="bold")
        yield Text(answer.what)
        yield Text(answer.origin, style="dim")
        yield Text()
        yield Text(summary.readiness_line(answer), style="bold")
        yield Text(f"ML Test Score {number(report.score.ml_test_score)}: {one_line(report.score.maturity)}")
        yield _tally(answer.by_severity)
        for gap in answer.gaps:
            yield Text.assemble(("not looked at: ", "yellow"), gap)
        if answer.fix_first:
            yield from _heading("Fix first")
            for index, finding in enumerate(answer.fix_first, 1):
                yield from _first(index, finding)

    def _readiness(self, wide: bool) -> Iterator[RenderableType]:
        score = self.report.score
        yield from _heading("Readiness by step")
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column()
        grid.add_column(width=24 if wide else 8)
        grid.add_column(justify="right", no_wrap=True)
        for step in score.steps:
            step_number, name = Text(str(step.step)), Text(one_line(step.name))
            if step.readiness is None:
                grid.add_row(step_number, name, "", Text("n/a", style="dim"))
            else:
                bar = ProgressBar(100, step.readiness, complete_style="cyan", finished_style="cyan")
                grid.add_row(step_number, name, bar, Text(f"{step.readiness} %"))
        yield grid
        yield from _heading("ML Test Score by section")
        rows = Table.grid(padding=(0, 1))
        for section, points in score.sections.items():
            marks = _marks(test for test in score.tests if test.section == section)
            figures = f"{number(points)} of {score.observable.get(section, 0)}"
            rows.add_row(Text(section), Text(marks), Text(figures, style="dim"))
        yield rows
        yield Text(joined(f"{mark} {state}" for state, mark in _TEST.items()), style="dim")

    # --- the seven sections -------------------------------------------------------------------------------------------

    def _sections(self, wide: bool) -> Iterator[RenderableType]:
        for name in type(self.report.sections).model_fields:
            if name == "training_pipeline":
                yield from self._pipeline(wide)
                continue
            title, fields = SECTION_FIELDS[name]
            claims = getattr(self.report.sections, name)
            yield from _heading(title)
            yield from _fields([(field, _claim(claims.get(field))) for field in fields], wide)

    def _pipeline(self, wide: bool) -> Iterator[RenderableType]:
        yield from _heading("Training Pipeline")
        for row in self.report.sections.training_pipeline:
            cells = (row.tool, row.automation, row.monitoring)
            yield Text(row.stage, style="bold")
            claims = zip(PIPELINE_COLUMNS, map(_claim, cells), strict=True)
            yield from (_indent(line) for line in _fields(claims, wide))

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _findings(self) -> Iterator[RenderableType]:
        findings = summary.rank(self.report.findings)
        yield from _heading(f"Findings ({len(findings)})")
        if not findings:
            yield Text("No findings.")
        for index, finding in enumerate(findings, 1):
            if index > 1:
                yield Text()
            yield from _finding(index, finding)

    def _handoffs(self) -> Iterator[RenderableType]:
        if self.report.handoffs:
            yield from _heading("Hand-offs")
            for handoff in self.report.handoffs:
                yield from _handoff(handoff)
            if any(handoff.brief for handoff in self.report.handoffs):
                shows = f"`ml-engineer runs show {one_line(self.report.run.id)}`"
                yield Text(f"The briefs are in the run's folder, which {shows} names.", style="dim")

    def _checked(self) -> Iterator[RenderableType]:
        report = self.report
        coverage = report.coverage
        yield from _heading("Evidence and coverage")
        yield Text(summary.evidence_line(report))
        yield from (_indent(Text(one_line(item), style="dim")) for item in report.evidence_check.dropped_items)
        scanned = plural(coverage.files_scanned, "file")
        yield Text(f"coverage {coverage.state}: {scanned} read, {coverage.skipped_total:,} skipped")
        for file in coverage.files_skipped:
            yield _indent(Text(f"{one_line(file.path)}: {one_line(file.reason)}", style="dim"))
        yield from (_indent(Text(one_line(note), style="yellow")) for note in coverage.notes)
        if report.suppressed:
            yield Text(f"{plural(len(report.suppressed), 'finding')} suppressed")
        for item in report.suppressed:
            at = place(item.path, item.line) if item.line else one_line(item.path)
            yield _indent(Text(f"{one_line(item.rule)} {at} ({item.origin}): {one_line(item.reason)}", style="dim"))
        model = one_line(report.run.model or "none")
        yield Text(joined([f"run {one_line(report.run.id)}", f"model {model}", summary.cost_line(report)]), style="dim")
        yield from (Text(one_line(note), style="dim") for note in report.run.notes)

    def _in_short(self) -> Iterator[RenderableType]:
        answer = self.summary
        yield from _heading("In short")
        yield Text.assemble((summary.readiness_line(answer), "bold"), " · ", _tally(answer.by_severity))
        for index, finding in enumerate(answer.fix_first[:SHORT], 1):
            severity, at = _named(finding), (f"  {where(finding.evidence[0])}", "dim")
            yield _hang(f"{index}.", Text.assemble(severity, _prose(finding.title), at))
        if self.page:
            yield Text(f"→ {self.page}")


def _heading(title: str) -> Iterator[RenderableType]:
    yield Text()
    yield Rule(Text(title, style="bold"), align="left", style="dim")


def _indent(renderable: RenderableType, columns: int = 2) -> Padding:
    return Padding(renderable, (0, 0, 0, columns), expand=False)


def _hang(mark: str, text: Text) -> Table:
    """A mark with its text beside it, so that a second line starts under the text."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_row(Text(mark), text)
    return grid


def _prose(text: str, style: str = "") -> Text:
    """One line of text. The backticks around code stay, for where there is no colour."""
    parts = ((f"`{span.text}`", "cyan") if span.code else span.text for span in spans(text))
    return Text.assemble(*parts, style=style)


def _tally(by_severity: dict[Severity, int]) -> Text:
    parts = [Text(f"{count} {severity}", style=_SEVERITY[severity]) for severity, count in by_severity.items() if count]
    return Text(" · ").join(parts) if parts else Text("no findings")


def _first(index: int, finding: Finding) -> Iterator[RenderableType]:
    yield _hang(f"{index}.", Text.assemble(_named(finding), _prose(finding.title, "bold")))
    yield _indent(_hang("→", _prose(finding.remedy)), 3)
    yield _indent(Text(f"{where(finding.evidence[0])}  {one_line(finding.rule)}", style="dim"), 3)


def _named(finding: Finding) -> tuple[str, str]:
    """Its severity, in the colour of that."""
    return f"{finding.severity} ", _SEVERITY[finding.severity]


def _marks(tests: Iterable[ScoredTest]) -> str:
    return "".join(_TEST[test.state] for test in tests)


def _fields(fields: Iterable[tuple[str, Text]], wide: bool) -> Iterator[RenderableType]:
    """Names and values, side by side where there is room, else one under the other."""
    if wide:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=24)
        for name, value in fields:
            grid.add_row(Text(name, style="dim"), value)
        yield grid
        return
    for name, value in fields:
        yield Text(name, style="dim")
        yield _indent(value)


def _claim(claim: Claim | None) -> Text:
    if claim is None:
        return Text("not assessed [unknown]", style="dim")
    text = _prose(claim.text, "dim" if claim.state is ClaimState.UNKNOWN else "")
    text.append(f" [{claim.state}]", style=_STATE.get(claim.state, "green"))
    if claim.evidence:
        rest = len(claim.evidence) - 1
        text.append(f" {where(claim.evidence[0])}" + (f" +{rest}" if rest else ""), style="dim")
    return text


def _finding(index: int, finding: Finding) -> Iterator[RenderableType]:
    severity = (f"{finding.severity.upper()}  ", _SEVERITY[finding.severity])
    yield _hang(f"{index}.", Text.assemble(severity, _prose(finding.title, "bold")))
    yield _indent(_prose(finding.why), 3)
    yield _indent(_hang("→", _prose(finding.remedy)), 3)
    for evidence in finding.evidence:
        yield from (_indent(line, 3) for line in _exhibit(evidence))
    confidence = f"confidence {finding.confidence}"
    peers = f"ask {one_line(', '.join(finding.peers))}" if finding.peers else ""
    yield _indent(Text(joined([one_line(finding.rule), f"step {finding.step}", confidence, peers]), style="dim"), 3)


def _exhibit(evidence: Evidence) -> Iterator[RenderableType]:
    told = describe(evidence)
    yield Text.assemble((where(evidence), "underline"), f"  {told}" if told else "")
    shown = quoted(evidence)
    if shown.lines:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column()
        for line in shown.lines:
            grid.add_row(Text(str(line.number), style="dim"), Text(line.text, overflow="fold"))
        if shown.more:
            grid.add_row("", Text(plural(shown.more, "more line"), style="dim"))
        yield _indent(grid)


def _handoff(handoff: Handoff) -> Iterator[RenderableType]:
    yield Text.assemble((one_line(handoff.peer), "bold"), f" [{handoff.state}] ", _prose(handoff.question))
    yield _indent(Text(f"for {one_line(handoff.cue)}", style="dim"))
    if handoff.brief:
        yield _indent(Text(f"brief {one_line(handoff.brief)}", style="dim"))
    if handoff.reply:
        reply = handoff.reply
        told = [_prose(reply.answer)] if reply.answer else []
        told += [_prose(reply.error, "red")] if reply.error else []
        yield from (_indent(line) for line in told + [_claim(claim) for claim in reply.claims])
        if cost := summary.spent(reply.usage):
            yield _indent(Text(f"cost {cost}", style="dim"))
