"""Tools that need a model or a permission: what they do, whom they ask, and how they end. The scripted server answers
for the model; transport, client, git, sandbox and commands are real."""

from __future__ import annotations

import asyncio
import functools
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError

from ml_engineer.agent.runs import Run, list_folders
from ml_engineer.interfaces.serve.service import HEAVY
from tests.interfaces.serve.test_mcp import call, refusal
from tests.interfaces.test_schemas import validator
from tests.support.mcp_server import HttpServer, Human, http_client, http_server, until
from tests.support.messages_server import MessagesServer
from tests.support.review import make_prototype, steps_script
from tests.support.script import Agent, Fault, Script, Turn
from tests.support.script import call as use
from tests.support.script import text as say

OFF = {"step": 5, "title": "Turn the debugger off", "changes": "app.py", "checks": ["! grep -q debug=True app.py"]}
EDIT = {"file_path": "app.py", "old_string": ", debug=True", "new_string": ""}
WORK = [
    [use("Read", file_path="app.py")],
    [use("Edit", **EDIT)],
    [use("finish_step", summary="The debugger is off.", claims=[])],
]
TRAINING = {
    "label": "training",
    "command": "python3 -c 'print(\"accuracy: 0.75\")'",
    "metrics_files": [],
    "output_patterns": {"accuracy": "accuracy: ([0-9.]+)"},
}


def git(target: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=target, check=True, capture_output=True, text=True).stdout


@dataclass
class Acting:
    """A server of one permission, the scripted model that it asks, and a fresh repository for this test."""

    server: HttpServer
    model: MessagesServer
    target: Path
    home: Path

    def client(self, human: Human | None = None, mode: Any = "auto") -> AbstractAsyncContextManager[Client]:
        return http_client(self.server.url, elicitation_callback=human, mode=mode)

    @property
    def run(self) -> Run:
        """The one run of this test's repository."""
        (found,) = (
            run for run in map(Run.open, (one.name for one in list_folders())) if run.meta["target"] == str(self.target)
        )
        return found


Open = Callable[..., Acting]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[HttpServer, MessagesServer]]]:
    """Servers by permission, each started once, for repositories below one folder."""
    folder = tmp_path_factory.mktemp("acting")
    (folder / "root").mkdir()
    with ExitStack() as stack:

        @functools.cache
        def start(permission: str) -> tuple[HttpServer, MessagesServer]:
            model = stack.enter_context(MessagesServer(Script.of([])))
            environment = {"ANTHROPIC_BASE_URL": model.url, "ML_ENGINEER_MODEL": "scripted"}
            options = ("--permission", permission)
            return stack.enter_context(http_server(folder / "root", folder / "home", *options, **environment)), model

        yield start


@pytest.fixture
def acting(
    servers: Callable[[str], tuple[HttpServer, MessagesServer]],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Acting]:
    def start(permission: str, script: Script | None = None) -> Acting:
        server, model = servers(permission)
        folder = Path(server.process.cmdline()[-3]).parent
        monkeypatch.setenv("ML_ENGINEER_HOME", str(folder / "home"))
        model.script = script or Script.of([])
        model.requests.clear()
        target = make_prototype(folder / "root" / secrets.token_hex(4))
        git(target, "init", "-q", "-b", "main", ".")
        git(target, "add", "-A")
        git(target, "commit", "-qm", "Prototype")
        return Acting(server, model, target, folder / "home")

    return start


def implementation(*turns: Any) -> Script:
    planning = Agent([Turn.read([use("propose_plan", summary="What was asked for.", steps=[OFF])])], "# Plan the work")
    return Script([planning, Agent([Turn.read(one) for one in turns], "# Your step: 5 ")])


# --- implement --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_human_approves_the_plan_and_the_branch_is_made(acting: Open, mode: Any) -> None:
    one = acting("ask", implementation(*WORK))
    human = Human([True, True])
    heard: list[str | None] = []

    async def progress(done: float, total: float | None, what: str | None) -> None:
        heard.append(what)

    async def session() -> dict[str, Any]:
        async with one.client(human, mode) as client:
            arguments = {"path": one.target.name, "task": "Make it safe"}
            result = await client.call_tool("implement", arguments, progress_callback=progress)
            assert not result.is_error, result.content
            assert isinstance(result.structured_content, dict)
            validator("mcp-implement").validate(result.structured_content)
            return result.structured_content

    done = asyncio.run(session())
    assert "Turn the debugger off" in human.asked[0]
    assert "$ ! grep -q debug=True app.py" in human.asked[0], "the commands are approved with the plan"
    assert "Edit: app.py" in human.asked[1]
    assert "debug=True" not in git(one.target, "show", f"{done['branch']}:app.py")
    assert git(one.target, "status", "--porcelain") == "", "the repository stays as it is"
    assert done["next"].startswith(f"ml-engineer runs apply {done['run_id']}")
    assert "5 Model Deployment: done, 1 file" in done["steps"]
    assert {"plan", "step 05 model deployment", "seal"} <= set(heard)


@pytest.mark.parametrize("answer", [False, "decline"])
def test_a_plan_that_is_not_approved_changes_nothing(acting: Open, answer: bool | str) -> None:
    one = acting("ask", implementation())

    async def session() -> str:
        async with one.client(Human([answer])) as client:
            return await refusal(client, "implement", path=one.target.name, task="Make it safe")

    assert "the plan was not approved; nothing was changed" in asyncio.run(session())
    assert git(one.target, "branch", "--list", "ml-engineer/*") == ""
    assert one.run.state == "interrupted"


def test_who_cannot_be_asked_gets_no_plan(acting: Open) -> None:
    one = acting("ask", implementation())

    async def session() -> str:
        async with one.client() as client:
            return await refusal(client, "implement", path=one.target.name, task="Make it safe")

    assert "this client cannot ask one" in asyncio.run(session())
    assert one.model.requests == []


def test_a_cancelled_implementation_is_stopped_and_kept_and_the_next_is_done(acting: Open) -> None:
    stalled = Turn([say("…")], faults=[Fault("stall", seconds=300)])
    one = acting("full", implementation(WORK[0], stalled))

    async def session() -> dict[str, Any]:
        async with one.client() as client:
            arguments = {"path": one.target.name, "task": "Make it safe"}
            work = asyncio.ensure_future(client.call_tool("implement", arguments))
            await asyncio.to_thread(until, lambda: len(one.model.requests) >= 3, "the turn that stalls")
            assert one.run.state == "running"
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            await asyncio.to_thread(until, lambda: one.run.state == "interrupted", "the end of the run")
            assert "interrupted" in [event["type"] for event in one.run.events()]

            another = acting("full", implementation(*WORK))
            return {"at": another.target} | await call(
                client, "implement", path=another.target.name, task="Make it safe"
            )

    done = asyncio.run(session())
    assert git(one.target, "status", "--porcelain") == ""
    assert "debug=True" not in git(done["at"], "show", f"{done['branch']}:app.py"), "in mode full nobody is asked"


# --- review -----------------------------------------------------------------------------------------------------------


def test_a_review_with_a_model_only_where_it_is_asked_for(acting: Open) -> None:
    one = acting("full", steps_script())

    async def session() -> None:
        async with one.client() as client:
            without = await call(client, "review_repository", path=one.target.name)
            assert (without["model"], one.model.requests) == (None, [])
            judged = await call(client, "review_repository", path=one.target.name, steps=[5], use_model=True)
            assert judged["model"] == "scripted"
            assert "turn" in judged["cost"]

    asyncio.run(session())
    assert one.model.requests


# --- ask --------------------------------------------------------------------------------------------------------------


def test_a_question_is_answered_by_reading_only(acting: Open) -> None:
    turns = [[use("Read", file_path="app.py")], [use("Edit", **EDIT)], [say("It serves with Flask.")]]
    one = acting("full", Script.of(turns))

    async def session() -> dict[str, Any]:
        async with one.client() as client:
            return await call(client, "ask", path=one.target.name, question="How is the model served?")

    assert asyncio.run(session())["text"] == "It serves with Flask."
    assert git(one.target, "status", "--porcelain") == "", "asking changes nothing, whatever the server's permission"
    results = [str(request.body["messages"][-1]) for request in one.model.requests]
    assert any("read-only mode changes no files" in result for result in results)


def test_a_question_reads_nothing_outside_of_its_repository(acting: Open) -> None:
    """A client chooses the words, and a model does as it is told."""
    elsewhere = ["/etc/passwd", "../../home"]
    reads = [[use("Read", file_path=path)] for path in elsewhere] + [[use("LS", path="/etc")]]
    commands = [[use("Bash", command=f"cat {path}")] for path in elsewhere] + [[use("Bash", command="git log")]]
    one = acting("full", Script.of([*reads, *commands, [say("Nothing.")]]))

    async def session() -> None:
        async with one.client() as client:
            await call(
                client, "ask", path=one.target.name, question="What is in @/etc/passwd, and what in @../../home?"
            )

    asyncio.run(session())
    first, *later = [str(request.body["messages"][-1]) for request in one.model.requests]
    assert "is not attached: /etc/passwd is outside" in first
    assert "root:" not in first
    assert len(later) == 6
    assert all("was refused: " in result for result in later)


# --- measure ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_measurement_asks_before_it_runs_the_command(acting: Open, mode: Any) -> None:
    one = acting("ask")
    human = Human([True, "decline"])

    async def session() -> None:
        async with one.client(human, mode) as client:
            done = await call(client, "measure", path=one.target.name, training=TRAINING)
            figures = {figure["name"]: figure["value"] for figure in done["figures"]["measurements"]}
            assert figures["training accuracy"] == 0.75
            assert Path(done["figures"]["folder"], "measurements").is_dir()
            said = await refusal(client, "measure", path=one.target.name, training=TRAINING)
            assert "the user said no" in said

    asyncio.run(session())
    assert [asked.splitlines()[0] for asked in human.asked] == [f"Bash: {TRAINING['command']}"] * 2


def test_the_network_is_asked_for_too(acting: Open) -> None:
    one = acting("ask")
    human = Human([True, False])

    async def session() -> None:
        async with one.client(human) as client:
            said = await refusal(client, "measure", path=one.target.name, training=TRAINING, network=True)
            assert "the user said no" in said
        async with one.client() as client:
            harmless = {**TRAINING, "command": "echo accuracy: 0.5"}
            said = await refusal(client, "measure", path=one.target.name, training=harmless, network=True)
            assert "this lets it reach the network" in said

    asyncio.run(session())
    assert "reach the network" in human.asked[1]


def test_a_measurement_in_full_asks_nobody_and_needs_one_kind(acting: Open) -> None:
    one = acting("full")

    async def session() -> None:
        async with one.client() as client:
            assert (await call(client, "measure", path=one.target.name, training=TRAINING))["figures"]
            assert "exactly one of" in await refusal(client, "measure", path=one.target.name)
            failing = {**TRAINING, "command": "exit 3"}
            assert "3" in await refusal(client, "measure", path=one.target.name, training=failing)

    asyncio.run(session())


def test_a_question_that_is_never_answered_holds_nobody_up(acting: Open) -> None:
    """A client since 2026-07-28 that does not come back, as often as there are places."""
    one = acting("ask")
    arguments = {"path": one.target.name, "training": TRAINING}

    async def session() -> None:
        async with one.client(Human()) as client:
            for _ in range(HEAVY):
                asked = await client.session.call_tool("measure", arguments, allow_input_required=True)
                assert asked.result_type == "input_required"
            forged = client.session.call_tool("measure", arguments, request_state="x", allow_input_required=True)
            with pytest.raises(MCPError):
                await forged
        async with one.client(Human([True])) as client:
            assert (await call(client, "measure", path=one.target.name, training=TRAINING))["figures"]

    asyncio.run(session())
