"""The report as SARIF 2.1.0, for code scanning: one run, one result for each finding, deterministic.

Identity is in `partialFingerprints` and never holds a line number. `executionSuccessful` is true only where coverage is
complete, so that a partial run cannot pass for a clean one. Suppressed findings are there too, marked as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic_core import to_json

from ml_engineer.report.schema import (
    Absence,
    Evidence,
    Finding,
    Json,
    Quote,
    Report,
    Severity,
    StepState,
    Suppressed,
)
from ml_engineer.report.summary import rank, step_line
from ml_engineer.report.text import describe, one_line, place, public_url, spans, visible, where
from ml_engineer.report.visible import visible_json

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
FINGERPRINT = "mlEngineerFingerprint/v1"
MAX_RELATED = 100  # sites of one finding beyond its first; code scanning shows no more

_LEVEL = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
_RANK = {Severity.CRITICAL: 95.0, Severity.HIGH: 80.0, Severity.MEDIUM: 50.0, Severity.LOW: 25.0, Severity.INFO: 5.0}
_SECURITY_SEVERITY = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "3.0"}

# Rules about what an attacker could do. The others are about quality, and have no security severity.
SECURITY_RULES = frozenset(
    "MLE0112 MLE0501 MLE0502 MLE0503 MLE0504 MLE0506 MLE0514 MLE0515 MLE0519 MLE0705 MLE0807 MLE0903 MLE0908 MLE0909 "
    "MLE1010".split()
)
_LINK = re.compile(r"\[([^\[\]]*)\](?=\()")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def render(report: Report) -> str:
    """The SARIF log as JSON, two-space indent, newline at its end."""
    rules = _rules(report)
    index = {rule["id"]: position for position, rule in enumerate(rules)}
    results = [_result(finding, index) for finding in rank(report.findings)]
    results += [_suppressed(item, index) for item in report.suppressed]
    run: Json = {
        "tool": _tool(report, rules),
        "automationDetails": {"id": f"ml-engineer/{report.run.mode}/"},
        "invocations": [_invocation(report)],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": _properties(report),
    }
    provenance = _provenance(report)
    if provenance:
        run["versionControlProvenance"] = [provenance]
    # The standard library writes an indent in Python, which takes longer than all the rest here.
    return visible_json(to_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2).decode()) + "\n"


# --- the tool and its rules -------------------------------------------------------------------------------------------


def _tool(report: Report, rules: list[Json]) -> Json:
    tool: Json = {"driver": {"name": report.tool.name, "version": report.tool.version, "rules": rules}}
    if report.run.model:  # what else had a say in the results
        tool["extensions"] = [{"name": one_line(report.run.model) or "model"}]
    return tool


def _rules(report: Report) -> list[Json]:
    """The rules that have a result, by id. What a rule says is taken from its worst finding."""
    first: dict[str, Finding] = {}
    for finding in rank(report.findings):
        first.setdefault(finding.rule, finding)
    known = {rule: _rule(finding) for rule, finding in first.items()}
    for item in report.suppressed:
        known.setdefault(item.rule, _rule_without_finding(item.rule))
    return [known[rule] for rule in sorted(known)]


def _rule(finding: Finding) -> Json:
    why, remedy, source = (one_line(text) for text in (finding.why, finding.remedy, finding.source))
    properties: Json = {
        "tags": [f"step-{finding.step}", "machine-learning"],
        "precision": {"high": "high", "medium": "medium", "low": "low"}[finding.confidence],
        "problem.severity": {"error": "error", "warning": "warning"}.get(_LEVEL[finding.severity], "recommendation"),
    }
    if finding.rule in SECURITY_RULES and finding.severity in _SECURITY_SEVERITY:
        properties["tags"].insert(0, "security")
        properties["security-severity"] = _SECURITY_SEVERITY[finding.severity]
    return {
        "id": finding.rule,
        "shortDescription": {"text": _plain(finding.title)},
        "fullDescription": {"text": _plain(finding.why)},
        "help": {
            "text": f"{_plain(finding.why)}\n\nRemedy: {_plain(finding.remedy)}\n\nRests on: {source}",
            "markdown": f"{why}\n\n**Remedy:** {remedy}\n\n**Rests on:** {source}",
        },
        "defaultConfiguration": {"level": _LEVEL[finding.severity]},
        "properties": properties,
    }


def _rule_without_finding(rule: str) -> Json:
    text = f"Only suppressed findings; `ml-engineer rules {rule}` says what it is about."
    return {"id": rule, "shortDescription": {"text": f"Rule {rule}"}, "help": {"text": text, "markdown": text}}


# --- results ----------------------------------------------------------------------------------------------------------


def _result(finding: Finding, index: dict[str, int]) -> Json:
    sites = [evidence for evidence in finding.evidence if isinstance(evidence, Quote | Absence)]
    result: Json = {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": _LEVEL[finding.severity],
        "rank": _RANK[finding.severity],
        "message": {"text": _message(finding)},
        "locations": [_location(evidence) for evidence in sites[:1]],
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
        "properties": {"severity": finding.severity, "confidence": finding.confidence, "step": finding.step},
    }
    if len(sites) > 1:
        result["relatedLocations"] = _related(sites[1 : MAX_RELATED + 1])
    return result


def _message(finding: Finding) -> str:
    """What is wrong, why, what to do; then what has no line to point at, so that it is not lost."""
    parts = [_plain(finding.title), _plain(finding.why), f"Remedy: {_plain(finding.remedy)}"]
    parts += [_beyond_the_line(evidence) for evidence in finding.evidence]
    return "\n\n".join(part for part in parts if part)


def _beyond_the_line(evidence: Evidence) -> str:
    if isinstance(evidence, Quote):
        return _unlinked(f"In {where(evidence)}") if evidence.cell is not None else ""
    return _unlinked(f"{where(evidence)}: {describe(evidence)}")


def _related(sites: Sequence[Quote | Absence]) -> list[Json]:
    located: list[Json] = []
    for number, evidence in enumerate(sites, 1):
        text = describe(evidence) or "also here"
        located.append({"id": number, "message": {"text": text}} | _location(evidence))
    return located


def _location(evidence: Quote | Absence) -> Json:
    """Where it is. A cell of a notebook has no line in the file, so there the file is given and the cell is said."""
    match evidence:
        case Quote():
            path, cell, text = evidence.path, evidence.cell, evidence.quote
            first, last = evidence.line_start, max(evidence.line_start, evidence.line_end)
        case Absence(need=need):
            path, cell, text, first, last = need.path, need.cell, need.quote, need.line, need.line
    physical: Json = {"artifactLocation": _artifact(path)}
    if cell is not None:
        return {"physicalLocation": physical, "message": {"text": place(path, first, last, cell)}}
    physical["region"] = {"startLine": first, "endLine": last}
    if text:
        physical["region"]["snippet"] = {"text": visible(text)}
    return {"physicalLocation": physical}


def _suppressed(item: Suppressed, index: dict[str, int]) -> Json:
    physical: Json = {"artifactLocation": _artifact(item.path)}
    if item.line is not None and item.line > 0:
        physical["region"] = {"startLine": item.line}
    result: Json = {
        "ruleId": item.rule,
        "ruleIndex": index[item.rule],
        "level": "note",
        "message": {"text": f"Put aside by the repository's owner: {one_line(item.reason) or 'no reason given'}"},
        "locations": [{"physicalLocation": physical}],
        "suppressions": [
            {
                "kind": "inSource" if item.origin == "inline" else "external",
                "status": "accepted",
                "justification": one_line(item.reason),
            }
        ],
    }
    if item.fingerprint:
        result["partialFingerprints"] = {FINGERPRINT: item.fingerprint}
    return result


def _artifact(path: str) -> Json:
    """A path relative to the root. A colon is encoded, so that no name can be read as a scheme."""
    return {"uri": quote(path, safe="/!$'()*+,;=@~"), "uriBaseId": ROOT}


@lru_cache(maxsize=2048)  # a rule's words come again with each finding, and in the next report
def _plain(text: str) -> str:
    """One line without the backticks around code: SARIF's text is plain."""
    return _unlinked("".join(span.text for span in spans(text)))


def _unlinked(text: str) -> str:
    """The text with `[a](b)` escaped, which would be a link even in plain text."""
    return _LINK.sub(r"\\[\1\\]", text)


# --- the run ----------------------------------------------------------------------------------------------------------


def _invocation(report: Report) -> Json:
    invocation: Json = {"executionSuccessful": report.coverage.state == "complete"}
    for name, moment in (("startTimeUtc", report.run.started), ("endTimeUtc", report.run.finished)):
        if _DATE_TIME.fullmatch(moment):
            invocation[name] = moment
    notifications = list(_notifications(report))
    if notifications:
        invocation["toolExecutionNotifications"] = notifications
    return invocation


def _notifications(report: Report) -> Iterator[Json]:
    """What was not looked at: steps that did not end, files that were not read, and notes."""
    for step in report.coverage.steps:
        if step.state is not StepState.DONE:
            level = "error" if step.state is StepState.FAILED else "warning"
            yield _notification(level, f"Step {step.step}, {step.name}, {step_line(step)}")
    for file in report.coverage.files_skipped:
        note = _notification("note", f"Not read: {one_line(file.reason)}")
        yield note | {"locations": [{"physicalLocation": {"artifactLocation": _artifact(file.path)}}]}
    hidden = report.coverage.skipped_total - len(report.coverage.files_skipped)
    if hidden > 0:
        yield _notification("note", f"Not read: {hidden} more files")
    yield from (_notification("note", one_line(note) or "note") for note in report.coverage.notes)


def _notification(level: str, text: str) -> Json:
    return {"level": level, "message": {"text": text}}


def _provenance(report: Report) -> Json:
    repository = report.repository
    url = public_url(repository.url) if repository.url else ""
    if urlsplit(url).scheme not in ("http", "https", "ssh", "git"):
        return {}
    details: Json = {"repositoryUri": quote(url, safe=":/?#[]@!$&'()*+,;=%~")}
    return details | ({"revisionId": repository.revision} if repository.revision else {})


def _properties(report: Report) -> dict[str, Any]:
    check, score = report.evidence_check, report.score
    return {
        "coverage": report.coverage.state,
        "evidence": {"checked": check.checked, "repaired": check.repaired, "dropped": check.dropped},
        "mlTestScore": score.ml_test_score,
        "mlTestScoreSections": score.sections,
        "readinessByStep": dict(_readiness(report)),
        "reportDigest": report.digest,
        "revision": report.repository.revision,
        "rulesVersion": report.tool.rules_version,
    }


def _readiness(report: Report) -> Iterable[tuple[str, int | None]]:
    return ((step.name, step.readiness) for step in report.score.steps)
