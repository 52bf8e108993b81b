"""The review of each example is held against its EXPECTED.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ml_engineer.assessment.assess import assess
from ml_engineer.assessment.record import Assessment
from ml_engineer.assessment.rule import all_rules
from ml_engineer.report.schema import Finding, Severity

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_ROW = re.compile(r"^\| (MLE\d{4}) \| (\w+) \| `?([^`|]+?)`? \| ([\d:-]+) \|")


@dataclass(frozen=True)
class Row:
    """A line of the table: where a finding of a rule is expected, and how bad."""

    rule: str
    severity: str
    path: str
    line: str


@cache
def expected(example: str) -> list[Row]:
    lines = (EXAMPLES / example / "EXPECTED.md").read_text().splitlines()
    return [Row(*match.groups()) for line in lines if (match := _ROW.match(line))]


@cache
def found(example: str) -> Assessment:
    return assess(EXAMPLES / example)


def places(finding: Finding) -> set[tuple[str, str]]:
    """Paths and lines (`cell:line` in a notebook) of a finding's evidence."""
    result = set()
    for evidence in finding.evidence:
        if evidence.kind == "quote":
            for line in range(evidence.line_start, evidence.line_end + 1):
                result.add((evidence.path, f"{evidence.cell}:{line}" if evidence.cell is not None else str(line)))
        elif evidence.kind == "absence":
            need = evidence.need
            result.add((need.path, f"{need.cell}:{need.line}" if need.cell is not None else str(need.line)))
    return result


def is_met(row: Row, findings: list[Finding]) -> bool:
    for finding in findings:
        if finding.rule != row.rule:
            continue
        where = places(finding)
        if row.path == "-" or (row.path, row.line) in where:
            return True
        if row.line == "-" and any(path == row.path for path, _ in where):
            return True
    return False


@pytest.mark.parametrize("example", ["churn", "vision"])
def test_every_expected_finding_of_a_rule_we_ship_is_there(example: str):
    shipped = {rule.id for rule in all_rules()}
    rows = [row for row in expected(example) if row.rule in shipped]
    missing = [row for row in rows if not is_met(row, found(example).findings)]
    assert missing == []


@pytest.mark.parametrize("example", ["churn", "vision"])
def test_nothing_critical_or_high_is_reported_that_is_not_expected(example: str):
    rules = {row.rule for row in expected(example)}
    unexpected = [
        f"{finding.rule} {sorted(places(finding))[:2]}"
        for finding in found(example).findings
        if finding.severity in (Severity.CRITICAL, Severity.HIGH) and finding.rule not in rules
    ]
    assert unexpected == []


def test_the_prototypes_have_faults_in_all_ten_steps():
    assert {finding.step for finding in found("churn").findings} == set(range(1, 11))
    assert len(expected("churn")) >= 25
    assert len(expected("vision")) >= 25


def test_the_production_example_has_nothing_critical_or_high_and_nothing_unexplained():
    rules = {row.rule for row in expected("churn-production")}
    bad = [
        f"{finding.severity.value} {finding.rule} {sorted(places(finding))[:2]}"
        for finding in found("churn-production").findings
        if finding.severity in (Severity.CRITICAL, Severity.HIGH)
        or (finding.severity is Severity.MEDIUM and finding.rule not in rules)
    ]
    assert bad == []


@pytest.mark.parametrize("example", ["churn", "vision", "churn-production"])
def test_no_rule_fails_on_an_example(example: str):
    assert found(example).problems == []


def test_the_production_example_scores_above_its_prototype():
    before, after = found("churn").score, found("churn-production").score
    assert after.ml_test_score > before.ml_test_score
    for old, new in zip(before.steps, after.steps, strict=True):
        assert old.readiness is None or new.readiness is None or new.readiness >= old.readiness, new.name
