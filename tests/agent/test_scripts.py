"""The scripted review and implementation of examples/churn, from the command line as `docs/agent.md` shows them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.agent import prices
from ml_engineer.report.schema import ClaimState, HandoffState, Report, StepState
from tests.support.console import Console, Result, clean_environment
from tests.support.messages_server import MessagesServer
from tests.support.review import finish
from tests.support.script import Agent, Script, Turn, call

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
PRICED = "claude-sonnet-5-5"
Play = Callable[..., tuple[Result, MessagesServer]]


@pytest.fixture
def churn(tmp_path: Path) -> Path:
    target = tmp_path / "churn"
    shutil.copytree(ROOT / "examples" / "churn", target)
    for command in (["init", "-q", "-b", "main", "."], ["add", "-A"], ["commit", "-qm", "Churn prototype"]):
        git(target, *command)
    return target


def git(target: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=target, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def program(console: Console, tmp_path: Path) -> Callable[..., Result]:
    environment = clean_environment(tmp_path / "home")
    return lambda *arguments, **more: console.run(arguments, environment | more)


@pytest.fixture
def play(program: Callable[..., Result], serve: Callable[..., MessagesServer]) -> Play:
    def run(name: str, *arguments: str | Path) -> tuple[Result, MessagesServer]:
        server = serve(Script.load(SCRIPTS / name))
        return program(*arguments, "--model", "scripted", ANTHROPIC_BASE_URL=server.url), server

    return run


def test_the_scripted_review(play: Play, churn: Path) -> None:
    result, server = play("churn_review.yaml", "review", churn, "--format", "json")
    assert result.returncode == 0, result.stderr
    report = Report.model_validate_json(result.stdout)
    steps = [one for one in server.requests if "# Your step" in str(one.body["messages"][0])]
    assert len(steps) == 10 + 1 + 1 + 2, "three steps look before they finish, and one corrects itself"
    assert len(server.requests) == report.usage.turns
    answers = {one.peer: one.reply for one in report.handoffs if one.state is HandoffState.ANSWERED}
    assert list(answers) == ["data-scientist"]
    assert report.sections.monitoring_alerts["Model Drift"].text.endswith("(data-scientist)")
    assert {one.rule for one in report.findings if one.rule.startswith("MODEL")} == {"MODEL01", "MODEL05"}
    assert report.sections.mlops_implementation["Rollback Strategy"].state is ClaimState.PROPOSED
    assert report.steps[4].summary.startswith("The container does not start as it is")
    assert report.evidence_check.dropped == 0
    assert git(churn, "status", "--porcelain") == ""


def test_the_scripted_implementation_applied_and_discarded(
    play: Play, program: Callable[..., Result], churn: Path
) -> None:
    result, _ = play(
        "churn_implement.yaml", "implement", churn, "Refuse bad input", "--permission", "accept-edits", "--stream-json"
    )
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    run, last = lines[0]["session_id"], lines[-1]
    assert (last["type"], last["subtype"], last["is_error"]) == ("result", "success", False)
    titles = git(churn, "log", "--format=%s", f"main..ml-engineer/{run}").splitlines()
    assert titles == [
        "Let failing tests stop the pipeline",
        "Answer bad input with a 400 that names the field",
        "Define the logger that the upload route uses",
    ]
    patch = program("runs", "apply", run, "--patch")
    assert "+++ b/validation.py" in patch.stdout
    assert not (churn / "validation.py").exists()
    applied = program("runs", "apply", run)
    assert applied.returncode == 0, applied.stderr
    assert (churn / "validation.py").exists()
    assert git(churn, "status", "--porcelain") == ""
    assert program("runs", "discard", run).returncode == 0
    assert git(churn, "branch", "--format=%(refname:short)").split() == ["main"]
    assert git(churn, "worktree", "list").count("\n") == 1
    assert program("runs", "list").stdout == ""


def test_a_cap_on_cost_holds_over_steps_and_peers_and_the_report_says_so(
    program: Callable[..., Result], serve: Callable[..., MessagesServer], churn: Path
) -> None:
    dear = {"usage": {"input_tokens": 20_000, "output_tokens": 1_000}}
    look = {"blocks": [call("Grep", pattern="logger")], **dear}
    server = serve(Script([Agent([Turn.read(look), Turn.read({"blocks": [finish()], **dear})])]))
    cost = prices.cost(PRICED, prices.Tokens.of(dear["usage"]))
    assert cost is not None
    limit = cost * 7
    arguments = ("review", churn, "--model", PRICED, "--max-cost", f"{limit}", "--format", "json")
    result = program(*arguments, ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="x")
    assert result.returncode == 2, result.stderr
    assert "Coverage is partial" in result.stderr
    report = Report.model_validate_json(result.stdout)
    spent = report.usage.cost_usd
    assert spent != "unpriced"
    assert float(limit - 2 * cost) <= spent <= float(limit + cost), "used up, and past it by no more than a turn"
    assert spent == pytest.approx(float(cost) * len(server.requests))
    states = [one.state for one in report.steps]
    assert states[:2] == [StepState.DONE] * 2
    assert StepState.DEFERRED in states
    for one in report.steps:
        if one.state is StepState.DEFERRED:
            assert f"the budget of ${limit} does not allow another call" in (one.reason or "")
    assert report.coverage.state == "partial"
    for handed in report.handoffs:
        assert handed.reply is not None
        assert f"not asked: the budget of ${limit}" in str(handed.reply.error)


def test_a_stream_ends_with_a_result_also_where_nothing_can_be_done(
    program: Callable[..., Result], churn: Path
) -> None:
    result = program("implement", churn, "Make it safe", "--stream-json", "--permission", "full")
    assert result.returncode == 2
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (line["type"], line["subtype"], line["is_error"]) == ("result", "error_during_execution", True)
    assert "implement needs a model" in line["result"]
    assert "Traceback" not in result.stderr
