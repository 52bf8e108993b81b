"""What a client must not reach, and what no client can do to the server or to the others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from mcp import Client

from ml_engineer.agent.runs import Run, list_folders
from tests.interfaces.serve.conftest import Place
from tests.interfaces.serve.test_mcp import call, refusal, resource
from tests.support.mcp_server import (
    DEADLINE,
    SCRIPT,
    TOKEN,
    HttpServer,
    clean_environment,
    http_client,
    http_server,
    stdio,
    until,
)

SECRET = "a-token-that-nobody-guesses"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@pytest.fixture(autouse=True)
def _home(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's runs are those that this process sees."""
    monkeypatch.setenv("ML_ENGINEER_HOME", str(place.home))


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../outside", "{outside}", "escape", "prototype/../escape", "/", "~", "a\0b"])
def test_no_path_leads_out_of_the_roots(place: Place, server: HttpServer, path: str) -> None:
    async def session() -> str:
        async with http_client(server.url) as client:
            return await refusal(client, "review_repository", path=path.format(outside=place.outside))

    said = asyncio.run(session())
    assert "outside the folders" in said or "no such folder" in said or "is not a path" in said
    assert "app.py" not in said


def test_runs_of_other_folders_are_not_there(place: Place, server: HttpServer) -> None:
    command = [SCRIPT, "review", str(place.outside), "--offline", "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=True, env=clean_environment(place.home), timeout=120)
    run_id = json.loads(done.stdout)["run"]["id"]
    assert run_id in [folder.name for folder in list_folders()]
    damaged = place.home / "runs" / "20200101-000000-abcdef"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")

    async def session() -> None:
        async with http_client(server.url) as client:
            for tool in ("list_findings", "plan_production"):
                assert "no run" in await refusal(client, tool, run_id=run_id)
            nothing = await refusal(client, "list_findings", run_id="20000101-000000-abcdef")
            said = await refusal(client, "list_findings", run_id=run_id)
            assert said.replace(run_id, "") == nothing.replace("20000101-000000-abcdef", ""), "whether it is there"
            assert run_id not in await refusal(client, "list_findings", run_id="20")
            assert "no run" in await refusal(client, "route", task="x", run_id=run_id)
            assert run_id not in await resource(client, "runs://all")
            for uri in (f"report://{run_id}", f"report://{run_id}/markdown", "report://../../etc"):
                with pytest.raises(Exception, match=r"no run|not the id|Unknown resource|not found"):
                    await resource(client, uri)

    asyncio.run(session())


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(place: Place) -> Iterator[HttpServer]:
    with http_server(place.root, place.home, **{TOKEN: SECRET}) as running:
        yield running


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {SECRET}", "Bearer", f"Bearer {SECRET}x"])
def test_without_the_token_nobody_comes_in(locked: HttpServer, header: str | None) -> None:
    headers = HEADERS | ({"Authorization": header} if header else {})
    answer = httpx2.post(locked.url, json=INITIALIZE, headers=headers, timeout=DEADLINE)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert SECRET not in answer.text


def test_with_the_token_the_official_client_works(locked: HttpServer) -> None:
    async def session() -> None:
        async with http_client(locked.url, SECRET) as client:
            assert (await call(client, "explain_rule", rule="MLE0506"))["rules"]

    asyncio.run(session())
    assert not [line for line in locked.stderr if SECRET in line]


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "attacker.example", 421),
        ("Host", "127.0.0.1.attacker.example:80", 421),
        ("Host", "0.0.0.0:80", 421),
        ("Origin", "http://attacker.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://[", 403),
        ("Origin", "http://127.0.0.1:1", 403),
    ],
)
def test_a_page_in_a_browser_reaches_nothing(server: HttpServer, header: str, value: str, status: int) -> None:
    answer = httpx2.post(server.url, json=INITIALIZE, headers=HEADERS | {header: value}, timeout=DEADLINE)
    assert answer.status_code == status


def test_a_server_that_others_could_reach_unasked_does_not_start(place: Place) -> None:
    command = [SCRIPT, "serve", "mcp", "--http", "0.0.0.0:0", "--root", str(place.root)]
    environment = clean_environment(place.home)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"needs a token: set {TOKEN}" in done.stderr
    assert "Traceback" not in done.stderr


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b'{"jsonrpc": "2.0"}', b"\xff\xfe\x00", b'{"jsonrpc":"2.0","id":1,"method":9}'],
)
def test_malformed_requests_are_answered_as_such(server: HttpServer, body: bytes) -> None:
    answer = httpx2.post(server.url, content=body, headers=HEADERS, timeout=DEADLINE)
    assert 400 <= answer.status_code < 500


def test_wrong_arguments_are_said_and_do_no_harm(server: HttpServer) -> None:
    async def session() -> None:
        async with http_client(server.url) as client:
            for arguments in ({}, {"path": 7}, {"path": "prototype", "steps": "all"}, {"path": "x" * 10_000}):
                await refusal(client, "review_repository", **arguments)
            await refusal(client, "list_findings", run_id="x", limit=10_000)
            await refusal(client, "measure", path="prototype", training={"label": "x", "command": "ls", "more": 1})
            await refusal(client, "no_such_tool")
            assert (await call(client, "explain_rule", rule="MLE0506"))["rules"]

    asyncio.run(session())


@pytest.mark.parametrize("declared", [True, False])
def test_an_oversized_request_is_refused_and_takes_no_memory(server: HttpServer, declared: bool) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"x" * (1 << 20) for _ in range(64))

    before = server.process.memory_info().rss
    with contextlib.suppress(httpx2.TransportError):  # it hangs up on what is still being sent
        body: Any = b"x" * (64 << 20) if declared else chunks()
        answer = httpx2.post(server.url, content=body, headers=HEADERS, timeout=DEADLINE)
        assert answer.status_code == 413
    assert server.process.memory_info().rss < before + (32 << 20)
    assert httpx2.post(server.url, json=INITIALIZE, headers=HEADERS, timeout=DEADLINE).status_code == 200


def test_rubbish_on_stdio_is_survived(place: Place) -> None:
    lines = [b"not json", b"{}", b"[1, 2]", b"\xff\xfe", b'{"jsonrpc": "2.0", "id": {"a": 1}, "method": "x"}']
    lines.append(
        json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"x": "y" * 20_000_000}}).encode()
    )
    process = subprocess.Popen(
        [SCRIPT, "serve", "mcp", "--root", str(place.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=clean_environment(place.home),
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b"\n".join([*lines, json.dumps(INITIALIZE).encode(), b""]))
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)  # every line on the wire is a message
                if answer.get("id") == 1:
                    break
            assert answer["result"]["serverInfo"]["name"] == "ml-engineer"
            process.stdin.close()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


# --- cancelled and killed ---------------------------------------------------------------------------------------------


def _runs(home: Path) -> set[str]:
    folder = home / "runs"
    return {one.name for one in folder.iterdir()} if folder.is_dir() else set()


def _new_run(home: Path, before: set[str]) -> str | None:
    return next((one for one in _runs(home) - before if (home / "runs" / one / "run.json").is_file()), None)


def _state(run_id: str) -> str:
    return Run.open(run_id).state


def test_a_cancelled_review_is_stopped_and_can_be_resumed(place: Place, server: HttpServer, large: Path) -> None:
    before = _runs(place.home)

    async def session() -> str:
        async with http_client(server.url) as client:
            review = asyncio.ensure_future(client.call_tool("review_repository", {"path": "large"}))
            run_id = await asyncio.to_thread(until, lambda: _new_run(place.home, before), "the run")
            assert await asyncio.to_thread(_state, run_id) == "running"
            assert server.jobs()
            review.cancel()
            with pytest.raises(asyncio.CancelledError):
                await review
            await asyncio.to_thread(until, lambda: not server.jobs(), "the child's end")
            assert (await call(client, "explain_rule", rule="MLE0506"))["rules"], "the connection lives on"
            return str(run_id)

    run_id = asyncio.run(session())
    until(lambda: _state(run_id) == "interrupted", "the end of the run")
    assert not (place.home / "runs" / run_id / "report.json").exists()


def test_a_review_whose_process_dies_is_an_error_and_costs_nobody_else(
    place: Place, server: HttpServer, large: Path
) -> None:  # fmt: skip
    before = _runs(place.home)

    async def session() -> str:
        async with http_client(server.url) as client:
            review = asyncio.ensure_future(refusal(client, "review_repository", path="large"))
            other = asyncio.ensure_future(call(client, "explain_rule", rule="MLE0506"))
            await asyncio.to_thread(until, lambda: _new_run(place.home, before), "the run")
            for job in server.jobs():
                job.kill()
            assert (await other)["rules"]
            return await review

    said = asyncio.run(session())
    assert "the review of large crashed" in said
    assert "please report this" in said
    assert not [line for line in server.stderr if "Traceback" in line]


CLIENT = """
import asyncio, sys
from mcp import Client
from mcp.client.stdio import StdioServerParameters

async def main(target):
    async with Client(target) as client:
        await client.call_tool("review_repository", {"path": "large"})

asyncio.run(main(eval(sys.argv[1])))
"""


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_client_that_is_killed_leaves_nothing_at_work(
    place: Place, server: HttpServer, large: Path, transport: str
) -> None:
    before = _runs(place.home)
    target = repr(server.url) if transport == "http" else repr(stdio(place.root, place.home))
    with subprocess.Popen([sys.executable, "-c", CLIENT, target]) as client:
        run_id = until(lambda: _new_run(place.home, before), "the run")
        started = psutil.Process(client.pid).children(recursive=True)
        os.kill(client.pid, signal.SIGKILL)
    assert started or transport == "http"
    until(lambda: not any(_alive(one) for one in started), "the end of its server and of the server's children")
    until(lambda: not server.jobs(), "the end of the review's process")
    until(lambda: _state(run_id) == "interrupted", "the end of the run")

    async def another() -> None:
        async with http_client(server.url) as client:
            assert (await call(client, "review_repository", path="prototype"))["coverage"] == "complete"

    asyncio.run(another())


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_a_server_that_is_interrupted_ends_at_once(place: Place, large: Path) -> None:
    before = _runs(place.home)

    async def session() -> None:
        with http_server(place.root, place.home) as running:
            async with Client(running.url) as client:
                review = asyncio.ensure_future(client.call_tool("review_repository", {"path": "large"}))
                await asyncio.to_thread(until, lambda: _new_run(place.home, before), "the run")
                jobs = running.jobs()
                running.process.send_signal(signal.SIGINT)
                await asyncio.to_thread(until, lambda: not _alive(running.process), "the server's end")
                assert not any(_alive(job) for job in jobs)
                review.cancel()
                await asyncio.wait([review])

    with contextlib.suppress(BaseExceptionGroup):  # the connection broke
        asyncio.run(session())
    run_id = _new_run(place.home, before)
    assert run_id is not None
    until(lambda: _state(run_id) == "interrupted", "the end of the run")
