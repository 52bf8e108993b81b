"""The answer that every view opens with."""

from __future__ import annotations

import pytest

from ml_engineer.report import html
from ml_engineer.report.schema import Claim, ClaimState, Confidence, Report, Severity, StepState, TokenUsage, Usage
from ml_engineer.report.summary import cost_line, evidence_line, rank, readiness_line, severity_line, summarise


def test_the_answer(report: Report) -> None:
    answer = summarise(report)
    assert answer.what == "Classification (binary), RandomForestClassifier · API · Flask"
    assert (answer.checks_held, answer.checks_applicable, answer.readiness) == (55, 180, 31)
    assert severity_line(answer) == "1 critical · 2 high · 2 medium · 1 low · 1 info"
    assert readiness_line(answer) == "31 % ready: 55 of 180 checks hold"


def test_what_is_only_proposed_or_unknown_is_not_what_it_is(report: Report) -> None:
    claim = Claim(text="Kubernetes", state=ClaimState.PROPOSED)
    fields = {"Model Type": claim, "Deployment Pattern": Claim(text="none", state=ClaimState.UNKNOWN)}
    sections = report.sections.model_copy(update={"model_deployment": fields})
    what = summarise(report.model_copy(update={"sections": sections})).what
    assert what == "nothing is known yet about the model and its deployment"


def test_findings_are_ranked_by_severity_then_confidence_then_the_reports_own_order(report: Report) -> None:
    unsure = report.findings[0].model_copy(update={"confidence": Confidence.LOW})
    ranked = rank([*report.findings[::-1], unsure])
    assert [f.rule for f in ranked[:4]] == ["MLE0502", "MLE0502", "MLE0401", "MLE0506"]
    assert ranked[1] is unsure


def test_what_to_fix_first_leaves_out_mere_information(report: Report) -> None:
    assert [f.severity for f in summarise(report).fix_first] == [
        Severity.CRITICAL,
        Severity.HIGH,
        Severity.HIGH,
        Severity.MEDIUM,
        Severity.MEDIUM,
    ]
    only = [f for f in report.findings if f.severity is Severity.INFO]
    assert summarise(report.model_copy(update={"findings": only})).fix_first == []


def test_no_applicable_check_is_not_zero_percent(report: Report) -> None:
    score = report.score.model_copy(update={"steps": []})
    answer = summarise(report.model_copy(update={"score": score}))
    assert answer.readiness is None
    assert readiness_line(answer) == "no check applies"


def test_where_nothing_of_a_model_was_found_nothing_is_ready(report: Report) -> None:
    nothing = Claim(text="none", state=ClaimState.UNKNOWN)
    deployment = dict.fromkeys(report.sections.model_deployment, nothing)
    rows = [row.model_copy(update={"tool": nothing}) for row in report.sections.training_pipeline]
    sections = report.sections.model_copy(update={"model_deployment": deployment, "training_pipeline": rows})
    done = [step.model_copy(update={"state": StepState.DONE}) for step in report.coverage.steps]
    coverage = report.coverage.model_copy(update={"steps": done})
    empty = report.model_copy(update={"sections": sections, "coverage": coverage})
    line = readiness_line(summarise(empty))
    assert line == "nothing of a model was found; 55 of 180 checks that every repository needs hold"
    assert "<small>%</small>" not in html.render(empty)
    assert line in html.render(empty)
    partly = [*done[:-1], done[-1].model_copy(update={"state": StepState.SKIPPED})]
    part = empty.model_copy(update={"coverage": coverage.model_copy(update={"steps": partly})})
    assert readiness_line(summarise(part)) == "31 % ready: 55 of 180 checks hold"


@pytest.mark.parametrize("url", ["/srv/churn.git", "../churn", "file:///srv/churn", "~/churn"])
def test_a_clone_of_a_folder_is_where_it_is_and_not_where_it_came_from(report: Report, url: str) -> None:
    repository = report.repository.model_copy(update={"url": url, "path": "/home/anna/churn"})
    assert summarise(report.model_copy(update={"repository": repository})).origin.startswith("/home/anna/churn · ")


def test_gaps_name_the_steps_and_files_that_are_missing(report: Report) -> None:
    steps = list(report.coverage.steps)
    steps[5] = steps[5].model_copy(update={"state": StepState.DEFERRED, "reason": "no budget left"})
    coverage = report.coverage.model_copy(update={"steps": steps, "notes": ["shallow clone"]})
    gaps = summarise(report.model_copy(update={"coverage": coverage})).gaps
    assert gaps == [
        "step 6 Performance Optimization deferred: no budget left",
        "1 file not read",
        "shallow clone",
    ]
    complete = report.coverage.model_copy(update={"state": "complete"})
    assert summarise(report.model_copy(update={"coverage": complete})).gaps == []


def test_an_unknown_price_is_said_and_never_zero(report: Report) -> None:
    assert cost_line(report) == "no model was asked"
    usage = Usage(turns=3, tokens=TokenUsage(input=1000, output=234), cost_usd="unpriced")
    assert cost_line(report.model_copy(update={"usage": usage})) == "3 turns · 1,234 tokens · unpriced"
    priced = usage.model_copy(update={"cost_usd": 0.5})
    assert cost_line(report.model_copy(update={"usage": priced})) == "3 turns · 1,234 tokens · $0.50"


def test_the_evidence_check_is_counted(report: Report) -> None:
    assert evidence_line(report) == "31 pieces of evidence re-read: 2 lines repaired, 1 dropped"
