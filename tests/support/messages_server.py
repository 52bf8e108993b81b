"""A loopback server that speaks the Messages API and answers from a script, with every fault a real one can have.

    with MessagesServer(Script.of([[text("reading"), call("Read", file_path="a.py")], [text("done")]])) as server:
        ... ANTHROPIC_BASE_URL=server.url ...
        server.requests[-1].body["messages"]

    python -m tests.support.messages_server --script FILE.yaml [--port N] [--record FILE.jsonl]

It is test support: it plays back what a script says and is no model. As a program it prints its address, and writes a
line per request to the record. Times are of the monotonic clock, which processes on one machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.script import Block, Fault, Request, Script, ScriptError, Turn

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


@dataclass
class Received:
    """One request as it came, and when (seconds). `answered` is when the last byte of the answer was handed over."""

    path: str
    headers: dict[str, str]
    size: int
    body: Request
    connection: int
    received: float
    answered: float = 0.0
    agent: int = -1
    turn: int = -1
    fault: str | None = None


@dataclass
class MessagesServer:
    """The server, in a thread of its own. Each fault of a turn is served once, in order, before its answer."""

    script: Script
    port: int = 0
    keep_bodies: bool = True
    on_request: Callable[[Received], None] | None = None
    requests: list[Received] = field(default_factory=list)
    api_key: str | None = None  # any other is answered with 401
    _attempts: Counter[tuple[int, int]] = field(default_factory=Counter)
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> MessagesServer:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the scripted server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=1 << 26, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self._connections += 1
        try:
            await self._converse(reader, writer, self._connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has left, or the test is over
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            line, *fields = head.decode("latin-1").split("\r\n")
            headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            received = time.monotonic()
            path = line.split(" ")[1].partition("?")[0]
            entry = Received(path, headers, len(raw), {}, connection, received)
            going_on = await self._answer(entry, raw, writer)
            entry.answered = time.monotonic()
            if self.on_request is not None:
                self.on_request(entry)
            if not going_on:
                return

    async def _answer(self, entry: Received, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False ends the connection."""
        if not entry.path.endswith("/v1/messages"):
            return await _send_json(writer, 404, _error("not_found_error", f"there is nothing at {entry.path}"))
        body = json.loads(raw)
        if self.keep_bodies:
            entry.body = body
        self.requests.append(entry)
        if self.api_key is not None and entry.headers.get("authorization") != f"Bearer {self.api_key}":
            return await _send_json(writer, 401, _error("authentication_error", "invalid x-api-key"))
        try:
            entry.agent, entry.turn, turn = self.script.find(body)
            place = (entry.agent, entry.turn)
            attempt = self._attempts[place]
            self._attempts[place] += 1
            fault = turn.faults[attempt] if attempt < len(turn.faults) else None
            blocks = turn.answer(body, entry.turn)
        except ScriptError as error:
            return await _send_json(writer, 400, _error("invalid_request_error", str(error)))
        latency = self.script.latency if turn.latency is None else turn.latency
        if latency:
            await asyncio.sleep(latency)
        if fault is not None:
            entry.fault = fault.kind
            return await _send_fault(writer, fault, turn, blocks, body)
        if not body.get("stream"):
            return await _send_json(writer, 200, _message(turn, blocks, body))
        return await _send_stream(writer, b"".join(stream_events(turn, blocks, body)))


# --- answers ----------------------------------------------------------------------------------------------------------


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


# --- faults -----------------------------------------------------------------------------------------------------------


async def _send_fault(
    writer: asyncio.StreamWriter, fault: Fault, turn: Turn, blocks: list[Block], body: Request
) -> bool:
    if fault.kind == "status":
        kind = fault.error_type or _ERROR_TYPES.get(fault.status, "api_error")
        headers = dict(fault.headers)
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        return await _send_json(writer, fault.status, _error(kind, f"scripted {fault.status}"), headers)
    if fault.kind == "disconnect":
        return False
    if fault.kind == "not_json":
        return await _send(writer, 502, b"<html>bad gateway</html>", "text/html", {})
    if fault.kind == "empty":
        return await _send_stream(writer, b"")
    events = stream_events(turn, blocks, body)
    if fault.kind == "truncate":
        return await _send_stream(writer, b"".join(events[:-2]))
    if fault.kind == "malformed":
        middle = len(events) // 2
        broken = events[middle][: len(events[middle]) // 2] + b"\n\n"
        return await _send_stream(writer, b"".join([*events[:middle], broken, *events[middle + 1 :]]))
    if fault.kind == "error_event":
        error = f"event: error\ndata: {json.dumps(_error('overloaded_error', 'Overloaded'))}\n\n".encode()
        return await _send_stream(writer, b"".join([*events[: len(events) // 2], error]))
    await _send_partial(writer, b"".join(events[: _cut_at(fault.kind, events)]))
    if fault.kind == "stall":
        await asyncio.sleep(fault.seconds)
    return False


def _cut_at(kind: str, events: list[bytes]) -> int:
    """How many events are sent before the connection drops."""
    marks = {"cut_tool_json": b"input_json_delta", "cut_text": b"text_delta"}
    if kind in marks:
        places = [at for at, event in enumerate(events) if marks[kind] in event]
        return places[len(places) // 2] + 1 if places else len(events) // 2
    if kind == "cut_after_call":
        starts = [at for at, event in enumerate(events) if b'"tool_use"' in event and b"block_start" in event]
        if starts:
            return next(at for at in range(starts[0], len(events)) if b"content_block_stop" in events[at]) + 1
        return len(events) - 2
    return 1


async def _send_json(
    writer: asyncio.StreamWriter, status: int, value: Any, headers: dict[str, str] | None = None
) -> bool:
    return await _send(writer, status, json.dumps(value).encode(), "application/json", headers or {})


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, kind: str, headers: dict[str, str]) -> bool:
    fields = {"content-type": kind, "content-length": str(len(body)), "request-id": "req_scripted", **headers}
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()
    return True


_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_scripted\r\n"


async def _send_stream(writer: asyncio.StreamWriter, body: bytes) -> bool:
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n" if body else b""
    writer.write(_STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n")
    await writer.drain()
    return True


async def _send_partial(writer: asyncio.StreamWriter, body: bytes) -> None:
    """The beginning of a stream that will not be finished."""
    writer.write(_STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + f"{len(body):x}\r\n".encode() + body + b"\r\n")
    await writer.drain()


# --- as a program -----------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.messages_server", description=__doc__)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", type=Path, help="write a line of JSON per request here")
    options = parser.parse_args()
    try:
        script = Script.load(options.script)
    except (OSError, ScriptError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    record = options.record.open("w", buffering=1) if options.record else None

    def write(entry: Received) -> None:
        if record is not None:
            record.write(json.dumps(entry.__dict__) + "\n")

    with MessagesServer(script, options.port, on_request=write) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
