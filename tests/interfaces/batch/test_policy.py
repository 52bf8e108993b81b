"""A policy: what it asks, what it lets pass and until when, and what is wrong with its file."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.interfaces.batch.policy import Exempt, Forbid, Policy, PolicyError, Require, read_policy
from ml_engineer.interfaces.batch.summary import Fault, Row, Summary, Verdict
from ml_engineer.report.schema import Severity
from tests.interfaces.batch.conftest import Batch
from tests.interfaces.batch.material import failed, fault, row, score

TODAY = datetime.date(2026, 6, 1)
Many = Callable[[int], list[Path]]


def judged(policy: Policy, *rows: tuple[Row, list[Fault]], fail_on: str | None = None) -> Verdict:
    faults = {one.folder: found for one, found in rows}
    severity = Severity(fail_on) if fail_on else None
    return policy.judge([one for one, _ in rows], faults, fail_on=severity, today=TODAY)


def exempt(until: str = "2026-12-31", **more: str) -> Exempt:
    given = {"repository": "a", "rule": "MLE0506", "reason": "moved soon"} | more
    return Exempt(until=datetime.date.fromisoformat(until), **given)


def texts(verdict: Verdict) -> list[str]:
    return [f"{one.repository}: {one.text}" for one in verdict.breaches]


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_a_severity_counts_what_is_at_or_above_it() -> None:
    found = [fault("f1", severity="high"), fault("f2", severity="critical"), fault("f3", severity="low")]
    assert judged(Policy(), (row("a"), found), fail_on="low").breaches[0].text == "3 findings at or above low"
    verdict = judged(Policy(), (row("a"), found), (row("b"), []), fail_on="high")
    assert (verdict.state, texts(verdict)) == ("failed", ["a: 2 findings at or above high"])
    assert judged(Policy(), (row("a"), found[2:]), fail_on="high").state == "passed"


def test_a_forbidden_rule_may_be_broken_nowhere() -> None:
    policy = Policy(forbid=Forbid(rules=["MLE0506", "MLE1010"]))
    verdict = judged(policy, (row("a"), [fault("f1"), fault("f2")]), (row("b"), [fault("f3", "MLE0519")]))
    assert texts(verdict) == ["a: MLE0506 is forbidden: 2 findings"]
    assert verdict.breaches[0].asked == "no finding of MLE0506: The service starts in debug mode"
    assert judged(policy, (row("b"), [fault("f3", "MLE0519")])).state == "passed"


def test_a_score_is_asked_of_each_repository() -> None:
    policy = Policy(require=Require(readiness=60, ml_test_score=1.0))
    assert judged(policy, (row("a"), [])).state == "passed"
    verdict = judged(policy, (row("a", readiness=59), []), (row("b", ml_test_score=0.5), []))
    assert texts(verdict) == [
        "a: readiness is 59 %; required are 60 %",
        "b: ML Test Score is 0.5; required is 1",
    ]
    assert "unknown" in texts(judged(policy, (row("a", readiness=None), [])))[0]


def test_a_step_is_asked_where_a_check_of_it_applies() -> None:
    policy = Policy(require=Require(steps={5: 70, 7: 50}))
    steps = [score(5, 69), score(7, None)]
    assert texts(judged(policy, (row("a", steps=steps), []))) == [
        "a: readiness of step 5, Model Deployment, is 69 %; required are 70 %"
    ]
    assert judged(policy, (row("a", steps=[score(5, 70), score(7, 50)]), [])).state == "passed"


@pytest.mark.parametrize("other", [failed("b"), row("b", state="waiting"), row("b", state="partial")])
def test_what_was_not_looked_at_is_never_green(other: Row) -> None:
    assert judged(Policy(), (row("a"), []), (other, []), fail_on="low").state == "incomplete"
    assert judged(Policy(), (row("a"), [fault()]), (other, []), fail_on="low").state == "failed"
    assert judged(Policy(), fail_on="low").state == "incomplete"


def test_what_was_found_in_a_part_counts_and_what_has_no_report_breaks_nothing_more() -> None:
    policy = Policy(require=Require(readiness=50), forbid=Forbid(rules=["MLE0506"]))
    verdict = judged(policy, (row("a", state="partial"), [fault()]), (failed("b"), []), (row("c", readiness=5), []))
    assert texts(verdict) == ["a: MLE0506 is forbidden: 1 finding", "c: readiness is 5 %; required are 50 %"]


# --- exceptions -------------------------------------------------------------------------------------------------------


def test_an_exception_puts_its_findings_aside_to_the_end_of_its_day() -> None:
    found = (row("a"), [fault("f1"), fault("f2", "MLE1010")])
    forbid = Forbid(rules=["MLE0506"])
    holding = judged(Policy(forbid=forbid, exception=[exempt("2026-06-01")]), found)
    assert (holding.state, holding.breaches, holding.day) == ("passed", [], "2026-06-01")
    assert [(one.state, one.findings) for one in holding.exceptions] == [("used", 1)]
    expired = judged(Policy(forbid=forbid, exception=[exempt("2026-05-31")]), found)
    assert (expired.state, len(expired.breaches)) == ("failed", 1)
    assert [(one.state, one.findings, one.until) for one in expired.exceptions] == [("expired", 1, "2026-05-31")]


def test_an_exception_holds_for_fail_on_too_and_for_nothing_else() -> None:
    found = (row("a", readiness=10), [fault("f1"), fault("f2", "MLE1010")])
    policy = Policy(require=Require(readiness=50), exception=[exempt()])
    kinds = [(one.kind, one.text) for one in judged(policy, found, fail_on="high").breaches]
    assert kinds == [("severity", "1 finding at or above high"), ("readiness", "readiness is 10 %; required are 50 %")]


def test_an_exception_is_for_the_repositories_of_its_pattern() -> None:
    rows = [(row(name), [fault()]) for name in ("churn-a", "churn-b", "fraud")]
    named = judged(Policy(exception=[exempt(repository="churn-*")]), *rows, fail_on="high")
    assert [one.repository for one in named.breaches] == ["fraud"]
    assert named.exceptions[0].findings == 2
    placed = judged(Policy(exception=[exempt(repository="/repositories/fraud")]), *rows, fail_on="high")
    assert [one.repository for one in placed.breaches] == ["churn-a", "churn-b"]


def test_an_exception_that_is_for_nothing_is_named() -> None:
    verdict = judged(Policy(exception=[exempt(repository="gone")]), (row("a"), []), fail_on="high")
    assert [one.state for one in verdict.exceptions] == ["unused"]


def test_one_that_holds_helps_where_another_has_expired() -> None:
    policy = Policy(exception=[exempt("2026-01-01"), exempt("2026-12-31")])
    verdict = judged(policy, (row("a"), [fault()]), fail_on="high")
    assert (verdict.state, [one.state for one in verdict.exceptions]) == ("passed", ["expired", "used"])


# --- the file ---------------------------------------------------------------------------------------------------------

WHOLE = """
[require]
readiness = 60
ml_test_score = 1
steps = { 5 = 70 }

[forbid]
rules = ["MLE0506", "MODEL05"]

[[exception]]
repository = "churn*"
rule = "MLE0506"
reason = "behind the gateway"
until = 2026-12-31
"""


def read(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return read_policy(path)


def test_a_file_says_all_of_it(tmp_path: Path) -> None:
    policy = read(tmp_path, WHOLE)
    assert policy.require == Require(readiness=60, ml_test_score=1.0, steps={5: 70})
    assert policy.forbid.rules == ["MLE0506", "MODEL05"]
    (one,) = policy.exception
    assert (one.repository, one.until) == ("churn*", datetime.date(2026, 12, 31))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[required]", "required is not known in a policy; there are require, forbid, exception"),
        ("[require]\nscore = 5", "score is not known in require; there are readiness, ml_test_score, steps"),
        ("[forbid]\nrule = []", "rule is not known in forbid; there are rules"),
        ("[require]\nreadiness = 101", "require.readiness: Input should be less than or equal to 100"),
        ("[require]\nreadiness = true", "require.readiness"),
        ("[require]\nsteps = { 11 = 5 }", "require.steps.11"),
        ("[forbid]\nrules = ['MLE9999']", "forbid.rules: there is no rule MLE9999; `ml-engineer rules` lists all"),
        (WHOLE.replace("until = 2026-12-31", ""), "exception.1.until is missing"),
        (WHOLE.replace("until =", "ends = 1\nuntil ="), "ends is not known in exception; there are repository, rule"),
        (WHOLE.replace("behind the gateway", " "), "exception.1.reason"),
        ("a = = 1", "the policy is not TOML"),
        ("a = '\x1b[31m'", "the policy is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert str(tmp_path / "policy.toml") in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, "[require]\nreadiness = -1\nscore = 1\n")
    assert len(str(caught.value).splitlines()) == 2


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path / "none.toml")


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_batch_keeps_a_policy_or_says_what_does_not(batch: Batch, many: Many, tmp_path: Path, out: Path) -> None:
    roots = many(2)
    path = tmp_path / "policy.toml"
    path.write_text("[require]\nreadiness = 1\n")
    kept = batch(*roots, "--policy", path)
    assert kept.exit_code == 0, kept.stderr
    assert "Policy: kept" in kept.stdout
    exception = '[[exception]]\nrepository = "r000"\nrule = "MLE0506"\nreason = "old"\nuntil = 2020-01-31\n'
    path.write_text(f'[forbid]\nrules = ["MLE0506"]\n{exception}')
    broken = batch(*roots, "--policy", path)
    assert broken.exit_code == 1
    assert "Policy: not kept by 2 repositories" in broken.stdout
    assert "r000: MLE0506 is forbidden: 1 finding" in broken.stdout
    assert "exception expired on 2020-01-31: r000 MLE0506; 1 finding counts again" in broken.stdout
    summary = Summary.model_validate_json((out / "summary.json").read_bytes())
    assert summary.policy is not None
    assert (summary.policy.state, len(summary.policy.breaches)) == ("failed", 2)
    assert batch(*roots).exit_code == 0
    assert Summary.model_validate_json((out / "summary.json").read_bytes()).policy is None


def test_a_policy_is_never_green_where_a_repository_failed(batch: Batch, many: Many, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "policy.toml").write_text("[require]\nreadiness = 1\n")
    result = batch(*many(1), "empty", "--policy", "policy.toml")
    assert result.exit_code == 2
    assert "Policy: not all was looked at" in result.stdout


def test_a_policy_that_asks_for_nothing_is_refused_before_the_work(
    batch: Batch, many: Many, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "policy.toml").write_text(WHOLE.partition("[[exception]]")[1] + WHOLE.partition("[[exception]]")[2])
    result = batch(*many(1), "--policy", "policy.toml")
    assert result.exit_code == 2
    assert "asks for nothing" in result.stderr
    assert not out.exists()
    assert "Policy: " in batch(*many_more(tmp_path), "--policy", "policy.toml", "--fail-on", "critical").stdout


def many_more(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "repos").iterdir())
