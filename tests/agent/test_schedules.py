"""Random schedules of faults and interruptions: every run completes, nothing is corrupted or done twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ml_engineer.agent.client import Client, Settings, open_client
from ml_engineer.agent.ending import Ending, Why
from ml_engineer.agent.lanes import Lanes
from ml_engineer.agent.ledger import Ledger
from ml_engineer.agent.log import Log
from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Transcript
from ml_engineer.agent.turn import Patience
from tests.support.agents import CountingTools
from tests.support.script import FAULTS, Script, call, text
from tests.support.transport import ScriptedTransport

SCHEDULES = 1_000 if os.environ.get("ML_ENGINEER_TEST_MOMENTS") else 300
AT_ONCE = Patience(first=0.0)
KINDS = [*sorted(FAULTS), 429, 500, 529]


# Three turns of calls and an end.
TURNS: list[Any] = [
    [text("one"), call("Look", what="a"), call("Change", what="first")],
    [call("Change", what="second"), call("Change", what="third"), call("Look", what="b")],
    [{"thinking": "hm"}, call("Change", what="fourth")],
    [call("Finish", summary="done")],
]
DONE = Ending(Why.FINISHED, "accepted", {"record": {"summary": "done"}})


def a_schedule(chance: random.Random) -> Script:
    """Before each turn, with some luck, up to three faults."""
    return with_faults([[chance.choice(KINDS) for _ in range(chance.choice((0, 0, 1, 3)))] for _ in TURNS])


def with_faults(faults: list[list[Any]]) -> Script:
    return Script.of([{"blocks": blocks, "faults": own} for blocks, own in zip(TURNS, faults, strict=True)])


def check(messages: list[dict[str, Any]]) -> None:
    """Every call is answered in the next message, in order; nothing of a broken answer is in it."""
    assert [message["role"] for message in messages] == ["user", "assistant"] * 4 + ["user"]
    for asked, answered in zip(messages[1::2], messages[2::2], strict=True):
        called = [block["id"] for block in asked["content"] if block["type"] == "tool_use"]
        assert called == [block["tool_use_id"] for block in answered["content"]]
    assert [len(message["content"]) for message in messages[1::2]] == [3, 3, 2, 1]


async def a_run(client: Client, tools: CountingTools, folder: Path) -> Ending:
    """A loop on the records in this folder, to its end."""
    with closing(Ledger(folder / "effects.jsonl")) as ledger, closing(Transcript(folder / "step.jsonl")) as transcript:
        return await ToolLoop(client, transcript, tools, ledger=ledger, patience=AT_ONCE).run("the brief")


def kept(folder: Path) -> list[dict[str, Any]]:
    with closing(Transcript(folder / "step.jsonl")) as transcript:
        return transcript.messages


def scripted(client: Client, transport: ScriptedTransport) -> Client:
    sdk = client.sdk.copy(http_client=httpx2.AsyncClient(transport=transport, trust_env=False))
    return Client(Lanes(sdk), client.settings, client.options, True)


async def run_one(client: Client, chance: random.Random, folder: Path) -> None:
    """Run one schedule; in every second one the process "stops" somewhere, and another one goes on."""
    tools = CountingTools()
    stops = chance.choice((0, 0, 1, 2))
    for _ in range(stops + 1):
        task = asyncio.create_task(a_run(client, tools, folder))
        if stops:
            stops -= 1
            for _ in range(chance.randrange(60)):
                await asyncio.sleep(0)
            task.cancel()
        try:
            ending: Ending | None = await task
        except asyncio.CancelledError:
            ending = None
    assert ending == DONE
    check(kept(folder))
    unknown = (folder / "step.jsonl").read_text().count("outcome is unknown")
    assert len(tools.done) == len(set(tools.done)) <= 4
    assert len(tools.done) >= 4 - unknown


def test_random_schedules_leave_no_corrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def synced(log: Log) -> None:  # only a power cut would need more
        await asyncio.sleep(0)

    monkeypatch.setattr(Log, "synced", synced)

    async def go() -> int:
        requests = 0
        client = open_client(Settings("scripted", base_url="http://scripted"))
        for number in range(SCHEDULES):
            chance = random.Random(number)
            transport = ScriptedTransport(a_schedule(chance))
            try:
                await run_one(scripted(client, transport), chance, tmp_path / str(number))
            except AssertionError as error:
                raise AssertionError(f"schedule {number}: {error}") from error
            requests += transport.requests
        await client.close()
        return requests

    assert asyncio.run(go()) > 5 * SCHEDULES  # four turns each, and the faults


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_fault_at_every_turn_is_survived_or_ends_in_an_error_to_resume_from(kind: Any, tmp_path: Path) -> None:
    """Once, it is survived. As often as the loop tries, the loop ends with an error that says why, and another one
    with the same records goes on."""

    async def play(client: Client, at: int, times: int) -> list[Ending]:
        folder, tools = tmp_path / f"{at}-{times}", CountingTools()
        faults: list[list[Any]] = [[kind] * times if number == at else [] for number in range(len(TURNS))]
        own = scripted(client, ScriptedTransport(with_faults(faults)))
        endings = [await a_run(own, tools, folder)]
        if endings[-1] != DONE:
            endings.append(await a_run(own, tools, folder))
        check(kept(folder))
        assert tools.done == ["first", "second", "third", "fourth"]
        return endings

    async def go() -> None:
        client = open_client(Settings("scripted", base_url="http://scripted"))
        for at in range(len(TURNS)):
            assert await play(client, at, 1) == [DONE]
            failed, done = await play(client, at, AT_ONCE.attempts)
            assert (failed.why, done) == (Why.FAILED, DONE)
            assert f"(after {AT_ONCE.attempts} attempts)" in failed.text
        await client.close()

    asyncio.run(go())


def test_a_schedule_can_fail_the_check() -> None:
    """The check above sees a lost result."""
    ask = {"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]}
    with pytest.raises(AssertionError):
        check(json.loads(json.dumps([{"role": "user", "content": "x"}, ask, {"role": "user", "content": []}])))
