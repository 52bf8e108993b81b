"""The report as Markdown: the layout of the specification's Output Format, then findings, score and evidence.

Text that comes from the repository is escaped or set as code, so that it can neither break the table nor become markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ml_engineer.report.schema import (
    PIPELINE_COLUMNS,
    SECTION_FIELDS,
    Claim,
    Evidence,
    Finding,
    Handoff,
    PipelineRow,
    Report,
    StepScore,
    Suppressed,
)
from ml_engineer.report.summary import (
    cost_line,
    evidence_line,
    rank,
    readiness_line,
    severity_line,
    spent,
    step_line,
    summarise,
)
from ml_engineer.report.text import describe, joined, number, one_line, place, plural, quoted, spans, where

TITLE = "ML Production System Implementation"
_CITED = 2  # places named after a claim; all of them follow under Evidence

# Punctuation that is markup wherever it stands, `_` only at the edge of a word; and what begins a list or a rule.
_MARKUP = re.compile(r"[\\`*\[\]<>~$&#@]|(?<![^\W_])_|_(?![^\W_])")
_LINE_START = re.compile(r"^(?:[-+=](?=[-=\s]|$)|\d+(?=[.)](?:\s|$)))")


def render(report: Report) -> str:
    """The whole report as GitHub-flavoured Markdown, with a newline at its end."""
    parts = [_head(report), *_sections(report), _findings(report.findings), _score(report), _handoffs(report.handoffs)]
    parts += [_evidence(report), _coverage(report), _suppressed(report.suppressed), _run(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


@lru_cache(maxsize=2048)  # a rule's words come again with each finding, and in the next report
def escape(text: str) -> str:
    """Text on one line, as text: `code` in backticks stays code, everything else is no markup."""
    return "".join(code(span.text) if span.code else _plain(span.text) for span in spans(text))


def _plain(text: str) -> str:
    escaped = _MARKUP.sub(r"\\\g<0>", text).replace("|", "&#124;")
    return _LINE_START.sub(lambda match: f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}", escaped)


def code(text: str) -> str:
    """Text set as code. With a pipe in it, which would end a table's cell even inside code, it is set as plain text."""
    line = one_line(text)
    if not line or "|" in line:
        return _plain(line)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(numbered: Iterable[str]) -> str:
    """Numbered lines as a fenced block. No line can close the fence, since each begins with its number."""
    return "\n".join(["```text", *numbered, "```"])


# --- the specification's layout ---------------------------------------------------------------------------------------


def _head(report: Report) -> str:
    """The title, and the answer in a quotation of two or three lines, which leaves the layout below as specified."""
    summary = summarise(report)
    score = f"ML Test Score {number(report.score.ml_test_score)}"
    lines = [
        f"**{escape(report.repository.name)}** ({escape(summary.origin)}): {escape(summary.what)}.",
        f"{escape(readiness_line(summary))}; {score}; {severity_line(summary)}.",
    ]
    if summary.gaps:
        lines.append(f"Coverage is partial: {escape('; '.join(summary.gaps))}.")
    return f"## {TITLE}\n\n" + "  \n".join(f"> {line}" for line in lines)


def _sections(report: Report) -> Iterator[str]:
    """The seven sections, in the order of the schema: the table stands second."""
    for name in type(report.sections).model_fields:
        if name == "training_pipeline":
            yield _pipeline(report.sections.training_pipeline)
            continue
        title, fields = SECTION_FIELDS[name]
        claims = getattr(report.sections, name)
        lines = [f"- **{field}:** {_claim(claims.get(field))}" for field in fields]
        yield f"### {title}\n" + "\n".join(lines)


def _pipeline(rows: list[PipelineRow]) -> str:
    lines = [
        f"| Stage | {' | '.join(PIPELINE_COLUMNS)} |",
        "|-------|----------------|------------|------------|",
    ]
    for row in rows:
        cells = (row.tool, row.automation, row.monitoring)
        lines.append(f"| {row.stage} | {' | '.join(map(_claim, cells))} |")
    return "### Training Pipeline\n" + "\n".join(lines)


def _claim(claim: Claim | None) -> str:
    """The claim, its state, and where it can be checked."""
    if claim is None:
        return "not assessed (*unknown*)"
    cited = [_cite(evidence) for evidence in claim.evidence[:_CITED]]
    rest = len(claim.evidence) - _CITED
    if rest > 0:
        cited.append(f"{rest} more")
    return f"{escape(claim.text)} (*{claim.state}*{': ' if cited else ''}{', '.join(cited)})"


def _cite(evidence: Evidence) -> str:
    return code(where(evidence))


# --- what follows it --------------------------------------------------------------------------------------------------


def _findings(findings: list[Finding]) -> str:
    if not findings:
        return "### Findings\n\nNo findings."
    parts = [f"### Findings\n\n{plural(len(findings), 'finding')}, the worst first."]
    return "\n\n".join([*parts, *(_finding(index, finding) for index, finding in enumerate(rank(findings), 1))])


def _finding(index: int, finding: Finding) -> str:
    facts = joined(
        [
            f"step {finding.step}",
            f"confidence {finding.confidence}",
            f"rests on {escape(finding.source)}",
            f"ask {escape(', '.join(finding.peers))}" if finding.peers else "",
        ]
    )
    parts = [
        f"#### {index}. {finding.severity.upper()}: {escape(finding.title)} ({finding.rule})",
        escape(finding.why),
        f"**Remedy:** {escape(finding.remedy)}",
        *(_exhibit(evidence) for evidence in finding.evidence),
        facts,
    ]
    return "\n\n".join(part for part in parts if part)


def _exhibit(evidence: Evidence) -> str:
    """A citation with the lines that stand there."""
    told = describe(evidence)
    head = _cite(evidence) + (f": {escape(told)}" if told else "")
    shown = quoted(evidence)
    if not shown.lines:
        return head
    width = len(str(shown.lines[-1].number))
    lines = [f"{line.number:>{width}} | {line.text}" for line in shown.lines]
    if shown.more:
        lines.append(f"… {plural(shown.more, 'more line')}")
    return f"{head}\n\n{block(lines)}"


def _score(report: Report) -> str:
    score = report.score
    sections = [
        f"| {escape(section)} | {number(points)} | {score.observable.get(section, 0)} |"
        for section, points in score.sections.items()
    ]
    steps = [
        f"| {step.step} {escape(step.name)} | {_percent(step.readiness)} | {_failed(step)} |" for step in score.steps
    ]
    tests = [
        f"| {escape(test.id)} | {escape(test.title)} | {test.state} | {escape(test.reason)}"
        f"{' ' if test.reason and test.evidence else ''}{', '.join(_cite(e) for e in test.evidence[:_CITED])} |"
        for test in score.tests
    ]
    lowest = f"**ML Test Score:** {number(score.ml_test_score)}, the lowest of the four sections."
    parts = ["### Score", f"{lowest} {escape(score.maturity)}"]
    parts.append("\n".join(["| Section | Points | Observable tests |", "|---|---|---|", *sections]))
    parts.append("\n".join(["| Step | Readiness | Failed checks |", "|---|---|---|", *steps]))
    parts.append("\n".join(["| Test | What it asks | State | Why |", "|---|---|---|---|", *tests]))
    return "\n\n".join(parts)


def _percent(readiness: int | None) -> str:
    return "not applicable" if readiness is None else f"{readiness} %"


def _failed(step: StepScore) -> str:
    return f"{step.checks_failed} of {step.checks_applicable}"


def _handoffs(handoffs: list[Handoff]) -> str:
    if not handoffs:
        return "### Hand-offs\n\nNothing was handed to a peer."
    return "\n\n".join(["### Hand-offs", *(_handoff(handoff) for handoff in handoffs)])


def _handoff(handoff: Handoff) -> str:
    lines = [
        f"- **{escape(handoff.peer)}** ({handoff.state}), for {escape(handoff.cue)}: {escape(handoff.question)}",
        f"  - Expected: {escape(handoff.expected)}" if handoff.expected else "",
        f"  - Brief: {code(handoff.brief)}" if handoff.brief else "",
        f"  - Evidence: {', '.join(map(_cite, handoff.evidence))}" if handoff.evidence else "",
    ]
    if handoff.reply:
        reply = handoff.reply
        lines.append(f"  - Answer: {escape(reply.answer)}" if reply.answer else "")
        lines.append(f"  - Error: {escape(reply.error)}" if reply.error else "")
        lines += [f"  - {_claim(claim)}" for claim in reply.claims]
        lines.append(f"  - Cost: {cost}" if (cost := spent(reply.usage)) else "")
    return "\n".join(line for line in lines if line)


def _evidence(report: Report) -> str:
    """The check's count, what it dropped, and the quotes behind the facts and claims."""
    parts = [f"### Evidence\n\n{evidence_line(report)}."]
    if report.evidence_check.dropped_items:
        parts.append("\n".join(f"- {escape(item)}" for item in report.evidence_check.dropped_items))
    for fact in report.profile:
        parts.append(f"**{escape(fact.name)}:** {escape(fact.value)}")
        parts += [_exhibit(evidence) for evidence in fact.evidence]
    for name, claim in _claims(report):
        if claim.evidence:
            parts.append(f"**{escape(name)}:** {escape(claim.text)}")
            parts += [_exhibit(evidence) for evidence in claim.evidence]
    return "\n\n".join(parts)


def _claims(report: Report) -> Iterator[tuple[str, Claim]]:
    for name in type(report.sections).model_fields:
        if name == "training_pipeline":
            for row in report.sections.training_pipeline:
                cells = (row.tool, row.automation, row.monitoring)
                for column, cell in zip(PIPELINE_COLUMNS, cells, strict=True):
                    yield f"{row.stage}, {column}", cell
        else:
            yield from getattr(report.sections, name).items()


def _coverage(report: Report) -> str:
    coverage = report.coverage
    scanned, total = plural(coverage.files_scanned, "file"), coverage.skipped_total
    parts = [f"### Coverage\n\n{coverage.state.capitalize()}: {scanned} read, {total:,} skipped."]
    skipped = [f"{code(file.path)}: {escape(file.reason)}" for file in coverage.files_skipped]
    if total > len(skipped):
        skipped.append(f"{total - len(skipped):,} more")
    changes = [change for record in report.steps for change in record.changes]
    parts += [
        _list("Steps", [f"{step.step} {escape(step.name)}: {escape(step_line(step))}" for step in coverage.steps]),
        _list("Skipped files", skipped),
        _list("Notes", [escape(note) for note in coverage.notes]),
        _list("Changed files", [f"{code(change.path)}: {escape(change.summary)}" for change in changes]),
    ]
    return "\n\n".join(part for part in parts if part)


def _list(title: str, items: list[str]) -> str:
    return f"**{title}:**\n\n" + "\n".join(f"- {item}" for item in items) if items else ""


def _suppressed(suppressed: list[Suppressed]) -> str:
    if not suppressed:
        return "### Suppressed\n\nNothing is suppressed."
    lines = [
        f"- {escape(item.rule)} at {code(place(item.path, item.line) if item.line else item.path)}"
        f" ({item.origin}): {escape(item.reason)}"
        for item in suppressed
    ]
    return f"### Suppressed\n\n{plural(len(suppressed), 'finding')} put aside.\n\n" + "\n".join(lines)


def _run(report: Report) -> str:
    run, tool = report.run, report.tool
    by = f"{escape(tool.name)} {escape(tool.version)}, rules {code(tool.rules_version)}"
    lines = [
        f"- {by}, run {code(run.id)} ({run.mode})",
        f"- {escape(run.started)} to {escape(run.finished)}; model: {escape(run.model or 'none')}; {cost_line(report)}",
        *(f"- {escape(note)}" for note in run.notes),
    ]
    if report.digest:
        lines.append(f"- digest {code(report.digest)}")
    return "### Run\n\n" + "\n".join(lines)
