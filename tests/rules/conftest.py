"""`check("MLE0501", {"train.py": "…"})`: run one rule over files given as text, and get its findings."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ml_engineer.assessment.engine import run_rules
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import all_rules
from ml_engineer.report.schema import Finding

Check = Callable[[str, Mapping[str, str | bytes]], list[Finding]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Run one rule, given by its id (`MLE0807`, or `MLE0807/injection` for a part). Text is dedented."""

    def run(rule_id: str, files: Mapping[str, str | bytes]) -> list[Finding]:
        for path, content in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
        rule = next(rule for rule in all_rules() if rule.key == rule_id)
        (outcome,) = run_rules(Repo.open(tmp_path), [rule])
        assert outcome.error is None, outcome.error
        return outcome.findings

    return run


@pytest.fixture
def place() -> Callable[[Finding], tuple[str, int]]:
    """Path and line of a finding's first evidence."""

    def first(finding: Finding) -> tuple[str, int]:
        evidence = finding.evidence[0]
        if evidence.kind == "quote":
            return evidence.path, evidence.line_start
        assert evidence.kind == "absence"
        return evidence.need.path, evidence.need.line

    return first
