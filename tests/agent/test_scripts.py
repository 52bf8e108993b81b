"""The scripted review and implementation of examples/churn, from the command line as `docs/agent.md` shows them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.report.schema import ClaimState, Report
from tests.support.messages_server import MessagesServer
from tests.support.script import Script

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
PROGRAM = Path(sysconfig.get_path("scripts")) / "ml-engineer"
Result = subprocess.CompletedProcess[str]
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
def program(tmp_path: Path) -> Callable[..., Result]:
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TMPDIR")}
    home = {"ML_ENGINEER_HOME": str(tmp_path / "home"), "HOME": str(tmp_path / "home")}

    def call(*arguments: str | Path, **more: str) -> Result:
        return subprocess.run(
            [str(PROGRAM), *map(str, arguments)],
            capture_output=True,
            text=True,
            env=kept | home | more,
            stdin=subprocess.DEVNULL,
            timeout=240,
            check=False,
        )

    return call


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
    assert len(server.requests) == 10 + 1 + 1 + 2, "three steps look before they finish, and one corrects itself"
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


def test_a_stream_ends_with_a_result_also_where_nothing_can_be_done(
    program: Callable[..., Result], churn: Path
) -> None:
    result = program("implement", churn, "Make it safe", "--stream-json", "--permission", "full")
    assert result.returncode == 2
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (line["type"], line["subtype"], line["is_error"]) == ("result", "error_during_execution", True)
    assert "implement needs a model" in line["result"]
    assert "Traceback" not in result.stderr
