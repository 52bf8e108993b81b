"""The terminal view: the answer first, at any width, with or without colour, and deaf to control characters."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from ml_engineer.report.schema import PIPELINE_STAGES, SECTION_FIELDS, Report
from ml_engineer.report.terminal import ReportView


def shown(report: Report, width: int = 100, *, colour: bool = False, page: str = "") -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=colour, color_system="truecolor" if colour else None, _environ={}
    )
    console.print(ReportView(report, page))
    return file.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 72, 100, 200])
def test_the_answer_comes_before_the_detail(report: Report, width: int) -> None:
    text = words(shown(report, width))
    order = [
        "churn Classification (binary)",
        "31 % ready: 55 of 180 checks hold",
        "1 critical · 2 high",
        "not looked at: 1 file not read",
        "Fix first",
        "Readiness by step",
        "Model Deployment",
        "Findings (7)",
        "Evidence and coverage",
        "In short",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_the_last_lines_say_again_how_ready_it_is_what_to_fix_first_and_where_the_report_is(
    report: Report, width: int
) -> None:
    page = f"ml-engineer runs report {report.run.id} --format html -o report.html"
    detail, _, end = shown(report, width, page=page).rpartition("In short")
    assert "Findings (7)" in detail
    assert len(end.splitlines()) <= 14, "it fits a small terminal"
    said = words(end)
    for part in ("31 % ready: 55 of 180 checks hold · 1 critical", "1. critical The model is unpickled", f"→ {page}"):
        assert part in said


@pytest.mark.parametrize("width", [40, 72, 100])
def test_no_line_is_wider_than_the_terminal(report: Report, width: int) -> None:
    assert max(map(cell_len, shown(report, width).splitlines())) <= width


@pytest.mark.parametrize("width", [40, 100])
def test_every_section_field_and_row_is_there(report: Report, width: int) -> None:
    text = words(shown(report, width))
    for title, fields in SECTION_FIELDS.values():
        assert title in text
        assert all(field in text for field in fields)
    assert all(stage in text for stage in PIPELINE_STAGES)
    assert "Flask [present] app.py:3" in text


def test_a_finding_shows_why_remedy_and_the_quoted_line(report: Report) -> None:
    text = shown(report)
    assert "1. CRITICAL  The model is unpickled at import of the server" in text
    assert "→ Store the model with `skops`, or check a signature before loading." in text
    assert '6 model = pickle.load(open("model.pkl", "rb"))' in text


@pytest.mark.parametrize("width", [40, 100])
def test_notes_and_where_the_briefs_are_are_said(report: Report, width: int) -> None:
    coverage = report.coverage.model_copy(update={"notes": ["pyproject.toml: no setting"]})
    text = words(shown(report.model_copy(update={"coverage": coverage}), width))
    assert "pyproject.toml: no setting" in text
    assert f"in the run's folder, which `ml-engineer runs show {report.run.id}` names." in text


def test_in_a_narrow_terminal_the_name_of_a_step_goes_on_under_its_beginning(report: Report) -> None:
    lines = shown(report, 40).split("\n")
    at = next(at for at, line in enumerate(lines) if line.startswith(" 6 Performance"))
    assert lines[at + 1].startswith("   Optimization")


def test_without_colour_there_is_no_escape_sequence_and_the_same_words(report: Report) -> None:
    plain, coloured = shown(report), shown(report, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert words(stripped.replace("━", "").replace("╸", "").replace("╺", "")) == words(
        plain.replace("━", "").replace("╸", "")
    )


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", ":smile:", "[link=file:///x]y[/link]"])
def test_console_markup_in_the_repository_is_text(filled: Callable[[str], Report], text: str) -> None:
    assert text in shown(filled(text), 200)


CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x1b\x07\r\b\x9b\u202e[]")


@settings(max_examples=15)
@given(text=st.text(CHARACTERS, max_size=20))
def test_no_text_of_the_repository_controls_the_terminal(filled: Callable[[str], Report], text: str) -> None:
    """Escape, bell, carriage return, backspace, control sequence introducer and direction override are spelt out."""
    out = shown(filled(text), 80)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", out)
