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

from tests.support.answers import Answer, answer, refusal
from tests.support.script import Request, Script, ScriptError


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
    query: str = ""


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
            path, _, query = line.split(" ")[1].partition("?")
            entry = Received(path, headers, len(raw), {}, connection, received, query=query)
            going_on = await self._answer(entry, raw, writer)
            entry.answered = time.monotonic()
            if self.on_request is not None:
                self.on_request(entry)
            if not going_on:
                return

    async def _answer(self, entry: Received, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False ends the connection."""
        if not entry.path.endswith("/v1/messages"):
            return await _send(writer, refusal(404, f"there is nothing at {entry.path}"))
        body = json.loads(raw)
        if self.keep_bodies:
            entry.body = body
        self.requests.append(entry)
        if self.api_key is not None and entry.headers.get("authorization") != f"Bearer {self.api_key}":
            return await _send(writer, refusal(401, "invalid x-api-key"))
        try:
            entry.agent, entry.turn, turn = self.script.find(body)
            place = (entry.agent, entry.turn)
            attempt = self._attempts[place]
            self._attempts[place] += 1
            fault = turn.faults[attempt] if attempt < len(turn.faults) else None
            blocks = turn.answer(body, entry.turn)
        except ScriptError as error:
            return await _send(writer, refusal(400, str(error)))
        entry.fault = fault.kind if fault else None
        latency = self.script.latency if turn.latency is None else turn.latency
        if latency:
            await asyncio.sleep(latency)
        return await _send(writer, answer(turn, blocks, body, fault))


async def _send(writer: asyncio.StreamWriter, reply: Answer) -> bool:
    """Write an answer; False when the connection is to be dropped behind it."""
    if reply.status == 0:
        return False
    fields = {"content-type": reply.kind, "request-id": "req_scripted", **reply.headers}
    if reply.is_stream:
        fields["transfer-encoding"] = "chunked"
        body = f"{len(reply.body):x}\r\n".encode() + reply.body + b"\r\n" if reply.body else b""
        body += b"" if reply.cut else b"0\r\n\r\n"
    else:
        fields["content-length"] = str(len(reply.body))
        body = reply.body
    lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()
    if reply.stall:
        await asyncio.sleep(reply.stall)
    return not reply.cut


# --- as a program -----------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.messages_server", description=__doc__)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", type=Path, help="write a line of JSON per request here")
    parser.add_argument("--lean", action="store_true", help="record sizes and times only")
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

    with MessagesServer(script, options.port, keep_bodies=not options.lean, on_request=write) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
