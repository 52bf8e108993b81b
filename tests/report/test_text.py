"""Citations and the text helpers that all views share."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.report.schema import Absence, CommandRun, Evidence, Measurement, Place, Quote, Searched
from ml_engineer.report.text import (
    MAX_SHOWN_LINES,
    Span,
    describe,
    number,
    one_line,
    place,
    plural,
    public_url,
    quoted,
    some,
    spans,
    visible,
    where,
)
from ml_engineer.report.visible import visible_json


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("a\x1b[31m", "a\\x1b[31m"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("\u202ex\u2066", "\\u202ex\\u2066"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("tab\tand é stay\n", "tab\tand é stay\n"),
    ],
)
def test_control_characters_are_spelt_out(raw: str, seen: str) -> None:
    assert visible(raw) == seen


STEERING = "\x7f\x85\x9b\u200b\u2028\u202e\u2066\ufeff\U000e0041"


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(STEERING)))
def test_json_is_the_same_data_and_steers_no_terminal(text: str) -> None:
    shown = visible_json(json.dumps({text: [text]}, ensure_ascii=False))
    assert json.loads(shown) == {text: [text]}
    assert visible(shown) == shown


@given(st.text())
def test_one_line_is_one_line_and_can_be_written(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line == line.strip(" \t\n")
    line.encode()


def test_code_in_backticks_is_set_apart() -> None:
    assert spans("use `a b` now") == [Span("use ", False), Span("a b", True), Span(" now", False)]
    assert spans("one ` is none") == [Span("one ` is none", False)]
    assert spans("") == []


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (12345, "12,345 files")])
def test_plural(count: int, text: str) -> None:
    assert plural(count, "file") == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.5, "0.5"), (12.345, "12.35"), (123456.7, "123,457")])
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_some_names_the_first_and_counts_the_rest() -> None:
    assert some(["a", "b", "c"], 2) == "a, b and 1 more"
    assert some(["a", "b"], 2) == "a, b"


def test_places() -> None:
    assert place("a.py", 3) == "a.py:3"
    assert place("a.py", 3, 5) == "a.py:3-5"
    assert place("a.ipynb", 1, 1, 4) == "a.ipynb[cell 4]:1"
    assert place("a\nb.py", 1) == "a b.py:1"


@pytest.mark.parametrize(
    ("evidence", "cited", "told"),
    [
        (Quote(path="a.py", line_start=2, line_end=4, quote="x", sha256="", note="twice"), "a.py:2-4", "twice"),
        (
            Absence(need=Place(path="a.py", line=2), searched=Searched(patterns=["/health"], files=["a.py", "b.py"])),
            "a.py:2",
            "needed here; searched a.py, b.py for /health: not found",
        ),
        (CommandRun(command="make test", exit_code=2, record="r.txt"), "make test → exit 2", "whole output in r.txt"),
        (
            Measurement(name="p95", value=41.5, unit="ms", samples=1, method="by hand", record="r.json"),
            "p95 = 41.5 ms",
            "1 sample, by hand; figures in r.json",
        ),
    ],
)
def test_evidence_is_cited_and_described(evidence: Evidence, cited: str, told: str) -> None:
    assert where(evidence) == cited
    assert describe(evidence) == told


def test_a_long_quote_is_cut_and_the_rest_counted() -> None:
    text = "\n".join(f"line {n}" for n in range(MAX_SHOWN_LINES + 5))
    shown = quoted(Quote(path="a.py", line_start=10, line_end=40, quote=text, sha256=""))
    assert (shown.lines[0].number, shown.lines[-1].number) == (10, 9 + MAX_SHOWN_LINES)
    assert shown.more == 5


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:token@example.org:8443/a.git?access_token=x#y", "https://example.org:8443/a.git"),
        ("ssh://git@example.org/a.git", "ssh://example.org/a.git"),
        ("git@example.org:a.git", "git@example.org:a.git"),
        ("../a", "../a"),
    ],
)
def test_no_credentials_in_a_url(url: str, shown: str) -> None:
    assert public_url(url) == shown
