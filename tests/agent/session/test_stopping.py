"""A turn that is stopped keeps what was done, and the conversation goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.agent.calls import Call
from ml_engineer.agent.ending import Why
from ml_engineer.agent.runs import Run
from ml_engineer.tools.checkpoints import Checkpoints
from ml_engineer.tools.permissions import Decision
from tests.support.agents import Heard
from tests.support.conversation import APP, DEBUG_OFF, again, opened, said, stopped, until
from tests.support.messages_server import MessagesServer
from tests.support.script import call, text

Serve = Callable[..., MessagesServer]
READ = call("Read", file_path="app.py")
EDIT = call("Edit", **DEBUG_OFF)


def test_a_turn_stopped_while_the_model_answers_goes_on_with_the_next_words(
    run: Run, serve: Serve, tmp_path: Path
) -> None:
    words = "I would begin with the data, and then with the rest of it all."
    server, heard = serve([{"blocks": [text(words)], "faults": [{"stall_text": 60}]}, [text("Later.")]]), Heard()

    async def go() -> None:
        async with opened(run, server.url, tmp_path, notify=heard) as session:
            task = asyncio.create_task(session.say("What first?"))
            await until(lambda: len(heard.of("text")) == 2)
            await stopped(task)
            assert not session.busy
            assert (await session.say("Never mind, what later?")).why is Why.ANSWERED

    asyncio.run(go())
    so_far = "".join(event["text"] for event in heard.of("text")[:2])
    assert words.startswith(so_far)
    assert f"The user stopped you in the turn before. So far your answer read: {so_far.strip()}]" in said(server)
    assert said(server).endswith("Never mind, what later?")


def test_a_turn_stopped_in_the_middle_of_a_command_keeps_what_was_done_and_closes_the_call(
    root: Path, run: Run, serve: Serve, tmp_path: Path
) -> None:
    command = "echo made > made.txt; sleep 60; echo never > never.txt"
    server, heard = serve([[READ, call("Bash", command=command)], [text("I see.")]]), Heard()

    async def go() -> None:
        async with opened(run, server.url, tmp_path, notify=heard) as session:
            task = asyncio.create_task(session.say("Run it"))
            await until((root / "made.txt").exists)
            await stopped(task)
            assert session.interrupted
            assert "made.txt" in session.diff(), "what the command did is known"
            ending = await session.say("What happened?")
            assert ending.text == "I see."
            undone = session.undo()
            assert undone is not None
            assert undone.restored.paths == ["made.txt"]

    asyncio.run(go())
    last = server.requests[-1].body["messages"][-1]["content"]
    assert [block["type"] for block in last[:2]] == ["tool_result", "tool_result"]
    assert "app.run(debug=True)" in last[0]["content"], "what was read before is not lost"
    assert last[1]["is_error"]
    assert not (root / "never.txt").exists()
    roles = [message["role"] for message in server.requests[-1].body["messages"]]
    assert roles == ["user", "assistant", "user"], "results and words are one message: roles alternate"


def test_a_turn_stopped_right_before_a_command_takes_nothing_of_the_users_for_its_own(
    root: Path, run: Run, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve([[call("Bash", command="touch never.txt")], [text("I see.")]])
    begun, go_on, real = threading.Event(), threading.Event(), Checkpoints.begin_command

    def slow(self: Checkpoints, *, step: str = "") -> Any:
        begun.set()
        assert go_on.wait(30)
        return real(self, step=step)

    monkeypatch.setattr(Checkpoints, "begin_command", slow)

    async def go() -> None:
        async with opened(run, server.url, tmp_path) as session:
            task = asyncio.create_task(session.say("Make it"))
            await until(begun.is_set)
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            (root / "app.py").write_text("mine = True\n")
        async with opened(again(run), server.url, tmp_path) as session:
            assert session.diff() == ""
            assert session.undo() is None
            session.run.close()

    asyncio.run(go())
    assert (root / "app.py").read_text() == "mine = True\n"
    assert not (root / "never.txt").exists()


def test_a_turn_stopped_at_the_question_for_permission_did_nothing(
    root: Path, run: Run, serve: Serve, tmp_path: Path
) -> None:
    server = serve([[READ], [EDIT], [text("Stopped.")]])
    asking = asyncio.Event()

    async def wait(call: Call, decision: Decision) -> str | None:
        asking.set()
        await asyncio.sleep(60)
        return None

    async def go() -> None:
        async with opened(run, server.url, tmp_path, ask=wait) as session:
            task = asyncio.create_task(session.say("Turn the debugger off"))
            await asyncio.wait_for(asking.wait(), 30)
            await stopped(task)
            assert (await session.say("Leave it")).text == "Stopped."

    asyncio.run(go())
    assert "Interrupted by the user" in said(server)
    assert (root / "app.py").read_text() == APP
