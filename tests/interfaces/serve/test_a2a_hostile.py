"""What an A2A client cannot do: come in without the token, send rubbish, take memory, leave processes behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ml_engineer.interfaces.serve.a2a_executor import MAX_AT_WORK
from ml_engineer.interfaces.serve.common import TOKEN
from ml_engineer.report.seal import digest
from tests.interfaces.serve.conftest import Place
from tests.support.a2a_client import a2a_client, a2a_server, asked_for, send
from tests.support.mcp_server import DEADLINE, SCRIPT, HttpServer, clean_environment, until

SECRET = "a-token-that-nobody-guesses"
HEADERS = {"Content-Type": "application/json", "A2A-Version": "1.0"}
GET_TASK = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}


@pytest.fixture(scope="module")
def a2a(place: Place) -> Iterator[HttpServer]:
    with a2a_server(place.root, place.home) as running:
        yield running


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(place: Place) -> Iterator[HttpServer]:
    with a2a_server(place.root, place.home, **{TOKEN: SECRET}) as running:
        yield running


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {SECRET}", "Bearer", f"Bearer {SECRET}x"])
@pytest.mark.parametrize("path", ["/a2a", "/rest/message:send", "/rest/tasks"])
def test_without_the_token_nobody_comes_in(locked: HttpServer, header: str | None, path: str) -> None:
    headers = HEADERS | ({"Authorization": header} if header else {})
    answer = httpx.post(f"{locked.url}{path}", json=GET_TASK, headers=headers, timeout=DEADLINE)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert SECRET not in answer.text


def test_the_card_can_be_read_without_the_token_and_says_that_one_is_needed(locked: HttpServer) -> None:
    card = httpx.get(f"{locked.url}/.well-known/agent-card.json", timeout=DEADLINE).json()
    assert card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]["scheme"] == "bearer"
    assert card["securityRequirements"] == [{"schemes": {"bearer": {}}}]


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_with_the_token_the_official_client_works(locked: HttpServer, binding: str) -> None:
    async def session() -> str:
        async with a2a_client(locked.url, binding, SECRET) as client:
            return (await send(client, "route Train it again every night")).state

    assert asyncio.run(session()) == "completed"
    assert not [line for line in locked.stderr if SECRET in line]


@pytest.mark.parametrize(
    ("http", "token", "said"),
    [
        ("0.0.0.0:0", None, f"needs a token: set {TOKEN}"),
        ("[::]:0", None, "needs a token"),
        ("0.0.0.0:0", "short", "a token needs 16"),
        ("127.0.0.1", None, "give HOST:PORT"),
    ],
)
def test_a_server_that_others_could_reach_unasked_does_not_start(
    place: Place, http: str, token: str | None, said: str
) -> None:
    environment = clean_environment(place.home, **({TOKEN: token} if token else {}))
    command = [SCRIPT, "serve", "a2a", "--http", http, "--root", str(place.root)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [("Host", "attacker.example", 421), ("Origin", "http://attacker.example", 403), ("Origin", "null", 403)],
)
def test_a_page_in_a_browser_reaches_nothing(a2a: HttpServer, header: str, value: str, status: int) -> None:
    answer = httpx.post(f"{a2a.url}/a2a", json=GET_TASK, headers=HEADERS | {header: value}, timeout=DEADLINE)
    assert answer.status_code == status


# --- messages ---------------------------------------------------------------------------------------------------------


def rpc(method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"jsonrpc": "2.0", "id": 1}',
        b'{"jsonrpc": "2.0", "id": 1, "method": 9}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "NoSuch", "params": {}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": 3}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {}}',
        b"[" * 100_000,
    ],
)
def test_malformed_requests_are_answered_with_an_error(a2a: HttpServer, body: bytes) -> None:
    answer = httpx.post(f"{a2a.url}/a2a", content=body, headers=HEADERS, timeout=DEADLINE)
    assert answer.json()["error"]["code"] < 0
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"message": 3}', b'{"message": {"parts": 1}}'])
def test_malformed_rest_requests_are_answered_with_an_error(a2a: HttpServer, body: bytes) -> None:
    answer = httpx.post(f"{a2a.url}/rest/message:send", content=body, headers=HEADERS, timeout=DEADLINE)
    assert 400 <= answer.status_code < 500
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "parts", [[], [{"text": ""}], [{"data": [1, 2]}], [{"data": 7}], [{"raw": "AAAA"}], [{"url": "http://x.example"}]]
)
def test_messages_without_an_order_do_no_harm(a2a: HttpServer, parts: list[Any]) -> None:
    params = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": parts}}
    answer = httpx.post(f"{a2a.url}/a2a", json=rpc("SendMessage", params), headers=HEADERS, timeout=DEADLINE).json()
    if "result" in answer:
        assert answer["result"]["task"]["status"]["state"] in ("TASK_STATE_INPUT_REQUIRED", "TASK_STATE_REJECTED")
    else:
        assert answer["error"]["code"] < 0
    assert not a2a.jobs()


@pytest.mark.parametrize("declared", [True, False])
def test_an_oversized_request_is_refused_and_takes_no_memory(a2a: HttpServer, declared: bool) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"x" * (1 << 20) for _ in range(64))

    before = a2a.process.memory_info().rss
    with contextlib.suppress(httpx.TransportError):  # it hangs up on what is still being sent
        body: Any = b"x" * (64 << 20) if declared else chunks()
        answer = httpx.post(f"{a2a.url}/a2a", content=body, headers=HEADERS, timeout=DEADLINE)
        assert answer.status_code == 413
    assert a2a.process.memory_info().rss < before + (32 << 20)
    assert httpx.get(f"{a2a.url}/.well-known/agent-card.json", timeout=DEADLINE).status_code == 200


def test_a_flood_of_orders_is_taken_up_to_a_limit(place: Place, large: Path) -> None:
    order = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "review large"}]}
    body = {"message": order, "configuration": {"returnImmediately": True}}
    with a2a_server(place.root, place.home) as running, httpx.Client(timeout=DEADLINE, headers=HEADERS) as http:
        ordered = []

        def refused() -> bool:
            task = http.post(f"{running.url}/rest/message:send", json=body).json()["task"]
            ordered.append(task["id"])
            status = http.get(f"{running.url}/rest/tasks/{ordered[max(0, len(ordered) - 5)]}").json()["status"]
            return status["state"] == "TASK_STATE_REJECTED" and "later" in status["message"]["parts"][0]["text"]

        assert until(refused, "the refusal")
        assert len(ordered) > MAX_AT_WORK
        assert len(running.jobs()) <= 2, "two reviews at once, however many were ordered"
        running.process.send_signal(signal.SIGINT)
        until(lambda: not _alive(running.process), "the end of the server, with all that waited")


# --- killed -----------------------------------------------------------------------------------------------------------

CLIENT = """
import asyncio, sys
from tests.support.a2a_client import a2a_client, send

def show(heard):
    print(heard.task_id, flush=True)
    return False

async def main():
    async with a2a_client(sys.argv[1]) as client:
        await send(client, sys.argv[2], until_heard=show)

asyncio.run(main())
"""


def test_the_task_of_a_client_that_is_killed_is_there_for_the_next(a2a: HttpServer, large: Path) -> None:
    command = [sys.executable, "-c", CLIENT, a2a.url, "review large --steps 1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as client:
        assert client.stdout is not None
        task_id = client.stdout.readline().strip()
        until(a2a.jobs, "the review's process")
        os.kill(client.pid, signal.SIGKILL)

    async def ended() -> bool:
        async with a2a_client(a2a.url) as another:
            heard = await asked_for(another, task_id)
            return heard.state == "completed" and heard.report.digest == digest(heard.report)

    assert until(lambda: asyncio.run(ended()), "the end of the task")
    assert not a2a.jobs()


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("signal_sent", [signal.SIGINT, signal.SIGKILL])
def test_a_server_that_is_stopped_or_killed_leaves_no_process(place: Place, large: Path, signal_sent: int) -> None:
    with a2a_server(place.root, place.home) as running:

        async def begin() -> None:
            async with a2a_client(running.url) as client:
                await send(client, "review large", until_heard=lambda one: bool(one.task_id))

        asyncio.run(begin())
        jobs = until(running.jobs, "the review's process")
        running.process.send_signal(signal_sent)
        until(lambda: not _alive(running.process), "the server's end")
        until(lambda: not any(map(_alive, jobs)), "the end of its children")
        if signal_sent == signal.SIGINT:
            assert not [line for line in running.stderr if "Traceback" in line]
