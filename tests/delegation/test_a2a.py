"""`a2a`: a real A2A server on loopback, and respx for faults of HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import respx

from ml_engineer.delegation import desk as desk_module
from ml_engineer.delegation.transports.a2a import A2A
from ml_engineer.report.schema import Handoff, HandoffState, PeerReply
from tests.delegation.conftest import GOOD, desk, handoff
from tests.support.peer_servers import Agent, a2a_app, new_data_part, new_text_part, serve

Serve = Callable[..., tuple[str, Agent]]


@pytest.fixture
def agent() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(act: Callable[[str, Any], Awaitable[None]], **options: Any) -> tuple[str, Agent]:
            made = Agent(act)
            return stack.enter_context(serve(a2a_app(made, **options))), made

        yield start


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "BACKOFF", 0.01)


def ask(url: str, timeout: float = 20.0, token_env: str | None = None) -> tuple[Handoff, PeerReply]:
    one = desk({"cloud-architect": A2A(url, token_env)}, timeout=timeout)
    done = asyncio.run(one.hand(handoff("cloud-architect"), ("ml-engineer",)))
    assert done.reply is not None
    return done, done.reply


async def artifact(told: str, updater: Any) -> None:
    await updater.add_artifact([new_text_part("Here it is.\n"), new_text_part(f"```json\n{GOOD}\n```")], name="reply")
    await updater.complete()


@pytest.mark.parametrize("streaming", [True, False])
def test_the_brief_goes_out_and_the_artifact_is_the_reply(agent: Serve, streaming: bool) -> None:
    url, made = agent(artifact, streaming=streaming)
    done, reply = ask(url)
    assert (done.state, reply.answer) == (HandoffState.ANSWERED, "Split by customer."), reply.error
    assert reply.usage.cost_usd == 0.1
    (told,) = made.told
    assert told.startswith("# Hand-off to cloud-architect")
    assert "`train.py:3`" in told


def test_a_data_part_is_the_reply_though_its_integers_are_floats(agent: Serve) -> None:
    async def act(told: str, updater: Any) -> None:
        data = {
            "answer": "Two instances.",
            "usage": {"turns": 3, "cost_usd": 1},
            "claims": [
                {
                    "text": "One replica",
                    "state": "present",
                    "evidence": [
                        {"kind": "quote", "path": "k.yaml", "line_start": 8, "line_end": 8, "quote": "replicas: 1"}
                    ],
                }
            ],
        }
        await updater.add_artifact([new_text_part("see the data"), new_data_part(data)], name="reply")
        await updater.complete()

    _, reply = ask(agent(act)[0])
    assert reply.answer == "Two instances.", reply.error
    assert reply.usage.turns == 3
    assert reply.claims[0].evidence[0].line_start == 8  # type: ignore[union-attr]  # the quote from above


def test_an_artifact_in_pieces_is_put_together(agent: Serve) -> None:
    async def act(told: str, updater: Any) -> None:
        half = len(GOOD) // 2
        await updater.add_artifact([new_text_part(GOOD[:half])], artifact_id="a", last_chunk=False)
        await updater.add_artifact([new_text_part(GOOD[half:])], artifact_id="a", append=True, last_chunk=True)
        await updater.complete()

    assert ask(agent(act)[0])[1].answer == "Split by customer."


def test_a_task_that_ends_in_any_other_way_is_no_answer(agent: Serve) -> None:
    async def failing(told: str, updater: Any) -> None:
        await updater.failed(updater.new_agent_message([new_text_part(GOOD)]))

    async def asking(told: str, updater: Any) -> None:
        await updater.requires_input(updater.new_agent_message([new_text_part("which region?")]))

    async def raising(told: str, updater: Any) -> None:
        raise RuntimeError("out of disk")

    for act, says in ((failing, "ended as failed"), (asking, "asks back instead of answering: which region?"),
                      (raising, "a2a: ")):  # fmt: skip
        done, reply = ask(agent(act)[0])
        assert done.state is HandoffState.FAILED
        assert says in str(reply.error)
        assert reply.answer == ""


def test_a_rejected_task_is_declined_with_its_reason(agent: Serve) -> None:
    async def act(told: str, updater: Any) -> None:
        await updater.reject(updater.new_agent_message([new_text_part("not my trade")]))

    done, reply = ask(agent(act)[0])
    assert (done.state, reply.answer) == (HandoffState.DECLINED, "not my trade")


def test_out_of_time_the_task_is_cancelled_at_the_other_side(agent: Serve) -> None:
    async def act(told: str, updater: Any) -> None:
        await asyncio.sleep(60)

    url, made = agent(act)
    started = time.monotonic()
    _, reply = ask(url, timeout=2.0)
    assert reply.error == "no reply within 2 s; the peer was stopped"
    assert time.monotonic() - started < 12
    assert made.cancelled.wait(10)


def test_fifty_megabytes_are_cut_off(agent: Serve) -> None:
    async def act(told: str, updater: Any) -> None:
        await updater.add_artifact([new_text_part(json.dumps({"answer": "x" * 50_000_000}))], name="reply")
        await updater.complete()

    _, reply = ask(agent(act)[0], timeout=60)
    assert "larger than 8,000,000 bytes" in str(reply.error)


def test_the_token_goes_to_the_named_host_only(agent: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHITECT_TOKEN", "s3cret")
    tokens: list[str | None] = []
    url, _ = agent(artifact, tokens=tokens)
    assert ask(url, token_env="ARCHITECT_TOKEN")[0].state is HandoffState.ANSWERED
    assert set(tokens) == {"Bearer s3cret"}
    # The same server under another name: its card points to the host that is not the named one.
    tokens.clear()
    ask(url.replace("127.0.0.1", "localhost"), token_env="ARCHITECT_TOKEN")
    assert tokens == ["Bearer s3cret", None]


def test_a_token_that_is_not_set_is_said_before_anything_is_sent(agent: Serve) -> None:
    url, made = agent(artifact)
    _, reply = ask(url, token_env="NOT_SET")
    assert "NOT_SET, named by token_env, is not set" in str(reply.error)
    assert reply.usage.cost_usd == 0
    assert made.told == []


def test_nobody_there_is_tried_three_times_and_costs_nothing() -> None:
    with respx.mock(assert_all_called=False) as router:
        route = router.get("http://peer.example/.well-known/agent-card.json").mock(side_effect=httpx.ConnectError("no"))
        _, reply = ask("http://peer.example")
    assert route.call_count == 3
    assert "a2a: " in str(reply.error)
    assert reply.usage.cost_usd == 0


CARD = {
    "name": "architect",
    "description": "designs",
    "version": "1",
    "skills": [],
    "capabilities": {},
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "supportedInterfaces": [
        {"protocolBinding": "JSONRPC", "protocolVersion": "1.0", "url": "http://peer.example/a2a"}
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        (httpx.Response(503, text="busy"), 3),
        (httpx.Response(429, text="slow down"), 3),
        (httpx.ConnectError("refused"), 3),
        (httpx.Response(500, text="boom"), 1),
        (httpx.Response(200, text="no JSON"), 1),
        (httpx.Response(200, json={"jsonrpc": "2.0", "id": "1", "error": {"code": -32603, "message": "broken"}}), 1),
        (httpx.Response(200, headers={"content-encoding": "gzip"}, content=b"\x1f\x8b"), 1),
        (httpx.ReadTimeout("stalled"), 1),
        (httpx.RemoteProtocolError("cut off"), 1),
    ],
)
def test_a_call_is_repeated_only_where_the_peer_has_not_begun(fault: Any, calls: int) -> None:
    with respx.mock() as router:
        router.get("http://peer.example/.well-known/agent-card.json").respond(json=CARD)
        effect = {"side_effect": fault} if isinstance(fault, Exception) else {"return_value": fault}
        route = router.post("http://peer.example/a2a").mock(**effect)
        done, reply = ask("http://peer.example")
    assert route.call_count == calls
    assert done.state is HandoffState.FAILED
    assert str(reply.error).startswith("a2a: ")
    assert reply.usage.cost_usd == (0 if calls > 1 else "unpriced")
