"""One turn against the scripted server: every fault is retried cleanly or ends in a clear error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from ml_engineer.agent.failures import ModelError
from ml_engineer.agent.profiles import ANTHROPIC, COMPATIBLE, Profile
from ml_engineer.agent.stream import Stop, TurnResult
from ml_engineer.agent.transcript import Transcript
from ml_engineer.agent.turn import Patience, take_turn
from tests.support.agents import QUICK, Heard, client_for
from tests.support.messages_server import MessagesServer
from tests.support.script import call, text

Serve = Callable[..., MessagesServer]
ANSWER = [{"thinking": "Let me see."}, text("I read it."), call("Look", what="a"), call("Look", what="b")]


def take(
    url: str, patience: Patience | None = QUICK, notify: Any = None, profile: Profile = ANTHROPIC
) -> tuple[TurnResult, Transcript]:
    async def go() -> tuple[TurnResult, Transcript]:
        client = client_for(url, profile)
        transcript = Transcript()
        transcript.say("user", "hello")
        try:
            head = client.head(["be brief"], [])
            return await take_turn(client, transcript, head, notify or Heard(), patience), transcript
        finally:
            await client.close()

    return asyncio.run(go())


def check_whole(result: TurnResult) -> None:
    assert [block["type"] for block in result.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert result.content[0]["thinking"] == "Let me see."
    assert result.content[0]["signature"] == "signed-0-0"
    assert result.text == "I read it."
    assert [one["input"] for one in result.calls] == [{"what": "a"}, {"what": "b"}]
    assert result.stop is Stop.TOOL_USE
    assert result.usage["output_tokens"] > 1


FAULTS: list[Any] = [
    {"status": 429, "retry_after": 0},
    529,
    500,
    408,
    409,
    "error_event",
    "cut_text",
    "cut_tool_json",
    "cut_after_call",
    "truncate",
    "malformed",
    "empty",
    "not_json",
    "disconnect",
    {"stall": 0.01},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_single_fault_is_retried_and_the_answer_is_whole(serve: Serve, fault: Any) -> None:
    server = serve([{"faults": [fault], "blocks": ANSWER}])
    heard = Heard()
    result, transcript = take(server.url, notify=heard)
    check_whole(result)
    assert result.attempts == 2
    assert len(heard.of("retry")) == 1
    assert len(transcript.messages) == 1  # the turn itself is kept by whoever asked for it
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        ({"status": 429, "retry_after": 0.3}, 0.3),
        *((fault, 0.0) for fault in (529, 500, "cut_tool_json", "truncate", "error_event", "malformed")),
    ],
    ids=str,
)
def test_a_single_fault_adds_at_most_two_seconds_to_what_the_server_asks_for(
    serve: Serve, fault: Any, asked: float
) -> None:
    server = serve([{"faults": [fault], "blocks": ANSWER}])
    heard = Heard()
    result, _ = take(server.url, Patience(), heard)
    check_whole(result)
    (retry,) = heard.of("retry")
    assert asked <= retry["wait"] < asked + 1
    assert asked <= server.requests[1].received - server.requests[0].answered < asked + 2


def test_four_overloads_in_a_row_are_survived(serve: Serve) -> None:
    server = serve([{"faults": [529] * 4, "blocks": ANSWER}])
    result, _ = take(server.url)
    check_whole(result)
    assert result.attempts == 5


def test_the_default_patience_has_room_for_seven_failures_and_waits_longer_each_time() -> None:
    error = ModelError("overloaded", "busy", retryable=True)
    pauses = [Patience().pause(error, attempt) for attempt in range(1, 9)]
    assert pauses[-1] is None
    assert all(pause is not None and 0.3 <= pause <= 8 for pause in pauses[:-1])
    assert pauses[4] > 2 * pauses[0]  # type: ignore[operator]  # both are numbers, as the line above says


@pytest.mark.parametrize("headers", [{"retry-after": "0.3"}, {"retry-after-ms": "300"}], ids=str)
def test_the_wait_that_the_server_asks_for_is_kept(serve: Serve, headers: dict[str, str]) -> None:
    server = serve([{"faults": [{"status": 429, "headers": headers}], "blocks": ANSWER}])
    take(server.url)
    assert server.requests[1].received - server.requests[0].answered >= 0.3


def test_a_wait_beyond_the_cap_is_an_error_that_names_it(serve: Serve) -> None:
    server = serve([{"faults": [{"status": 429, "retry_after": 3600}], "blocks": ANSWER}])
    with pytest.raises(ModelError, match="asks to wait 3600 s, more than 120 s: try again later"):
        take(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (401, "key", "does not accept the key .* check ANTHROPIC_API_KEY"),
        (403, "permission", "may not use scripted"),
        (404, "model", "does not know the model scripted"),
        (400, "request", "rejects the request"),
        (413, "too long", "too long for scripted"),
        (402, "spending limit", "spending limit"),
        ({"status": 429, "error_type": "billing_error"}, "spending limit", "spending limit"),
        ({"status": 429, "headers": {"x-should-retry": "false"}}, "rate limit", "429"),
    ],
    ids=str,
)
def test_what_no_retry_can_mend_is_told_at_once(serve: Serve, fault: Any, kind: str, words: str) -> None:
    server = serve([{"faults": [fault], "blocks": ANSWER}])
    with pytest.raises(ModelError, match=words) as caught:
        take(server.url)
    assert caught.value.kind == kind
    assert len(server.requests) == 1


def test_a_server_that_says_retry_is_believed(serve: Serve) -> None:
    server = serve([{"faults": [{"status": 400, "headers": {"x-should-retry": "true"}}], "blocks": ANSWER}])
    result, _ = take(server.url)
    assert result.attempts == 2


def test_endless_faults_end_in_an_error_that_counts_the_attempts(serve: Serve) -> None:
    server = serve([{"faults": [529] * 20, "blocks": ANSWER}])
    with pytest.raises(ModelError, match=r"answers 529, overloaded: scripted 529 \(after 8 attempts\)"):
        take(server.url)
    assert len(server.requests) == 8


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(ModelError, match=r"127.0.0.1:9 cannot be reached; is it running.*after 4 attempts"):
        take("http://127.0.0.1:9")


def test_silence_longer_than_the_profile_allows_is_a_fault(serve: Serve) -> None:
    impatient = Profile("impatient", 0.1, 4096, ANTHROPIC.head, ANTHROPIC.mark)
    server = serve([{"faults": [{"stall": 5}], "blocks": ANSWER}])
    started = time.monotonic()
    result, _ = take(server.url, profile=impatient)
    check_whole(result)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", Stop.END_TURN),
        ("max_tokens", Stop.MAX_TOKENS),
        ("stop_sequence", Stop.STOP_SEQUENCE),
        ("pause_turn", Stop.PAUSE_TURN),
        ("refusal", Stop.REFUSAL),
        ("model_context_window_exceeded", Stop.CONTEXT_FULL),
        ("a reason of next year", Stop.OTHER),
    ],
)
def test_stop_reasons_are_ordinary_outcomes(serve: Serve, reason: str, stop: Stop) -> None:
    server = serve([{"blocks": [text("so far")], "stop_reason": reason}])
    result, _ = take(server.url)
    assert (result.stop, result.stop_reason, result.text) == (stop, reason, "so far")


def test_missing_usage_is_no_fault(serve: Serve) -> None:
    server = serve([{"blocks": [text("done")], "usage": {}}])
    result, _ = take(server.url)
    assert (result.text, result.usage) == ("done", {})


def test_pieces_are_reported_as_they_come(serve: Serve) -> None:
    heard = Heard()
    take(serve([{"blocks": ANSWER}]).url, notify=heard)
    assert "".join(one["text"] for one in heard.of("text")) == "I read it."
    assert "".join(one["text"] for one in heard.of("thinking")) == "Let me see."
    assert [one["name"] for one in heard.of("tool_call")] == ["Look", "Look"]


def test_a_cancelled_turn_leaves_the_conversation_as_it_was(serve: Serve) -> None:
    server = serve([{"blocks": ANSWER, "latency": 5}])

    async def go() -> None:
        client = client_for(server.url)
        transcript = Transcript()
        transcript.say("user", "hello")
        task = asyncio.create_task(take_turn(client, transcript, client.head([], [])))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transcript.messages == [{"role": "user", "content": "hello"}]
        await client.close()

    asyncio.run(go())


def test_the_anthropic_profile_asks_for_thinking_and_marks_what_may_be_cached(serve: Serve) -> None:
    server = serve([{"blocks": [text("ok")]}])
    take(server.url)
    body = server.requests[0].body
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}


def test_the_compatible_profile_sends_plain_fields_only(serve: Serve) -> None:
    server = serve([{"blocks": [text("ok")]}])
    take(server.url, profile=COMPATIBLE)
    request = server.requests[0]
    assert set(request.body) == {"model", "max_tokens", "stream", "system", "messages"}
    assert request.body["system"] == "be brief"
    assert request.body["messages"] == [{"role": "user", "content": "hello"}]
    assert request.headers["anthropic-version"] == "2023-06-01"
