"""Rows and findings of batches that were never run, for what is made of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from ml_engineer.interfaces.batch.summary import Fault, Row, Summary
from ml_engineer.report.schema import STEP_NAMES, Severity, StepScore

Faults = dict[str, list[Fault]]


def fault(fingerprint: str = "f1", rule: str = "MLE0506", severity: str = "high", **more: Any) -> Fault:
    given = {"confidence": "high", "title": "Debug mode is on", "path": "app.py", "line": 3, "sites": 1} | more
    return Fault(fingerprint=fingerprint, rule=rule, step=int(rule[3:5]), severity=Severity(severity), **given)


def row(name: str, faults: list[Fault] | None = None, **more: Any) -> Row:
    """A reviewed repository with these findings, 60 % ready in every step."""
    counts = {severity: sum(one.severity is severity for one in faults or []) for severity in Severity}
    given: dict[str, Any] = {
        "place": f"/repositories/{name}",
        "folder": f"{name}-00000000",
        "state": "reviewed",
        "what": "Classification · API · Flask",
        "readiness": 60,
        "ml_test_score": 1.0,
        "by_severity": counts,
        "steps": [score(step, 60) for step in STEP_NAMES],
        "rules_version": "r1",
    }
    return Row(name=name, **(given | more))


def failed(name: str, error: str = "it cannot be fetched") -> Row:
    blank = {"readiness": None, "ml_test_score": None, "by_severity": {}, "steps": [], "what": "", "rules_version": ""}
    return row(name, state="failed", error=error, error_kind="refused", **blank)


def score(step: int, readiness: int | None) -> StepScore:
    return StepScore(step=step, name=STEP_NAMES[step], readiness=readiness, checks_applicable=10, checks_failed=4)


def summary_of(rows: list[Row], faults: Faults) -> Summary:
    return Summary.of(rows, ((folder, one) for folder, found in faults.items() for one in found))


@cache
def large(repositories: int, findings: int) -> tuple[Summary, Faults]:
    """A batch of many repositories, and findings spread evenly over them and over the rules."""
    from ml_engineer.assessment.rules_index import load

    rules = load()
    faults: Faults = {}
    rows = []
    each = findings // repositories
    for number in range(repositories):
        found = []
        for at in range(each):
            rule = rules[(number * 7 + at * 13) % len(rules)]
            found.append(
                fault(f"f{number}-{at}", rule.id, rule.severity, title=rule.title, path=f"src/part{at}.py", line=at + 1)
            )
        steps = [score(step, (number * step * 17) % 101) for step in STEP_NAMES]
        more = {"owner": f"team {number % 20}", "readiness": (number * 37) % 101, "steps": steps}
        rows.append(row(f"repository-{number:04d}", found, **more))
        faults[rows[-1].folder] = found
    return summary_of(rows, faults), faults
