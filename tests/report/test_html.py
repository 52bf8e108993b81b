"""The page is one file that loads nothing, runs nothing, and keeps the repository's text as text."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_engineer.report import html
from ml_engineer.report.schema import SECTION_FIELDS, Report

XHTML = "{http://www.w3.org/1999/xhtml}"


def page(text: str) -> ET.Element:
    """The page, read by a parser that accepts only what is well-formed."""
    return ET.fromstring(text)


def texts(root: ET.Element, tag: str, css_class: str | None = None) -> list[str]:
    found = (e for e in root.iter(XHTML + tag) if css_class is None or css_class in e.get("class", "").split())
    return [" ".join("".join(element.itertext()).split()) for element in found]


def test_it_loads_nothing_and_runs_nothing(report: Report) -> None:
    text = html.render(report)
    root = page(text)
    tags = {element.tag.removeprefix(XHTML) for element in root.iter()}
    assert not tags & {"script", "link", "img", "iframe", "object", "form"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in {"style", "src", "srcset", "action", "data"}
            assert name != "href" or value.startswith("#")
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_admits_only_its_own_style_sheet(report: Report) -> None:
    root = page(html.render(report))
    policies = [e.get("content", "") for e in root.iter(XHTML + "meta") if e.get("http-equiv")]
    (style,) = root.iter(XHTML + "style")
    digest = base64.b64encode(hashlib.sha256((style.text or "").encode()).digest()).decode()
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]


def test_the_answer_comes_first(report: Report) -> None:
    text = " ".join("".join(page(html.render(report)).itertext()).split())
    order = ["Classification (binary)", "Ready for production", "ML Test Score", "Fix first", "Model Deployment"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "31 %" in text
    assert "55 of 180 checks hold" in text


def test_all_sections_and_fields_stand_in_order(report: Report) -> None:
    root = page(html.render(report))
    names = [(element.text or "").strip() for element in root.iter(XHTML + "dt")]
    wanted = [field for _, fields in SECTION_FIELDS.values() for field in fields]
    assert names[: len(wanted)] == wanted
    table = next(element for element in root.iter(XHTML + "table") if "rows" in element.get("class", ""))
    rows = [texts(row, "th") + texts(row, "td") for row in table.iter(XHTML + "tr")]
    assert rows[0] == ["Stage", "Tool/Framework", "Automation", "Monitoring"]
    assert [row[0] for row in rows[1:]] == ["Data Prep", "Training", "Validation"]
    assert {len(row) for row in rows} == {4}


def test_findings_fold_and_the_worst_are_open(report: Report) -> None:
    root = page(html.render(report))
    folds = [e for e in root.iter(XHTML + "details") if "finding" in e.get("class", "").split()]
    assert [e.get("open") is not None for e in folds] == [True, True, True, False, False, False, False]
    assert len({e.get("id") for e in folds}) == len(report.findings)
    links = {e.get("href", "")[1:] for e in root.iter(XHTML + "a")}
    assert links <= {e.get("id") for e in folds}


def test_each_severity_can_be_filtered_by_the_style_sheet_alone(report: Report) -> None:
    text = html.render(report)
    boxes = re.findall(r'type="checkbox" id="show-(\w+)" checked', text)
    assert boxes == ["critical", "high", "medium", "low", "info"]
    for severity in boxes:
        assert f"main:has(#show-{severity}:not(:checked)) .finding.is-{severity}" in text


def test_the_quoted_line_has_its_number(report: Report) -> None:
    root = page(html.render(report))
    quotes = ["".join(element.itertext()) for element in root.iter(XHTML + "pre")]
    assert '6model = pickle.load(open("model.pkl", "rb"))\n' in quotes


def test_the_pictures_show_readiness_and_score(report: Report) -> None:
    root = page(html.render(report))
    bars = [e.get("width") for e in root.iter(XHTML + "rect") if e.get("class") == "bar"]
    assert bars == [str(step.readiness) for step in report.score.steps if step.readiness is not None]
    cells = [e for e in root.iter(XHTML + "rect") if e.find(XHTML + "title") is not None]
    assert len(cells) == len(report.score.tests)
    assert all(e.get("aria-label") or e.get("aria-hidden") for e in root.iter(XHTML + "svg"))


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</style>", "]]>", "&amp;"]
)
def test_markup_in_the_repository_is_shown_as_text(filled: Callable[[str], Report], text: str) -> None:
    root = page(html.render(filled(text)))
    assert not list(root.iter(XHTML + "script"))
    assert not list(root.iter(XHTML + "img"))
    assert any(text in quote for quote in texts(root, "pre"))


# Line ends and backticks are left out: they give more lines and more code, which is what they should.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n`") | st.sampled_from("<>&\"'\0\x1b")


@settings(max_examples=40)
@given(text=st.text(CHARACTERS, max_size=25))
def test_any_text_leaves_the_page_well_formed(filled: Callable[[str], Report], text: str) -> None:
    plain = [element.tag for element in page(html.render(filled("x"))).iter()]
    assert [element.tag for element in page(html.render(filled(f"x{text}"))).iter()] == plain


def test_a_report_with_nothing_in_it_has_a_page(report: Report) -> None:
    empty = report.model_copy(update={"findings": [], "handoffs": [], "profile": [], "suppressed": []})
    score = report.score.model_copy(update={"steps": [], "tests": []})
    assert "No findings." in html.render(empty.model_copy(update={"score": score}))


def test_it_is_the_same_page_each_time(report: Report) -> None:
    assert html.render(report) == html.render(report.model_copy(deep=True))
