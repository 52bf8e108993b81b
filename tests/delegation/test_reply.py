"""Replies: JSON or prose with a fenced block; whatever else comes in is failed with the reason, and never an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.delegation.reply import MAX_ANSWER, MAX_CLAIMS, MAX_REPLY, parse_reply
from ml_engineer.report.schema import HandoffState, PeerReply

QUOTE = {"kind": "quote", "path": "train.py", "line_start": 3, "line_end": 3, "quote": "fit(X)"}


def fenced(data: Any, before: str = "I looked at it.\n\n", after: str = "\n\nRegards") -> str:
    return f"{before}```json\n{json.dumps(data, indent=1)}\n```{after}"


def test_json_alone_is_a_reply() -> None:
    reply = parse_reply('{"answer": "Split by customer.", "usage": {"turns": 2, "cost_usd": 0.25}}')
    assert reply.state is HandoffState.ANSWERED
    assert reply.answer == "Split by customer."
    assert (reply.usage.turns, reply.usage.cost_usd) == (2, 0.25)


def test_prose_with_a_fenced_block_is_a_reply() -> None:
    reply = parse_reply(fenced({"answer": "yes"}))
    assert (reply.state, reply.answer) == (HandoffState.ANSWERED, "yes")


def test_the_last_block_is_the_reply_and_windows_line_ends_are_fine() -> None:
    text = fenced({"answer": "an example"}, after="\n") + fenced({"answer": "the reply"})
    assert parse_reply(text.replace("\n", "\r\n")).answer == "the reply"


def test_a_quote_needs_no_digest_and_what_has_no_record_here_is_no_evidence() -> None:
    claim = {
        "text": "Accuracy: 0.9",
        "state": "present",
        "evidence": [
            QUOTE,
            {"kind": "measurement", "name": "accuracy", "value": 0.9, "unit": "", "samples": 1, "method": "m",
             "record": "survey.json"},
            {"kind": "command", "command": "pytest", "exit_code": 0, "record": "survey.json"},
        ],
    }  # fmt: skip
    (kept,) = parse_reply(json.dumps({"answer": "yes", "claims": [claim]})).claims
    assert [item.kind for item in kept.evidence] == ["quote"]


@pytest.mark.parametrize("state", ["measured", "implemented"])
def test_no_quote_proves_that_a_peer_has_measured_or_implemented_something(state: str) -> None:
    claim = {"text": "Latency: 2 ms", "state": state, "evidence": [QUOTE]}
    (kept,) = parse_reply(json.dumps({"answer": "yes", "claims": [claim]})).claims
    assert kept.evidence == [], "the evidence check makes it unknown"


def test_whole_numbers_that_came_as_floats_are_whole() -> None:
    claim = {"text": "t", "state": "present", "evidence": [QUOTE | {"line_start": 3.0, "line_end": 3.0}]}
    reply = parse_reply(json.dumps({"answer": "yes", "claims": [claim], "usage": {"turns": 3.0}}))
    assert reply.usage.turns == 3
    assert reply.claims[0].evidence[0].line_start == 3  # type: ignore[union-attr]  # it is the quote from above


def test_a_cost_that_is_not_said_is_unpriced_and_not_zero() -> None:
    assert parse_reply('{"answer": "yes"}').usage.cost_usd == "unpriced"
    assert parse_reply('{"answer": "yes", "usage": {"turns": 1}}').usage.cost_usd == "unpriced"


def test_declined_keeps_the_reason_and_no_claims() -> None:
    claim = {"text": "t", "state": "proposed"}
    reply = parse_reply(json.dumps({"state": "declined", "answer": "Not my trade.", "claims": [claim]}))
    assert (reply.state, reply.answer, reply.claims) == (HandoffState.DECLINED, "Not my trade.", [])


def test_a_peer_that_says_it_failed_has_no_answer() -> None:
    reply = parse_reply('{"state": "failed", "answer": "I guess 0.9", "error": "no access"}')
    assert (reply.state, reply.answer, reply.error) == (HandoffState.FAILED, "", "no access")


MALFORMED = {
    "empty": "",
    "blank": " \n\t",
    "prose": "The split is wrong; use groups.",
    "list": "[1, 2]",
    "number": "3",
    "no answer": '{"state": "answered"}',
    "empty answer": '{"answer": "  "}',
    "answer of another type": '{"answer": {"a": 1}}',
    "state of its own": '{"state": "done", "answer": "yes"}',
    "queued": '{"state": "queued", "answer": "later"}',
    "broken block": '```json\n{"answer": \n```',
    "block never closed": '```json\n{"answer": "yes"}\n',
    "claim without a state": '{"answer": "yes", "claims": [{"text": "t"}]}',
    "claim with a typo": '{"answer": "yes", "claims": [{"text": "t", "state": "proposed", "evidnce": []}]}',
    "evidence on no line": json.dumps(
        {"answer": "y", "claims": [{"text": "t", "state": "present", "evidence": [QUOTE | {"line_start": 0}]}]}
    ),
    "too many claims": json.dumps({"answer": "y", "claims": [{"text": "t", "state": "proposed"}] * (MAX_CLAIMS + 1)}),
    "negative cost": '{"answer": "yes", "usage": {"cost_usd": -5}}',
    "cost that is no number": '{"answer": "yes", "usage": {"cost_usd": NaN}}',
    "endless cost": '{"answer": "yes", "usage": {"cost_usd": Infinity}}',
    "negative tokens": '{"answer": "yes", "usage": {"tokens": {"input": -1}}}',
    "half a surrogate pair": '{"answer": "\\ud800"}',
    "nested without end": "[" * 200_000,
    "nested without end in a block": f"```json\n{'[' * 200_000}\n```",
    "a number of a million digits": '{"answer": ' + "9" * 100_000 + "}",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_reply_is_failed_with_a_reason(text: str) -> None:
    reply = parse_reply(text)
    assert reply.state is HandoffState.FAILED
    assert reply.answer == ""
    assert reply.claims == []
    assert reply.error
    assert len(reply.error) < 600
    assert reply.usage.cost_usd == "unpriced"


def test_fifty_megabytes_are_refused() -> None:
    reply = parse_reply(json.dumps({"answer": "x" * 50_000_000}))
    assert reply.state is HandoffState.FAILED
    assert f"{MAX_REPLY:,} bytes" in str(reply.error)


def test_a_long_answer_is_cut_and_says_so() -> None:
    reply = parse_reply(json.dumps({"answer": "x" * (MAX_ANSWER + 7)}))
    assert reply.state is HandoffState.ANSWERED
    assert reply.answer.endswith("(7 more characters are kept in the run)")
    assert len(reply.answer) < MAX_ANSWER + 100


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
keys = st.sampled_from(["state", "answer", "claims", "artifacts", "usage", "error", "other"])


@given(st.dictionaries(keys, json_values | st.sampled_from(["answered", "declined", "yes"])), st.text(max_size=50))
def test_nothing_that_comes_in_raises_and_only_what_has_an_answer_is_one(data: dict[str, Any], prose: str) -> None:
    for text in (json.dumps(data), fenced(data, before=prose), prose):
        reply = parse_reply(text)
        assert PeerReply.model_validate_json(reply.model_dump_json()) == reply
        if reply.state is HandoffState.ANSWERED:
            assert reply.answer.strip()
            assert reply.error is None
