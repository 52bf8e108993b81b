"""Implementations: what is on the branch has passed its checks, the target is untouched, the result says what happened.

The scripted server answers; tools, sandbox, checks, git and report are real.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from ml_engineer.agent.runs import Run, list_folders
from ml_engineer.interfaces import implement
from ml_engineer.interfaces.model import ModelChoice
from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.runs import runs
from ml_engineer.interfaces.stream import StreamJson
from ml_engineer.report.schema import ClaimState, Report, StepState
from tests.support.messages_server import MessagesServer
from tests.support.review import make_prototype
from tests.support.script import Agent, Script, Turn, call

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "ml-engineer")
Serve = Callable[..., MessagesServer]
PEER = "You work beside an ML engineer"  # how the system prompt of a peer begins
OFF = {"step": 5, "title": "Turn the debugger off", "changes": "app.py", "checks": ["! grep -q debug=True app.py"]}
EDIT = {"file_path": "app.py", "old_string": ", debug=True", "new_string": ""}
CLAIM = {"field": "API Endpoints", "state": "implemented", "text": "POST /predict without a debugger.",
         "path": "app.py", "line": 16, "quote": 'app.run(host="0.0.0.0"'}  # fmt: skip


def script(steps: list[dict[str, Any]], turns: dict[int, list[Any]], *plans: dict[str, Any], **more: Any) -> Script:
    plan = {"summary": "What was asked for.", "steps": steps, **more}
    planning = Agent([Turn.read([call("propose_plan", **one)]) for one in (*plans, plan)], "# Plan the work")
    peers = Agent([Turn.read([call("answer", answer="Roll it out to one host first.")])], PEER)
    agents = [Agent([Turn.read(turn) for turn in own], f"# Your step: {number} ") for number, own in turns.items()]
    return Script([planning, peers, *agents])


def git(target: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=target, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def target(tmp_path: Path) -> Path:
    root = make_prototype(tmp_path / "prototype")
    git(root, "init", "-q", "-b", "main", ".")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "Prototype")
    return root


@pytest.fixture
def carry_out(serve: Serve, target: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Report, Run]]:
    def work(turns: Script, permission: str = "accept-edits", **options: Any) -> tuple[Report, Run]:
        server = serve(turns)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        stream = options.pop("stream", None)
        return implement._start(target, "Make it safe", permission, ModelChoice(model="scripted", **options), stream)

    return work


Work = Callable[..., tuple[Report, Run]]
DONE = [
    [call("Read", file_path="app.py")],
    [call("Edit", **EDIT)],
    [call("finish_step", summary="The debugger is off.", claims=[CLAIM])],
]


def branch(run: Run) -> str:
    return f"ml-engineer/{run.id}"


def test_a_step_whose_checks_pass_is_a_commit_and_a_claim_with_proof(carry_out: Work, target: Path) -> None:
    report, run = carry_out(script([OFF], {5: DONE}))
    assert "debug=True" not in git(target, "show", f"{branch(run)}:app.py")
    assert git(target, "log", "--format=%s", f"main..{branch(run)}").splitlines() == ["Turn the debugger off"]
    assert f"ML-Engineer-Run: {run.id}" in git(target, "log", "-1", "--format=%B", branch(run))
    claim = report.sections.integration_points["API Endpoints"]
    assert claim.state is ClaimState.IMPLEMENTED
    assert [one.kind for one in claim.evidence] == ["quote", "command"]
    step = report.steps[4]
    assert (step.state, [one.path for one in step.changes]) == (StepState.DONE, ["app.py"])
    assert not [one for one in report.findings if one.rule == "MLE0506"], "what was solved is gone from the report"
    assert any("solved" in note for note in report.run.notes)
    assert (report.run.mode, report.coverage.state, report.repository.name) == ("implement", "complete", "prototype")


def test_the_target_stays_as_it_is_until_the_run_is_applied(carry_out: Work, target: Path) -> None:
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file() and ".git" not in path.parts}
    carry_out(script([OFF], {5: DONE}))
    after = {path: path.read_bytes() for path in target.rglob("*") if path.is_file() and ".git" not in path.parts}
    assert after == before
    assert git(target, "status", "--porcelain") == ""
    assert git(target, "branch", "--show-current").strip() == "main"


def test_a_failing_check_goes_back_to_the_model_and_then_fails_the_step(carry_out: Work, target: Path) -> None:
    never = {"step": 8, "title": "Never done", "changes": "ci.yml", "checks": ["echo the reason; test -f never"]}
    lie = [call("finish_step", summary="Done, all tests pass.")]
    turns = {8: [[call("Write", file_path="ci.yml", content="on: push\n")], lie, lie, lie], 5: DONE}
    report, run = carry_out(script([OFF, never], turns))
    step = report.steps[7]
    assert step.state is StepState.FAILED
    assert "the reason" in (step.reason or "")
    assert "all tests pass" not in step.summary
    assert report.coverage.state == "partial"
    assert git(target, "log", "--format=%s", f"main..{branch(run)}").splitlines() == ["Turn the debugger off"]
    patch = run.read("step-08.rejected.patch")
    assert patch is not None
    assert b"+on: push" in patch


def test_what_was_measured_on_changes_that_were_taken_back_is_not_in_the_report(carry_out: Work) -> None:
    never = {"step": 6, "title": "Never done", "changes": "fast.py", "checks": ["test -f never"]}
    training = call("RunTraining", label="fast", command="echo '{\"p95\": 12.5}' > metrics.json")
    lie = [call("finish_step", summary="Faster.", claims=[{"field": "Latency", "state": "measured",
                "text": "p95 is 12.5", "measurement": "fast p95"}])]  # fmt: skip
    report, run = carry_out(script([never], {6: [[training], lie, lie, lie]}), permission="full")
    handed_in = transcript(run, "step-06")[-1]["end"]["data"]["record"]
    assert handed_in["claims"]["Latency"]["state"] == "measured", "the gate let it pass: there is a record"
    assert report.steps[5].state is StepState.FAILED
    assert report.sections.performance_metrics["Latency"].state is not ClaimState.MEASURED


def transcript(run: Run, agent: str) -> list[Any]:
    assert run.folder is not None
    return [json.loads(line) for line in (run.folder / "agents" / f"{agent}.jsonl").read_text().splitlines()]


def test_what_the_verification_leaves_behind_is_not_taken_for_the_branch(carry_out: Work, target: Path) -> None:
    workflow = "on: push\njobs: {test: {runs-on: ubuntu-latest, steps: [{run: pytest}]}}"
    leaving = f"mkdir -p .github/workflows && echo '{workflow}' > .github/workflows/ci.yml && rm README.md"
    report, run = carry_out(script([OFF], {5: DONE}, verification=[leaving]))
    assert any("verification: `mkdir" in note and "ended with 0" in note for note in report.run.notes)
    assert report.sections.mlops_implementation["CI/CD Pipeline"].state is ClaimState.ABSENT
    assert any(one.rule == "MLE0801" for one in report.findings), "there is still no pipeline"
    assert "ci.yml" not in git(target, "ls-tree", "-r", "--name-only", branch(run))


def test_a_plan_cannot_drive_the_terminal_or_hide_a_command(
    carry_out: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    sly = {**OFF, "title": "Turn it off\x1b[2J", "checks": ["test -f app.py\n\n# At the end:"]}
    carry_out(script([sly], {5: DONE}))
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "Turn it off\\x1b[2J" in shown
    assert "    $ test -f app.py\n    > \n    > # At the end:" in shown


def test_a_check_that_is_mended_in_time_counts(carry_out: Work, target: Path) -> None:
    turns = [DONE[0], [call("finish_step", summary="Too early.")], *DONE[1:]]
    report, run = carry_out(script([OFF], {5: turns}))
    assert report.steps[4].state is StepState.DONE
    assert git(target, "log", "--format=%s", f"main..{branch(run)}").splitlines() == ["Turn the debugger off"]


@pytest.mark.parametrize("check", ["true", "echo ok", "pytest || true", "grep -q debug app.py; true", ":", "rm -rf /"])
def test_a_check_that_cannot_fail_or_may_not_run_sends_the_plan_back(carry_out: Work, serve: Serve, check: str) -> None:
    weak = {"summary": "Weak.", "steps": [{**OFF, "checks": [check]}]}
    _, run = carry_out(script([OFF], {5: DONE}, weak))
    plan = json.loads(run.read("plan.json") or b"")
    assert plan["steps"][0]["checks"] == OFF["checks"]


def test_without_approval_nothing_is_left_behind(serve: Serve, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", serve(script([OFF], {5: DONE})).url)

    async def no(plan: Any) -> bool:
        return False

    monkeypatch.setattr(implement, "_approved_beforehand", no)
    with pytest.raises(Refusal, match="not approved"):
        implement._start(target, "Make it safe", "full", ModelChoice(model="scripted"), None)
    assert git(target, "branch", "--list", "ml-engineer/*") == ""


def test_where_commands_cannot_be_confined_nothing_is_left_in_the_repository_and_the_run_can_go_on(
    carry_out: Work, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr("ml_engineer.tools.sandbox._missing", lambda level: "not here" if level != "off" else None)
        with pytest.raises(Refusal, match="commands cannot be confined here"):
            carry_out(script([OFF], {5: DONE}))
    assert git(target, "branch", "--list", "ml-engineer/*") == ""
    assert git(target, "worktree", "list").count("\n") == 1
    report = implement.resume(Run.open(list_folders()[0].name, work=True), attended=False)
    assert report.steps[4].state is StepState.DONE


def test_headless_with_asking_is_refused_before_anything_happens(
    serve: Serve, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(script([OFF], {5: DONE}))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    with pytest.raises(Refusal, match="--permission accept-edits or full"):
        implement._start(target, "Make it safe", "ask", ModelChoice(model="scripted"), None)
    assert server.requests == []


def test_what_the_mode_does_not_allow_is_refused_and_the_plan_s_checks_are_allowed(carry_out: Work) -> None:
    tries = [call("Bash", command="touch x && python -c 1"), call("Bash", command=OFF["checks"][0])]
    out = io.StringIO()
    stream = StreamJson("", "", out)
    carry_out(script([OFF], {5: [DONE[0], tries, *DONE[1:]]}), stream=stream)
    results = [
        block["content"]
        for line in map(json.loads, out.getvalue().splitlines())
        if line["type"] == "user"
        for block in line["message"]["content"]
    ]
    assert any(text.startswith("Bash was refused: ") for text in results)
    assert any(text.startswith('<quoted from="Bash ! grep') for text in results)


def test_the_stream_has_the_lines_of_claude_and_ends_with_a_result(carry_out: Work) -> None:
    out = io.StringIO()
    stream = StreamJson("", "", out)
    report, run = carry_out(script([OFF], {5: DONE}), stream=stream)
    stream.success(report)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    kinds = [line["type"] for line in lines]
    assert (kinds[0], kinds[-1], set(kinds)) == ("system", "result", {"system", "assistant", "user", "result"})
    assert {line["session_id"] for line in lines} == {run.id}
    assert lines[0]["subtype"] == "init"
    assert {"tools", "model", "permissionMode", "cwd", "mcp_servers"} <= lines[0].keys()
    calls = [b for line in lines if line["type"] == "assistant" for b in line["message"]["content"]]
    names = {block["name"] for block in calls if block["type"] == "tool_use"}
    assert names == {"propose_plan", "Read", "Edit", "finish_step", "answer"}, "the last is a peer's"
    last = lines[-1]
    turns = 4 + len(report.handoffs)  # planning, the step, and a turn of each peer
    assert (last["subtype"], last["is_error"], last["num_turns"]) == ("success", False, turns)
    assert last["structured_output"]["digest"] == report.digest
    assert last["result"].startswith("## ML Production System Implementation")
    assert last["total_cost_usd"] is None, "the price of the scripted model is not known, which is not zero"


def test_a_budget_that_is_spent_while_planning_ends_with_a_message_and_can_be_resumed(
    carry_out: Work, serve: Serve, target: Path
) -> None:
    reading = [Turn.read([call("Read", file_path="app.py")])] * 3
    turns = script([OFF], {5: DONE})
    turns.agents[0].turns[:0] = reading
    out = io.StringIO()
    with pytest.raises(Refusal, match="runs resume"):
        carry_out(turns, max_turns=2, stream=StreamJson("", "", out))
    last = json.loads(out.getvalue().splitlines()[-1])
    assert (last["type"], last["is_error"], last["num_turns"]) == ("result", True, 2)
    assert last["subtype"] == "error_max_turns"


def test_a_cap_on_cost_that_could_not_be_kept_is_refused_before_anything_happens(
    serve: Serve, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(script([OFF], {5: DONE}))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    with pytest.raises(Refusal, match=r"price of scripted is not known .* give --max-turns instead"):
        implement._start(target, "Make it safe", "full", ModelChoice(model="scripted", max_cost="1"), None)
    assert ModelChoice(model="claude-sonnet-5-5", max_cost="1").settings() is not None
    assert (server.requests, git(target, "branch", "--list", "ml-engineer/*")) == ([], "")


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), Refusal("no place"), KeyboardInterrupt()])
def test_the_stream_has_a_result_whatever_ends_it(
    error: BaseException, target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(implement, "_start", ended)
    with pytest.raises((type(error), click.Abort)):
        implement.implement.main([str(target), "Make it safe", "--stream-json"], standalone_mode=False)
    with pytest.raises(Refusal, match="say what is to be done"):
        implement.implement.main([str(target), "--stream-json"], standalone_mode=False)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    for line in (first, second):
        assert (line["type"], line["is_error"], line["subtype"]) == ("result", True, "error_during_execution")
    assert first["terminal_reason"] == ("interrupted" if isinstance(error, KeyboardInterrupt) else "error")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-turns", "none"], "'none' is not a valid integer"),
        (["--max-cost", "-1"], "give an amount in US dollars above zero"),
        (["--permission", "maybe"], "'maybe' is not one of"),
        (["--no-such"], "No such option"),
    ],
)
def test_a_command_line_that_is_not_understood_ends_the_stream_with_a_result(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(click.UsageError):
        implement.implement.main(["do it", *options, "--stream-json"], standalone_mode=False)
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["type"], line["subtype"], line["is_error"]) == ("result", "error_during_execution", True)
    assert said in line["result"]
    with pytest.raises(click.UsageError):
        implement.implement.main(["do it", *options], standalone_mode=False)
    assert capsys.readouterr().out == "", "who has not asked for lines gets none"


@pytest.mark.parametrize(
    ("config", "environment", "said"),
    [
        ("[delegation]\nthreshhold = 'high'\n", {}, r"\[delegation\] threshhold is not a setting"),
        ("[peers.nobody]\ntransport = 'queue'\n", {}, r"\[peers.nobody\] has no definition"),
        ("", {"ML_ENGINEER_PROVIDER": "vertex"}, "vertex"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_made(
    config: str, environment: dict[str, str], said: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(os.environ["ML_ENGINEER_HOME"])
    (home / "config.toml").write_text(config)
    for name, value in ({"ANTHROPIC_API_KEY": "scripted"} | environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refusal, match=said):
        implement._start(target, "Make it safe", "full", ModelChoice(model="scripted"), None)
    assert (list_folders(), git(target, "branch", "--list", "ml-engineer/*")) == ([], "")


def test_a_program_that_is_told_to_end_gives_its_result_and_can_be_resumed(serve: Serve, target: Path) -> None:
    turns = script([OFF], {5: DONE})
    turns.agents[0].turns[:0] = [Turn.read([call("LS", path=".")])]
    turns.agents[0].turns[1].latency = 60.0
    server = serve(turns)
    command = [PROGRAM, "implement", str(target), "Make it safe", "--stream-json", "--permission", "full"]
    environment = {**os.environ, "ANTHROPIC_BASE_URL": server.url, "ML_ENGINEER_MODEL": "scripted"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        began = json.loads(process.stdout.readline())
        assert json.loads(process.stdout.readline())["type"] == "assistant"
        process.terminate()
        out, err = process.communicate(timeout=60)
    last = json.loads(out.splitlines()[-1])
    assert (began["subtype"], last["type"], last["terminal_reason"]) == ("init", "result", "interrupted")
    assert (process.returncode, last["num_turns"], last["total_cost_usd"]) == (143, 1, None), "unpriced is not zero"
    assert f"runs resume {began['session_id']}" in err.decode()


def test_a_folder_alone_is_no_task(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="say what is to be done"):
        implement._split((str(tmp_path),))
    assert implement._split((str(tmp_path), "make", "it", "safe")) == (tmp_path, "make it safe")
    assert implement._split(("make it safe",)) == (Path(), "make it safe")


def test_a_run_that_the_server_stopped_is_resumed_from_the_command_line(
    serve: Serve, carry_out: Work, target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = {"blocks": [], "faults": [{"status": 401}] * 9}
    with pytest.raises(Refusal, match="Nothing is lost: ml-engineer runs resume") as refused:
        carry_out(script([OFF], {5: [DONE[0], stopped]}))
    run_id = refused.value.message.split()[-1]
    assert git(target, "log", "--format=%s", f"main..ml-engineer/{run_id}") == ""
    server = serve(script([OFF], {5: DONE}))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    runs.main(["resume", run_id, "--format", "json"], standalone_mode=False)
    report = Report.model_validate_json(capsys.readouterr().out)
    own = [one for one in server.requests if PEER not in str(one.body["system"])]
    assert (report.steps[4].state, report.steps[4].usage.turns, len(own)) == (StepState.DONE, 3, 2)
    assert report.usage.turns == 4 + len(report.handoffs), "planning, the step, and a turn of each peer"
    assert {one.state.value for one in report.handoffs} == {"answered"}
    assert git(target, "log", "--format=%s", f"main..ml-engineer/{run_id}").splitlines() == ["Turn the debugger off"]


def test_a_step_whose_conversation_the_server_rejects_fails_and_the_others_go_on(carry_out: Work, target: Path) -> None:
    more = {**OFF, "step": 3, "title": "Something else"}
    report, run = carry_out(script([more, OFF], {3: [DONE[0]], 5: DONE}))
    assert report.steps[2].state is StepState.FAILED
    assert "rejects the request" in (report.steps[2].reason or "")
    assert git(target, "log", "--format=%s", f"main..{branch(run)}").splitlines() == ["Turn the debugger off"]


def at_a_terminal(target: Path, server: MessagesServer, answer: str) -> tuple[int, str]:
    """Runs the program at a terminal and answers its question; exit code and what was shown."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "ANTHROPIC_BASE_URL": server.url, "COLUMNS": "100", "TERM": "dumb"}
    command = [PROGRAM, "implement", str(target), "Make it safe", "--model", "scripted"]
    process = subprocess.Popen(command, stdin=follower, stderr=follower, stdout=subprocess.DEVNULL, env=environment)
    os.close(follower)
    shown = ""
    while "[y/N]" not in shown and process.poll() is None:
        shown += os.read(leader, 4096).decode(errors="replace")
    os.write(leader, f"{answer}\n".encode())
    with contextlib.suppress(OSError):  # the terminal is gone with the program
        while piece := os.read(leader, 4096):
            shown += piece.decode(errors="replace")
            if "Allow it?" in piece.decode(errors="replace"):
                os.write(leader, b"y\n")
    os.close(leader)
    return process.wait(60), shown


@pytest.mark.parametrize(("answer", "code"), [("n", 2), ("y", 0)])
def test_a_person_sees_the_plan_and_decides(serve: Serve, target: Path, answer: str, code: int) -> None:
    ended, shown = at_a_terminal(target, serve(script([OFF], {5: DONE})), answer)
    assert ended == code, shown
    assert "Step 5, Model Deployment: Turn the debugger off" in shown
    assert "$ ! grep -q debug=True app.py" in shown
    branches = git(target, "branch", "--list", "ml-engineer/*", "--format=%(refname:short)").split()
    assert len(branches) == (1 if answer == "y" else 0)
    if answer == "y":
        assert "Edit: app.py" in shown, "the mode ask puts each change to the person"
