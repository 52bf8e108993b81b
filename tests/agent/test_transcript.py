"""What is kept on disk: the log under it, the conversation, and the ledger of effects."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.agent.ledger import Ledger, NotBegun, OutcomeUnknown
from ml_engineer.agent.log import Log, LogError, encode
from ml_engineer.agent.profiles import ANTHROPIC
from ml_engineer.agent.transcript import Transcript

CALL = {"type": "tool_use", "id": "t1", "name": "Look", "input": {"what": "a"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "seen"}


def talk(path: Path | None) -> Transcript:
    transcript = Transcript(path)
    transcript.say("user", "hello")
    transcript.say("assistant", [CALL], model="m", stop="tool_use", usage={"input_tokens": 3})
    transcript.say("user", [RESULT])
    return transcript


def test_what_was_said_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    before = talk(tmp_path / "step-04.jsonl")
    after = Transcript(tmp_path / "step-04.jsonl")
    assert after.messages == before.messages
    assert after.turns == [{"model": "m", "stop": "tool_use", "usage": {"input_tokens": 3}}]
    assert after.body({"model": "m"}, ANTHROPIC.mark) == before.body({"model": "m"}, ANTHROPIC.mark)
    assert after.calls(1)[0].key == "step-04/1/0"


def test_the_body_is_the_head_and_all_messages_with_the_last_one_marked() -> None:
    body = json.loads(talk(None).body({"model": "m"}, ANTHROPIC.mark))
    marked = {**RESULT, "cache_control": {"type": "ephemeral"}}
    assert body["model"] == "m"
    assert body["messages"][:2] == [{"role": "user", "content": "hello"}, {"role": "assistant", "content": [CALL]}]
    assert body["messages"][2]["content"] == [marked]


def test_the_end_survives_and_something_said_afterwards_takes_it_back(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    transcript = talk(path)
    transcript.finish({"why": "answered"})
    assert Transcript(path).end == {"why": "answered"}
    transcript.say("user", "one thing more")
    assert Transcript(path).end is None


def test_every_torn_tail_is_cut_off_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    talk(path)
    whole = path.read_bytes()
    lines = whole.split(b"\n")
    second = len(lines[0]) + 1 + len(lines[1]) + 1
    for cut in range(second, len(whole)):
        path.write_bytes(whole[:cut])
        assert len(Transcript(path).messages) == 2
        assert path.read_bytes() == whole[:second]


def test_damage_in_the_middle_is_loud_and_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    talk(path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1][:-5], *lines[2:]]))
    with pytest.raises(LogError, match=r"t\.jsonl is damaged in line 2"):
        Transcript(path)


@pytest.mark.parametrize("line", [b'{"message": 1}', b'{"other": {}}', b'{"message":{"role":"system","content":""}}'])
def test_records_of_an_unknown_form_are_loud(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(LogError, match="unknown form in line 1"):
        Transcript(path)


def test_a_call_without_its_result_in_the_middle_is_loud(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    transcript = Transcript(path)
    transcript.say("user", "hello")
    transcript.say("assistant", [CALL])
    Transcript(path)  # at the end it is what a kill leaves
    transcript.say("user", "no result")
    with pytest.raises(LogError, match="calls and results of message 2 differ"):
        Transcript(path)


@given(st.text(alphabet=st.characters(codec=None), max_size=20))
def test_any_text_is_encoded_as_valid_utf8_json(words: str) -> None:
    assert isinstance(json.loads(encode({"text": words}).decode("utf-8"))["text"], str)


def test_a_full_disk_is_said_and_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.append(b'{"a":1}')
    real, calls = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            return real(descriptor, data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(LogError, match=r"log\.jsonl cannot be written \(No space left on device\)"):
        log.append(b'{"b":2}')
    assert (tmp_path / "log.jsonl").read_bytes() == b'{"a":1}\n'


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_an_effect_happens_once_and_its_result_is_given_again(tmp_path: Path) -> None:
    done: list[int] = []

    async def act() -> dict[str, Any]:
        done.append(1)
        return {"text": "changed"}

    for _ in range(2):
        for _ in range(2):
            assert asyncio.run(Ledger(tmp_path / "effects.jsonl").once("k", {}, act)) == {"text": "changed"}
    assert done == [1]


def test_the_intent_is_in_the_file_before_the_act_begins(tmp_path: Path) -> None:
    path = tmp_path / "effects.jsonl"

    async def act() -> dict[str, Any]:
        assert path.read_bytes() == b'{"effect":"k","intent":{"tool":"Edit"}}\n'
        return {}

    asyncio.run(Ledger(path).once("k", {"tool": "Edit"}, act))
    assert path.read_bytes().endswith(b'{"effect":"k","done":{}}\n')


def interrupted(path: Path) -> None:
    async def act() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(Ledger(path).once("k", {"tool": "Edit"}, act))


async def never() -> dict[str, Any]:
    raise AssertionError("the effect was repeated")


def test_an_interrupted_effect_is_not_repeated_but_unknown(tmp_path: Path) -> None:
    interrupted(tmp_path / "effects.jsonl")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            asyncio.run(Ledger(tmp_path / "effects.jsonl").once("k", {}, never))


def test_what_became_of_it_is_found_out_and_kept(tmp_path: Path) -> None:
    interrupted(tmp_path / "effects.jsonl")

    async def settle(intent: dict[str, Any]) -> dict[str, Any]:
        return {"found": intent["tool"]}

    ledger = Ledger(tmp_path / "effects.jsonl")
    assert asyncio.run(ledger.once("k", {}, never, settle)) == {"found": "Edit"}
    assert Ledger(tmp_path / "effects.jsonl").result("k") == {"found": "Edit"}


def test_an_effect_that_certainly_did_not_happen_is_done_now(tmp_path: Path) -> None:
    interrupted(tmp_path / "effects.jsonl")

    async def settle(intent: dict[str, Any]) -> dict[str, Any]:
        raise NotBegun

    async def act() -> dict[str, Any]:
        return {"done": "now"}

    assert asyncio.run(Ledger(tmp_path / "effects.jsonl").once("k", {}, act, settle)) == {"done": "now"}
