"""ACP when things go wrong: processes that are killed, sessions that are loaded again, rubbish on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from acp import RequestError

from ml_engineer.agent.runs import Run
from ml_engineer.interfaces.serve.acp_wire import MAX_MESSAGE
from tests.interfaces.serve.conftest import Place
from tests.support.acp_editor import Editor, editor
from tests.support.implementation import EDIT, make_repository
from tests.support.mcp_server import DEADLINE, SCRIPT, clean_environment, until
from tests.support.messages_server import MessagesServer
from tests.support.script import Script, call, text

INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}}


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _jobs(process: psutil.Process) -> list[psutil.Process]:
    """The children that do reviews: each leads a process group of its own."""
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(child.pid) == child.pid and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


# --- killed, cancelled, loaded ----------------------------------------------------------------------------------------


def test_a_session_is_loaded_after_its_process_was_killed(place: Place) -> None:
    repository = make_repository(place.root / "loaded")
    read = [text("I read it first."), call("Read", file_path="app.py")]
    script = Script.of([read, [call("Edit", **EDIT)], [text("It is the debugger.")]])
    options = ("--model", "scripted", "--permission", "ask")

    async def first(url: str) -> tuple[str, Editor]:
        shows = Editor(answers=["never"])
        async with editor(place.root, place.home, *options, shows=shows, ANTHROPIC_BASE_URL=url) as opened:
            session_id = await opened.begin(repository)
            await opened.say(session_id, "/review --steps 5")
            turn = asyncio.ensure_future(opened.say(session_id, "What is wrong with it?"))
            await opened.until(lambda shown: shown.asked, "the question")
            opened.process.send_signal(signal.SIGKILL)
            with contextlib.suppress(ConnectionError):
                await turn
            return session_id, opened.editor

    async def second(url: str, session_id: str) -> tuple[Editor, int, Any]:
        async with editor(place.root, place.home, *options, ANTHROPIC_BASE_URL=url) as opened:
            listed = await opened.agent.list_sessions(cwd=str(repository))
            loaded = await opened.agent.load_session(cwd=str(repository), session_id=session_id, mcp_servers=[])
            assert loaded.modes.current_mode_id == "ask"
            replayed = len(opened.editor.updates)
            await opened.say(session_id, "Go on")
            return opened.editor, replayed, listed

    with MessagesServer(script) as server:
        session_id, before = asyncio.run(first(server.url))
        assert list(before.calls().values()) == ["completed", "in_progress"]
        after, replayed, listed = asyncio.run(second(server.url, session_id))

    shown = [one for one in before.updates if one.session_update != "available_commands_update"]
    said = [one for one in after.updates[:replayed] if one.session_update != "available_commands_update"]
    words = [one.content.text for one in said if one.session_update == "user_message_chunk"]
    assert words == ["/review --steps 5", "What is wrong with it?"]
    again = [one for one in said if one.session_update != "user_message_chunk"]
    assert again[:-1] == shown
    assert (again[-1].session_update, again[-1].status) == ("tool_call_update", "failed"), "what the kill left open"
    assert after.text.endswith("It is the debugger.")
    (info,) = listed.sessions
    assert (info.session_id, info.title, info.cwd) == (session_id, "/review --steps 5", str(repository))
    last = str(server.requests[-1].body["messages"])
    assert "What is wrong with it?" in last, "the model has the conversation too"
    asked = str(server.requests[0].body["messages"])
    assert "The user has had this made: review" in asked, "and it knows of the review before"


def test_a_session_belongs_to_one_process_and_one_repository(place: Place) -> None:
    async def session() -> None:
        async with editor(place.root, place.home) as one, editor(place.root, place.home) as other:
            session_id = await one.begin(place.root / "prototype")
            await one.say(session_id, "hello")
            for cwd, id_, says in (
                ("prototype", session_id, "being worked on by another process"),
                ("prototype", "20200101-000000-000000", "there is no run"),
                ("prototype", "../../etc", "is not the id of a run"),
                ("../outside", session_id, "outside the folders"),
                ("escape", session_id, "outside the folders"),
            ):
                with pytest.raises(RequestError) as wrong:
                    await other.agent.load_session(cwd=str(place.root / cwd), session_id=id_, mcp_servers=[])
                assert says in str(wrong.value.data)
            for cwd in ("../outside", "escape", "nowhere"):
                with pytest.raises(RequestError, match="Invalid params"):
                    await other.agent.new_session(cwd=str(place.root / cwd), mcp_servers=[])
            with pytest.raises(RequestError) as wrong:
                await other.say(session_id, "hello")
            assert "begin or load one" in str(wrong.value.data)

    asyncio.run(session())


def test_only_what_an_editor_began_and_left_empty_is_thrown_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A conversation of the terminal is loaded, and nothing is said in it. Damaged runs hide none from the list."""
    monkeypatch.setenv("ML_ENGINEER_HOME", str(place.home))
    kept = Run.create({"mode": "chat", "target": str(place.root / "prototype")})
    kept.close()
    damaged = place.home / "runs" / "20200101-000000-abcde0"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")

    async def session() -> tuple[str, list[str]]:
        async with editor(place.root, place.home) as opened:
            begun, said = [await opened.begin(place.root / "prototype") for _ in range(2)]
            await opened.say(said, "hello")
            await opened.agent.load_session(cwd=str(place.root / "prototype"), session_id=kept.id, mcp_servers=[])
            listed = (await opened.agent.list_sessions()).sessions
            return begun, [one.session_id for one in listed]

    begun, listed = asyncio.run(session())
    assert kept.folder is not None
    assert (kept.folder / "run.json").is_file()
    assert not (place.home / "runs" / begun).exists()
    assert begun not in listed
    assert listed


def test_two_editors_at_once_each_get_their_own(place: Place) -> None:
    async def one() -> str:
        async with editor(place.root, place.home) as opened:
            sessions = [await opened.begin(place.root / "prototype") for _ in range(2)]
            stops = await asyncio.gather(*(opened.say(one, "/review --steps 5") for one in sessions))
            assert stops == ["end_turn", "end_turn"]
            assert len({link.content.uri for link in opened.editor.updates if _is_link(link)}) == 2
            return opened.editor.text

    async def both() -> list[str]:
        return await asyncio.gather(one(), one())

    assert all("## ML Production System" in said for said in asyncio.run(both()))


def _is_link(update: Any) -> bool:
    return update.session_update == "agent_message_chunk" and update.content.type == "resource_link"


def test_a_cancelled_review_leaves_no_process(place: Place, large: Path) -> None:
    async def session() -> str:
        async with editor(place.root, place.home) as opened:
            session_id = await opened.begin(large)
            review = asyncio.ensure_future(opened.say(session_id, "/review"))
            await asyncio.to_thread(until, lambda: _jobs(opened.process), "the review's process")
            await opened.agent.cancel(session_id=session_id)
            stop = await review
            assert not _jobs(opened.process)
            return stop

    assert asyncio.run(session()) == "cancelled"


@pytest.mark.parametrize("how", ["the input is closed", "the agent is killed"])
def test_an_editor_that_goes_away_leaves_no_process(place: Place, large: Path, how: str) -> None:
    async def session() -> tuple[psutil.Process, list[psutil.Process]]:
        async with editor(place.root, place.home) as opened:
            session_id = await opened.begin(large)
            review = asyncio.ensure_future(opened.say(session_id, "/review"))
            jobs = await asyncio.to_thread(until, lambda: _jobs(opened.process), "the review's process")
            if how == "the agent is killed":
                opened.process.send_signal(signal.SIGKILL)
            else:
                review.cancel()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await review
        return opened.process, jobs

    process, jobs = asyncio.run(session())
    until(lambda: not _alive(process), "the agent's end")
    until(lambda: not any(map(_alive, jobs)), "the end of its children")


def test_a_wire_that_is_none_is_said(place: Place, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(json.dumps(INITIALIZE).encode())
    with (tmp_path / "input").open() as file:
        command, environment = [SCRIPT, "serve", "acp", "--root", str(place.root)], clean_environment(place.home)
        done = subprocess.run(
            command, stdin=file, capture_output=True, text=True, env=environment, timeout=DEADLINE, check=False
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "An editor starts this command itself" in done.stderr


# --- the wire ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exchange(place: Place) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Sends lines, then a request, and gives all answers up to the one of that request."""
    process = subprocess.Popen(
        [SCRIPT, "serve", "acp", "--root", str(place.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(place.home),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    number = 100

    def send(*lines: bytes) -> list[dict[str, Any]]:
        nonlocal number
        number += 1
        for line in (*lines, json.dumps(INITIALIZE | {"id": number}).encode()):
            process.stdin.write(line + b"\n")  # type: ignore[union-attr] # it is a pipe
        process.stdin.flush()  # type: ignore[union-attr]
        answers = []
        while not answers or answers[-1].get("id") != number:
            answers.append(json.loads(process.stdout.readline()))  # type: ignore[union-attr]
        assert answers[-1]["result"]["agentInfo"]["name"] == "ml-engineer", "it lives on"
        return answers[:-1]

    try:
        yield send
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
        assert b"Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            pipe.close()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json", -32700),
        (b"\xff\xfe\x00", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc": "2.0", "id": 1', -32700),
        (b"[1, 2]", -32600),
        (b'"text"', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 9}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "session/dance"}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "session/new"}', -32602),
        (b'{"id": 1, "method": "session/new", "params": {"cwd": 3, "mcpServers": []}}', -32602),
        (b'{"id": 1, "method": "session/new", "params": {"cwd": "a\\u0000b", "mcpServers": []}}', -32602),
        (b'{"id": 1, "method": "session/prompt", "params": {"sessionId": "x", "prompt": []}}', -32602),
    ],
)
def test_what_is_no_message_is_answered_with_an_error(
    exchange: Callable[..., list[dict[str, Any]]], line: bytes, code: int
) -> None:
    (answer,) = exchange(line)
    assert answer["error"]["code"] == code
    assert answer["id"] in (None, 1)


def test_messages_that_ask_for_nothing_are_passed_over(exchange: Callable[..., list[dict[str, Any]]]) -> None:
    nothing = [b"", b"{}", b'{"id": 99, "result": 1}', b'{"jsonrpc": "2.0", "method": "session/cancel", "params": {}}']
    assert exchange(*nothing) == []


def test_an_oversized_message_is_refused_and_takes_no_memory(exchange: Callable[..., list[dict[str, Any]]]) -> None:
    (answer,) = exchange(b'{"id": 1, "method": "x", "params": "' + b"y" * (3 * MAX_MESSAGE) + b'"}')
    assert answer["error"]["data"]["details"] == "a message may have 16 MB at most"
