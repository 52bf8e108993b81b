"""The Markdown keeps the specification's layout, whatever text the repository holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ml_engineer.report import markdown
from ml_engineer.report.schema import Report

# The Output Format of the specification: headings, fields and table, in its order.
LAYOUT = """\
## ML Production System Implementation
### Model Deployment
- **Model Type:**
- **Deployment Pattern:**
- **Infrastructure:**
- **Serving Framework:**
### Training Pipeline
| Stage | Tool/Framework | Automation | Monitoring |
|-------|----------------|------------|------------|
| Data Prep |
| Training |
| Validation |
### Performance Metrics
- **Latency:**
- **Throughput:**
- **Resource Usage:**
- **Accuracy:**
### ML Infrastructure
- **Training Environment:**
- **Model Registry:**
- **Feature Store:**
- **Monitoring Stack:**
### Integration Points
- **API Endpoints:**
- **Data Sources:**
- **Application Integration:**
- **Feedback Loops:**
### MLOps Implementation
- **CI/CD Pipeline:**
- **Experiment Tracking:**
- **A/B Testing:**
- **Rollback Strategy:**
### Monitoring & Alerts
- **Model Drift:**
- **Performance Degradation:**
- **Infrastructure Health:**
- **Data Quality:**
### Findings
### Score
### Hand-offs
### Evidence
### Coverage
### Suppressed
### Run
""".splitlines()


def parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def flat(tokens: list[Token]) -> list[Token]:
    return [part for token in tokens for part in (token, *(token.children or []))]


def test_every_heading_field_and_row_stands_in_its_order(report: Report) -> None:
    lines = iter(markdown.render(report).splitlines())
    for expected in LAYOUT:
        assert any(line.startswith(expected) for line in lines), f"missing or out of order: {expected}"


def test_between_the_headings_of_the_layout_stands_nothing_else(report: Report) -> None:
    """The seven sections hold their fields and nothing more."""
    text = markdown.render(report)
    body = text[text.index("### Model Deployment") : text.index("### Findings")]
    found = [line for line in body.splitlines() if line]
    wanted = LAYOUT[1 : LAYOUT.index("### Findings")]
    assert len(found) == len(wanted)
    assert all(line.startswith(start) for line, start in zip(found, wanted, strict=True))


def test_a_claim_shows_its_state_and_where_to_check_it(report: Report) -> None:
    text = markdown.render(report)
    assert "- **Serving Framework:** Flask (*present*: `app.py:3`)\n" in text
    assert "- **Feature Store:** not needed at this size (*proposed*)\n" in text
    assert "- **Latency:** 41.5 ms at the 95th percentile (*measured*: `p95 latency = 41.5 ms`)\n" in text


def test_a_field_that_no_one_assessed_is_still_there(report: Report) -> None:
    sections = report.sections.model_copy(update={"ml_infrastructure": {}})
    text = markdown.render(report.model_copy(update={"sections": sections}))
    assert "- **Model Registry:** not assessed (*unknown*)" in text


def test_findings_come_worst_first_with_remedy_and_quoted_line(report: Report) -> None:
    text = markdown.render(report.model_copy(update={"findings": report.findings[::-1]}))
    severities = re.findall(r"^#### \d+\. (\w+):", text, re.M)
    assert severities == ["CRITICAL", "HIGH", "HIGH", "MEDIUM", "MEDIUM", "LOW", "INFO"]
    assert '`app.py:6`\n\n```text\n6 | model = pickle.load(open("model.pkl", "rb"))\n```' in text
    assert "`notebooks/eda.ipynb[cell 1]:2`" in text


def test_partial_coverage_is_said_at_the_top(report: Report) -> None:
    assert "Coverage is partial: 1 file not read." in markdown.render(report).split("###")[0]
    complete = report.coverage.model_copy(update={"state": "complete"})
    assert "partial" not in markdown.render(report.model_copy(update={"coverage": complete})).split("###")[0]


def test_a_token_in_the_url_is_not_shown(report: Report) -> None:
    url = "https://user:s3cret@example.org/churn.git?token=s3cret"
    repository = report.repository.model_copy(update={"url": url})
    text = markdown.render(report.model_copy(update={"repository": repository}))
    assert "s3cret" not in text
    assert "example.org/churn.git" in text


@pytest.mark.parametrize(
    "text",
    [
        "a | b",
        "`a | b`",
        "\\|",
        "\\",
        "`",
        "``",
        "*bold* _it_ ~~gone~~",
        "<script>alert(1)</script>",
        "[x](http://a.b)",
        "![x](y)",
        "http://a.b",
        "&lt;",
        "# h",
        "- x",
        "1. x",
        "a\n\nb",
        "```\n# h",
        "a\r\n| b",
        "$x$",
        "\x1b[31m",
        "x  ",
    ],
)
def test_text_of_the_repository_is_text(filled: Callable[[str], Report], text: str) -> None:
    assert_same_structure(filled, text)


CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from("|`\\*_[]<>\n#-&~1. ")


@settings(max_examples=20)
@given(text=st.text(CHARACTERS, max_size=25), at_end=st.booleans())
def test_any_text_of_the_repository_is_text(filled: Callable[[str], Report], text: str, at_end: bool) -> None:
    assert_same_structure(filled, f"{text}x" if at_end else f"x{text}")


def assert_same_structure(filled: Callable[[str], Report], text: str) -> None:
    """The document has the same blocks as with harmless text, and nothing in it became a link, an image or HTML.

    A pipe that opens a further cell shows in the states, set in italics, that are then cut off with the last cell.
    """
    plain = parse(markdown.render(filled("x")))
    tokens = parse(markdown.render(filled(text)))
    assert [token.type for token in tokens] == [token.type for token in plain]
    kinds = Counter(token.type for token in flat(tokens))
    harmless = Counter(token.type for token in flat(plain))
    marks = {"em_open", "strong_open", "html_inline", "html_block", "link_open", "image", "s_open"}
    assert {mark: kinds[mark] for mark in marks} == {mark: harmless[mark] for mark in marks}


@given(text=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=25))
def test_what_is_read_is_what_was_written(text: str) -> None:
    """Escaping shows in no rendering: the words come out as they went in, without the backticks around code."""
    inline = next((token for token in parse(f"x {markdown.escape(text)}") if token.type == "inline"), None)
    shown = "".join(part.content for part in (inline.children or [] if inline else []))
    assert shown.replace("`", "").split() == ["x", *text.replace("`", "").split()]
