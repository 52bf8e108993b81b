"""Answers of the Messages API as bytes: complete ones, and every way in which one can go wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.script import Block, Fault, Request, Turn

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Answer:
    """What is sent. `cut`: the connection drops behind `body`, after `stall` seconds of silence."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    stall: float = 0.0

    @property
    def is_stream(self) -> bool:
        return self.kind == "text/event-stream"


def answer(turn: Turn, blocks: list[Block], body: Request, fault: Fault | None) -> Answer:
    """The answer of a turn, or what comes instead of it."""
    if fault is not None:
        return _faulty(fault, turn, blocks, body)
    if not body.get("stream"):
        return Answer(200, json.dumps(_message(turn, blocks, body)).encode())
    return Answer(200, b"".join(stream_events(turn, blocks, body)), "text/event-stream")


def refusal(status: int, message: str, kind: str | None = None, headers: dict[str, str] | None = None) -> Answer:
    """An error before the first byte of an answer."""
    error = _error(kind or _ERROR_TYPES.get(status, "api_error"), message)
    return Answer(status, json.dumps(error).encode(), headers=headers or {})


def _usage(turn: Turn, blocks: list[Block], body: Request) -> dict[str, int]:
    """About four characters a token, unless the script says."""
    if turn.usage is not None:
        return turn.usage
    return {"input_tokens": len(json.dumps(body)) // 4, "output_tokens": max(1, len(json.dumps(blocks)) // 4)}


def _stop_reason(turn: Turn, blocks: list[Block]) -> str:
    return turn.stop_reason or ("tool_use" if any(one["type"] == "tool_use" for one in blocks) else "end_turn")


def _message(turn: Turn, blocks: list[Block], body: Request) -> dict[str, Any]:
    message = {"id": "msg_scripted", "type": "message", "role": "assistant", "model": body.get("model")}
    message |= {"content": [{k: v for k, v in block.items() if k != "raw"} for block in blocks]}
    return {**message, "stop_reason": _stop_reason(turn, blocks), "usage": _usage(turn, blocks, body)}


def stream_events(turn: Turn, blocks: list[Block], body: Request) -> list[bytes]:
    """The answer as server-sent events, one bytes object each."""
    usage = _usage(turn, blocks, body)
    started = {k: v for k, v in usage.items() if k != "output_tokens"} | {"output_tokens": 1}
    start = {**_message(turn, [], body), "stop_reason": None, "usage": started if usage else {}}
    events = [_event("message_start", message=start)]
    for index, block in enumerate(blocks):
        events += _block_events(index, block)
    delta = {"stop_reason": _stop_reason(turn, blocks), "stop_sequence": None}
    done = {"output_tokens": usage["output_tokens"]} if "output_tokens" in usage else {}
    return [*events, _event("message_delta", delta=delta, usage=done), _event("message_stop")]


def _block_events(index: int, block: Block) -> list[bytes]:
    kind = block["type"]
    if kind == "text":
        start, deltas = (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": s} for s in _pieces(block["text"])],
        )
    elif kind == "thinking":
        start = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif kind == "tool_use":
        start = {**{k: v for k, v in block.items() if k != "raw"}, "input": {}}
        raw = block.get("raw", json.dumps(block["input"]))
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *_pieces(raw)]]
    else:
        start, deltas = block, []
    return [
        _event("content_block_start", index=index, content_block=start),
        *(_event("content_block_delta", index=index, delta=delta) for delta in deltas),
        _event("content_block_stop", index=index),
    ]


def _pieces(words: str) -> list[str]:
    third = max(1, -(-len(words) // 3))
    return [words[at : at + third] for at in range(0, len(words), third)]


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}


def _faulty(fault: Fault, turn: Turn, blocks: list[Block], body: Request) -> Answer:
    if fault.kind == "status":
        headers = dict(fault.headers)
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        return refusal(fault.status, f"scripted {fault.status}", fault.error_type, headers)
    if fault.kind == "disconnect":
        return Answer(0, b"", cut=True)
    if fault.kind == "not_json":
        return Answer(502, b"<html>bad gateway</html>", "text/html")
    events = stream_events(turn, blocks, body)
    middle = len(events) // 2
    if fault.kind == "empty":
        events = []
    elif fault.kind == "truncate":
        events = events[:-2]
    elif fault.kind == "malformed":
        events[middle] = events[middle][: len(events[middle]) // 2] + b"\n\n"
    elif fault.kind == "error_event":
        error = json.dumps(_error("overloaded_error", "Overloaded"))
        events = [*events[:middle], f"event: error\ndata: {error}\n\n".encode()]
    else:
        part = b"".join(events[: _cut_at(fault.kind, events)])
        stall = fault.seconds if fault.kind.startswith("stall") else 0.0
        return Answer(200, part, "text/event-stream", cut=True, stall=stall)
    return Answer(200, b"".join(events), "text/event-stream")


def _cut_at(kind: str, events: list[bytes]) -> int:
    """How many events are sent before the connection drops."""
    marks = {"cut_tool_json": b"input_json_delta", "cut_text": b"text_delta", "stall_text": b"text_delta"}
    if kind in marks:
        places = [at for at, event in enumerate(events) if marks[kind] in event]
        return places[len(places) // 2] + 1 if places else len(events) // 2
    if kind == "cut_after_call":
        starts = [at for at, event in enumerate(events) if b'"tool_use"' in event and b"block_start" in event]
        if starts:
            return next(at for at in range(starts[0], len(events)) if b"content_block_stop" in events[at]) + 1
        return len(events) - 2
    return 1
