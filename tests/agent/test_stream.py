"""The parser of events and the assembler of answers, by themselves."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.agent.listener import silent
from ml_engineer.agent.stream import Assembler, BrokenAnswer, ErrorEvent, EventParser, Stop, TurnResult
from tests.support.answers import stream_events
from tests.support.script import Turn, call, text


def wire(blocks: list[Any], **turn: Any) -> bytes:
    one = Turn.read({"blocks": blocks, **turn})
    return b"".join(stream_events(one, one.answer({"messages": []}, 0), {"model": "m"}))


def assemble(*chunks: bytes) -> TurnResult:
    parser, assembler = EventParser(), Assembler(silent)
    for chunk in chunks:
        for event in parser.feed(chunk):
            assembler.take(event)
    return assembler.finish()


@given(
    words=st.text(min_size=1),
    name=st.text(min_size=1),
    what=st.text(),
    cuts=st.lists(st.integers(0, 2000)),
    crlf=st.booleans(),
)
def test_an_answer_is_the_same_wherever_its_bytes_are_cut(
    words: str, name: str, what: str, cuts: list[int], crlf: bool
) -> None:
    data = wire([text(words), call(name, what=what)])
    data = data.replace(b"\n", b"\r\n") if crlf else data
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    result = assemble(*(data[a:b] for a, b in pairwise(places)))
    assert result.text == words
    assert result.calls[0]["name"] == name
    assert result.calls[0]["input"] == {"what": what}


@given(st.integers(0, 5000))
def test_no_beginning_of_an_answer_passes_for_a_whole_one(length: int) -> None:
    data = wire([text("reading"), call("Look", what="a")])
    length = min(length, len(data) - 2)  # without its last two bytes the last event is not complete
    with pytest.raises(BrokenAnswer):
        assemble(data[:length])


def test_lines_that_name_the_event_may_be_missing() -> None:
    data = b"\n".join(line for line in wire([text("hi")]).split(b"\n") if not line.startswith(b"event:"))
    assert assemble(data).text == "hi"


def test_an_answer_without_message_start_is_an_empty_answer() -> None:
    data = b"".join(stream_events(Turn([]), [], {})[1:])
    result = assemble(data)
    assert (result.content, result.stop) == ([], Stop.END_TURN)


@pytest.mark.parametrize("raw", ['{"what": "a', "[1]", '"text"', "no json"])
def test_tool_input_that_is_no_object_is_kept_for_the_model_to_see(raw: str) -> None:
    result = assemble(wire([{"call": "Look", "raw": raw}]))
    assert result.calls[0]["input"] == {}
    assert list(result.malformed) == [result.calls[0]["id"]]


def test_input_that_comes_whole_with_the_start_is_taken() -> None:
    events = stream_events(Turn([]), [], {})
    start = {"type": "content_block_start", "index": 0}
    block = {"type": "tool_use", "id": "t", "name": "Look", "input": {"what": "a"}}
    assembler = Assembler(silent)
    for event in EventParser().feed(b"".join(events[:1])):
        assembler.take(event)
    assembler.take({**start, "content_block": block})
    assembler.take({"type": "content_block_stop", "index": 0})
    for event in EventParser().feed(b"".join(events[1:])):
        assembler.take(event)
    assert assembler.finish().calls[0]["input"] == {"what": "a"}


def test_calls_with_the_same_id_get_ids_of_their_own() -> None:
    result = assemble(wire([{"call": "Look", "id": "call_0"}, {"call": "Look", "id": "call_0"}]))
    first, second = (one["id"] for one in result.calls)
    assert first == "call_0"
    assert second != first


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_stop", "index": 3},
        {"type": "content_block_start", "index": 0},
        {"type": "message_delta"},
    ],
    ids=str,
)
def test_events_that_make_no_sense_are_a_broken_answer(event: dict[str, Any]) -> None:
    with pytest.raises(BrokenAnswer):
        Assembler(silent).take(event)


def test_an_error_event_without_a_type_is_understood() -> None:
    data = b'event: error\ndata: {"code": 500, "message": "failed to decode", "type": "server_error"}\n\n'
    with pytest.raises(ErrorEvent, match="failed to decode"):
        assemble(data)


def test_unknown_events_blocks_and_deltas_are_passed_over() -> None:
    assembler = Assembler(silent)
    assembler.take({"type": "ping"})
    assembler.take({"type": "event of next year", "data": 1})
    assembler.take({"type": "content_block_start", "index": 0, "content_block": {"type": "new", "value": 1}})
    assembler.take({"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta"}})
    assembler.take({"type": "content_block_stop", "index": 0})
    assembler.take({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    assembler.take({"type": "message_stop"})
    assert assembler.finish().content == [{"type": "new", "value": 1}]
