"""Turns by message batches: half the price, nothing paid twice, and failures that are ordinary ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.agent import prices
from ml_engineer.agent.budget import BudgetSpent, Caps
from ml_engineer.agent.client import Settings, open_client
from ml_engineer.agent.prices import Tokens
from ml_engineer.agent.profiles import COMPATIBLE
from ml_engineer.agent.stream import BrokenAnswer, Stop, whole
from ml_engineer.agent.turn import Patience
from ml_engineer.interfaces.batch import batches as module
from ml_engineer.interfaces.batch import message_batches
from ml_engineer.interfaces.batch.batches import Batches
from ml_engineer.interfaces.batch.governor import Account, Governor
from ml_engineer.interfaces.batch.index import Index
from tests.interfaces.batch.conftest import Batch, wait_for
from tests.interfaces.batch.model import STEPS, asked, script, summary_of
from tests.support.batches_server import BatchesServer
from tests.support.messages_server import MessagesServer
from tests.support.script import Fault, Script, Turn, text

Many = Callable[[int], list[Path]]
Start = Callable[..., subprocess.Popen[str]]
MODEL = "claude-sonnet-5-5"
USAGE = {"input_tokens": 1_000, "output_tokens": 100}
FULL = prices.cost(MODEL, Tokens.of(USAGE)) or Decimal(0)
MOST = (prices.cost(MODEL, Tokens(output=1_000, cache_write=5_000)) or Decimal(0)) / 2


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET", 0.1)
    monkeypatch.setattr(module, "FIRST_LOOK", 0.05)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")


def answering(*faults: Fault) -> Script:
    return Script.of([Turn([text("done")], faults=list(faults), usage=USAGE)])


def call(owner: str, words: str = "look") -> dict[str, Any]:
    request = f'{{"model":"{MODEL}","max_tokens":1000,"messages":[{{"role":"user","content":"{words}"}}]}}'
    return {"model": MODEL, "prompt": 5_000, "answer": 1_000, "owner": owner, "request": request}


def work(
    server: MessagesServer, out: Path, what: Callable[[Batches], Awaitable[Any]], caps: Caps | None = None
) -> tuple[Any, Governor]:
    """`what(batches)` as the parent of a batch in `out` would do it."""

    async def inside() -> tuple[Any, Governor]:
        with Index.open(out) as index:
            cost, turns = index.spent()
            governor = Governor(caps or Caps(), Account(cost, turns, index.keep_spent), share=prices.BATCH_SHARE)
            client = open_client(Settings(MODEL, base_url=server.url, profile=COMPATIBLE))
            try:
                async with asyncio.timeout(60):
                    async with Batches(client, governor, index, Patience(first=0.01)).open() as batches:
                        return await what(batches), governor
            finally:
                await client.close()

    return asyncio.run(inside())


def test_calls_that_come_together_are_one_batch_at_half_the_price(out: Path) -> None:
    async def ask(batches: Batches) -> list[dict[str, Any]]:
        return await asyncio.gather(*(batches.answer(call(f"r{number}", f"look {number}")) for number in range(5)))

    with BatchesServer(answering()) as server:
        replies, governor = work(server, out, ask)
        assert len(server.batches) == 1
        assert server.batches["msgbatch_0"].read == 1
    assert [whole(reply["message"]).text for reply in replies] == ["done"] * 5
    assert governor.account.cost == 5 * FULL / 2
    assert governor.account.turns == 5


def test_who_asks_the_same_again_does_not_pay_again(out: Path) -> None:
    async def ask(batches: Batches) -> Any:
        first = asyncio.create_task(batches.answer(call("r")))
        await asyncio.sleep(0)
        first.cancel()  # its worker was killed
        return await batches.answer(call("r"))

    with BatchesServer(answering()) as server:
        work(server, out, ask)
        _, governor = work(server, out, lambda batches: batches.answer(call("r")))  # a later process
        work(server, out, lambda batches: batches.answer(call("another")))
        assert [len(made.requests) for made in server.batches.values()] == [1, 1]
    assert (governor.account.cost, governor.account.turns) == (FULL / 2, 1)


def test_a_batch_that_was_made_before_a_kill_is_picked_up(out: Path) -> None:
    async def begin(batches: Batches) -> None:
        waiting = asyncio.create_task(batches.answer(call("r")))
        while not batches.created:
            await asyncio.sleep(0.01)
        waiting.cancel()

    with BatchesServer(answering(), latency=1.0) as server:
        work(server, out, begin)
        with Index.open(out) as index:
            assert index.spent() == (MOST, 1)
        reply, governor = work(server, out, lambda batches: batches.answer(call("r")))
        assert len(server.batches) == 1
    assert whole(reply["message"]).stop is Stop.END_TURN
    assert (governor.account.cost, governor.account.turns) == (FULL / 2, 1)


def key_of(asked: dict[str, Any]) -> str:
    return hashlib.sha256(f"{asked['owner']}\n{asked['request']}".encode()).hexdigest()


def test_a_batch_of_whose_creation_nobody_has_heard_is_found(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the creation at the server and its entry. Others have created batches with as many calls."""

    async def begin(batches: Batches) -> None:
        waiting = asyncio.create_task(batches.answer(call("r")))
        while len(server.batches) < 2:
            await asyncio.sleep(0.01)
        waiting.cancel()

    monkeypatch.setattr(message_batches, "PAGE", 1)
    theirs = {"custom_id": "theirs", "params": json.loads(call("theirs")["request"])}
    with BatchesServer(answering(), latency=0.3, faults=[Fault("unheard")]) as server:
        server.make([theirs])
        work(server, out, begin)
        server.make([theirs])
        server.make([theirs, {**theirs, "custom_id": "another"}])
        reply, governor = work(server, out, lambda batches: batches.answer(call("r")))
        assert len(server.batches) == 4
        _, ours, _, larger = server.batches.values()  # which of the others is looked into is a matter of time
        assert (ours.read, larger.read) == (2, 0)
        work(server, out, lambda batches: batches.answer(call("r")))
        assert len(server.batches) == 4
    assert whole(reply["message"]).stop is Stop.END_TURN
    assert (governor.account.cost, governor.account.turns) == (FULL / 2, 1)


def test_a_batch_that_was_never_created_is_created_and_paid_once(out: Path) -> None:
    """A kill before the server was asked, with the call in the account at its most."""
    with Index.open(out) as index:
        index.begin_creation({key_of(call("r")): MOST}, time.time())
        index.keep_spent(MOST, 1)
    with BatchesServer(answering()) as server:
        reply, governor = work(server, out, lambda batches: batches.answer(call("r")))
        assert len(server.batches) == 1
    assert "message" in reply
    assert (governor.account.cost, governor.account.turns) == (FULL / 2, 1)


def test_a_connection_that_breaks_at_a_creation_does_not_create_another(out: Path) -> None:
    with BatchesServer(answering(), faults=[Fault("unheard", seconds=0.0)]) as server:
        reply, governor = work(server, out, lambda batches: batches.answer(call("r")))
        assert len(server.batches) == 1
    assert "message" in reply
    assert governor.account.cost == FULL / 2


def test_a_batch_that_the_server_has_forgotten_is_asked_anew(out: Path) -> None:
    with BatchesServer(answering()) as server:
        work(server, out, lambda batches: batches.answer(call("r")))
        server.batches.clear()
        reply, _ = work(server, out, lambda batches: batches.answer(call("r")))
        assert "no longer at the server" in reply["error"]
        reply, governor = work(server, out, lambda batches: batches.answer(call("r")))
        assert "message" in reply
    assert governor.account.turns == 2


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault("status", 529), "overloaded_error", "scripted"),
        (Fault("status", 400), "invalid_request_error", "scripted"),
        (Fault("expired"), None, "was expired in its batch"),
        (Fault("canceled"), None, "was canceled in its batch"),
        (Fault("missing"), None, "was missing in its batch"),
    ],
)
def test_a_call_without_an_answer_costs_nothing_and_may_be_sent_again(
    out: Path, fault: Fault, kind: str | None, words: str
) -> None:
    async def ask(batches: Batches) -> list[dict[str, Any]]:
        return [await batches.answer(call("r")), await batches.answer(call("r"))]

    with BatchesServer(answering(fault)) as server:
        (first, second), governor = work(server, out, ask)
        assert len(server.batches) == 2
    assert words in first["error"]
    assert first["kind"] == kind
    assert "message" in second
    assert (governor.account.cost, governor.account.turns) == (FULL / 2, 1)


def test_the_cap_holds_at_half_the_price(out: Path) -> None:
    async def ask(batches: Batches) -> list[Any]:
        asking = (batches.answer(call(f"r{number}", f"look {number}")) for number in range(6))
        return await asyncio.gather(*asking, return_exceptions=True)

    cap = MOST * 2 + MOST / 2
    with BatchesServer(answering(), latency=0.0) as server:
        replies, governor = work(server, out, ask, Caps(cost=cap))
        assert max(len(made.requests) for made in server.batches.values()) == 2
    answered = [reply for reply in replies if isinstance(reply, dict)]
    spent = [reply for reply in replies if isinstance(reply, BudgetSpent)]
    assert len(answered) + len(spent) == 6
    assert governor.account.cost == len(answered) * FULL / 2 <= cap


def test_the_server_is_waited_for_as_it_asks(out: Path) -> None:
    faults = [Fault("status", 429, retry_after=0.3), Fault("status", 503), Fault("status", 429, retry_after=0.3)]
    with BatchesServer(answering(), faults=faults, latency=0.0) as server:
        reply, _ = work(server, out, lambda batches: batches.answer(call("r")))
        assert server.faults == []
    assert "message" in reply


def test_a_server_that_fails_for_good_is_said_and_costs_nothing(out: Path) -> None:
    with BatchesServer(answering(), faults=[Fault("status", 401)]) as server:
        reply, governor = work(server, out, lambda batches: batches.answer(call("r")))
    assert reply["failed"] == "key"
    assert "does not accept the key" in reply["message"]
    assert (governor.account.cost, governor.account.turns) == (0, 0)


def test_a_message_in_one_piece_is_held_to_the_same_rules() -> None:
    use = {"type": "tool_use", "id": "t", "name": "Read", "input": "no object"}
    result = whole({"content": [{"type": "text", "text": ""}, use], "stop_reason": "tool_use", "usage": USAGE})
    assert result.content == [{**use, "input": {}}]
    assert result.malformed == {"t": "no object"}
    assert result.usage == USAGE
    for broken in ({}, {"content": [{}], "stop_reason": "end_turn"}, {"content": []}):
        with pytest.raises(BrokenAnswer):
            whole(broken)


# --- the command ------------------------------------------------------------------------------------------------------


def test_many_repositories_share_batches_and_their_reports_have_half_the_price(
    batch: Batch, model: BatchesServer, many: Many, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET", 1.0)
    model.script = script(USAGE, faults=[Fault("expired")])
    result = batch(*many(4), "--model-batches")
    assert result.exit_code == 0, result.stderr
    assert model.requests == []  # no turn was sent by itself
    assert sum(len(made.requests) for made in model.batches.values()) == 4 * STEPS + 1
    assert max(len(made.requests) for made in model.batches.values()) > STEPS
    usage = summary_of(out).usage
    assert usage.turns == 4 * STEPS
    assert usage.cost_usd == pytest.approx(float(4 * STEPS * FULL / 2))


def test_after_a_kill_the_same_command_picks_up_what_was_made(
    started: Start, batch: Batch, model: BatchesServer, many: Many, out: Path
) -> None:
    roots = many(2)
    model.script, model.latency, model.faults = script(USAGE), 0.0, [Fault("unheard")]
    child = started(*roots, "--model-batches", **asked(model))
    wait_for(lambda: bool(model.batches))  # it is made, and nobody has heard of it
    child.kill()
    child.communicate()
    result = batch(*roots, "--model-batches")
    assert result.exit_code == 0, result.stderr
    keys = Counter(one["custom_id"] for made in model.batches.values() for one in made.requests)
    assert set(keys.values()) == {1}
    assert len(keys) == 2 * STEPS
    usage = summary_of(out).usage
    assert usage.cost_usd == pytest.approx(float(2 * STEPS * FULL / 2))


def test_what_has_no_message_batches_is_refused(batch: Batch, many: Many, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = many(1)
    with MessagesServer(script()) as server:
        for name, value in asked(server).items():
            monkeypatch.setenv(name, value)
        result = batch(*roots, "--model-batches")
    assert result.exit_code == 2
    assert "has no Message Batches API; leave out --model-batches" in result.stderr


def test_options_that_do_not_fit_message_batches_are_refused(
    batch: Batch, many: Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = many(1)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    assert "for a batch with a model" in batch(*roots, "--model-batches", "--offline").stderr
    assert "needs no cluster" in batch(*roots, "--model-batches", "--engine", "ray").stderr
