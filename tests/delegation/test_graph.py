"""The routing graph: what it draws, and that it makes exactly the hand-offs it is given."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from ml_engineer.delegation.graph import hand_all, mermaid
from ml_engineer.delegation.routes import CUES, PEERS
from ml_engineer.report.schema import HandoffState
from tests.delegation.conftest import MemoryStore, desk, handoff, peers, says

ROOT = ("ml-engineer",)


def test_every_peer_and_every_cue_is_drawn() -> None:
    drawn = mermaid()
    assert drawn.lstrip().startswith(("---", "graph"))
    for peer in PEERS:
        assert f"{peer}({peer})" in drawn
        assert f"{peer} --> collect;" in drawn
    for cue in CUES:
        assert cue.id in drawn


def test_the_drawing_is_the_same_in_every_process() -> None:
    code = "from ml_engineer.delegation.graph import mermaid; print(mermaid())"
    drawings = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(drawings) == 1


@settings(max_examples=15)
@given(st.lists(st.sampled_from([*PEERS, "security-auditor"]), unique=True), st.sets(st.sampled_from(PEERS)))
def test_each_hand_off_is_made_once_and_comes_back_in_order(wanted: list[str], reachable: set[str]) -> None:
    transports = {name: says() for name in reachable}
    store = MemoryStore()
    one = desk(transports, store=store)
    one.peers = peers("security-auditor")
    done = asyncio.run(hand_all(one, [handoff(name) for name in wanted], ROOT))
    assert [each.peer for each in done] == wanted
    for each in done:
        expected = HandoffState.ANSWERED if each.peer in reachable else HandoffState.QUEUED
        assert each.state is expected
        assert each.brief is not None
        assert store.files[each.brief].startswith(b"# Hand-off to ")
    for name, transport in transports.items():
        assert len(transport.asked) == (1 if name in wanted else 0)


def test_a_second_round_over_the_same_ledger_asks_nobody_again() -> None:
    store = MemoryStore()
    first, again = says(), says('{"answer": "another"}')
    made = [handoff(name) for name in PEERS[:3]]
    once = asyncio.run(hand_all(desk(dict.fromkeys(PEERS, first), store=store), made, ROOT))
    twice = asyncio.run(hand_all(desk(dict.fromkeys(PEERS, again), store=store), made, ROOT))
    assert once == twice
    assert again.asked == []


def test_what_was_interrupted_is_asked_once_more_and_not_a_third_time() -> None:
    store = MemoryStore()
    asked = handoff()
    ledger = f"handoffs/{asked.id}.json"
    for begun, state, calls in ((1, "answered", 1), (2, "failed", 0)):
        store.files[ledger] = json.dumps(
            {"begun": begun, "ended": False, "handoff": json.loads(asked.model_dump_json())}
        ).encode()  # fmt: skip
        transport = says()
        (done,) = asyncio.run(hand_all(desk({"data-scientist": transport}, store=store), [asked], ROOT))
        assert (done.state.value, len(transport.asked)) == (state, calls)
    assert done.reply is not None
    assert "the run was interrupted 2 times" in str(done.reply.error)


def test_a_damaged_ledger_is_named_and_nobody_is_asked() -> None:
    store = MemoryStore({f"handoffs/{handoff().id}.json": b'{"begun": 1'})
    transport = says()
    (done,) = asyncio.run(hand_all(desk({"data-scientist": transport}, store=store), [handoff()], ROOT))
    assert done.reply is not None
    assert "was damaged" in str(done.reply.error)
    assert transport.asked == []
