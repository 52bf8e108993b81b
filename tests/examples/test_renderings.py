"""The real reports of the examples, in every format."""

from __future__ import annotations

import asyncio
import io
import json
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from ml_engineer.agent.runs import Run
from ml_engineer.agent.survey import Survey
from ml_engineer.agent.workflow import Context, review
from ml_engineer.report import html, markdown, sarif
from ml_engineer.report.schema import SECTION_FIELDS, Report
from ml_engineer.report.terminal import ReportView
from tests.report.test_sarif import validator

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("churn", "vision", "churn-production")


@cache
def report_of(name: str) -> Report:
    root = EXAMPLES / name
    run = Run.in_memory(
        {"mode": "review", "target": str(root), "steps": list(range(1, 11)), "known": [], "baseline": None}
    )
    return asyncio.run(review(Context(run=run, root=root, survey=Survey(root))))


@pytest.mark.parametrize("name", NAMES)
def test_all_evidence_of_a_real_report_holds(name: str):
    check = report_of(name).evidence_check
    assert check.checked > 50
    assert (check.dropped, check.repaired) == (0, 0), check.dropped_items


@pytest.mark.parametrize("name", NAMES)
def test_sarif_of_a_real_report_validates_against_the_public_schema(name: str):
    assert list(validator().iter_errors(json.loads(sarif.render(report_of(name))))) == []


@pytest.mark.parametrize("name", NAMES)
def test_markdown_has_every_field_in_the_order_of_the_specification(name: str):
    text = markdown.render(report_of(name))
    position = 0
    for title, fields in SECTION_FIELDS.values():
        if title == "Performance Metrics":
            position = text.index("| Stage | Tool/Framework | Automation | Monitoring |", position)
        position = text.index(f"### {title}", position)
        for field in fields:
            position = text.index(f"- **{field}:**", position)


@pytest.mark.parametrize("name", NAMES)
def test_html_is_one_file_without_external_resources(name: str):
    page = html.render(report_of(name))
    assert "<script" not in page
    assert 'src="http' not in page
    assert 'rel="stylesheet"' not in page


@pytest.mark.parametrize("width", [40, 100])
def test_the_terminal_view_keeps_to_its_width(width: int):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(ReportView(report_of("churn")))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert any("Fix first" in line for line in lines)


def test_every_field_of_the_report_says_something_with_its_state():
    report = report_of("churn")
    for attribute, (_, fields) in SECTION_FIELDS.items():
        section = getattr(report.sections, attribute)
        assert list(section) == list(fields)
        for claim in section.values():
            assert claim.text
            assert claim.evidence or claim.state.value == "unknown"
