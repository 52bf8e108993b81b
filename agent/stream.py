"""From the bytes of a streamed answer to the answer.

    parser.feed(chunk) -> events        server-sent events as plain dicts
    assembler.take(event)               put together; a listener hears of text and thinking as they come
    assembler.finish() -> TurnResult    or BrokenAnswer: nothing incomplete is ever handed on
    whole(message) -> TurnResult        the same from an answer that came in one piece

Servers that leave out `event:` lines, usage or `message_start` are understood; one that ends before `message_stop` is
not believed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ml_engineer.agent.listener import Listener, silent

Event = dict[str, Any]


class Stop(StrEnum):
    """Why the model stopped. All of them are ordinary; what the list does not know is OTHER."""

    END_TURN = "end_turn"
    TOOL_USE = "tool_use"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    PAUSE_TURN = "pause_turn"
    REFUSAL = "refusal"
    CONTEXT_FULL = "model_context_window_exceeded"
    OTHER = "other"


_KNOWN = frozenset(stop.value for stop in Stop)


class BrokenAnswer(Exception):
    """The answer is incomplete or no answer at all; the same request may be sent again."""


class ErrorEvent(Exception):
    """The server reported an error in the middle of its answer. `kind` is its type, where it gave one."""

    def __init__(self, kind: str | None, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True)
class TurnResult:
    """One complete answer. `content` are blocks as they must be sent back.

    `malformed` has, by the id of a tool call, the text that should have been its input as JSON.
    """

    content: list[dict[str, Any]]
    stop: Stop
    stop_reason: str
    usage: dict[str, Any]
    model: str | None = None
    request_id: str | None = None
    details: Any = None
    malformed: dict[str, str] = field(default_factory=dict)
    attempts: int = 1

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.content if block["type"] == "text")

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [block for block in self.content if block["type"] == "tool_use"]


class EventParser:
    """Server-sent events from chunks of bytes that may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete with this chunk. Raises BrokenAnswer on data that is no JSON object."""
        data = self._rest + chunk
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        *whole, self._rest = data.split(b"\n\n")
        return [event for event in map(self._read, whole) if event is not None]

    @staticmethod
    def _read(raw: bytes) -> Event | None:
        name, data = "", b""
        for line in raw.split(b"\n"):
            if line.startswith(b"data:"):
                data += line[5:].lstrip()
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode("utf-8", "replace")
        if not data or data == b"[DONE]":
            return None
        try:
            event = json.loads(data)
        except ValueError as error:
            raise BrokenAnswer(f"an event of the answer is no valid JSON ({error})") from None
        if not isinstance(event, dict):
            raise BrokenAnswer("an event of the answer is no JSON object")
        if name == "error":
            event["type"] = "error"
        return event


class Assembler:
    """Puts one answer together."""

    def __init__(self, notify: Listener) -> None:
        self._notify = notify
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._stop_reason: str | None = None
        self._details: Any = None
        self._malformed: dict[str, str] = {}
        self._open: set[int] = set()
        self._stopped = False

    def take(self, event: Event) -> None:
        """Take one event in. Raises ErrorEvent or BrokenAnswer."""
        try:
            match event.get("type"):
                case "content_block_delta":
                    self._delta(event["index"], event["delta"])
                case "content_block_start":
                    self._start(event["index"], event["content_block"])
                case "content_block_stop":
                    self._close(event["index"])
                case "message_start":
                    self._message = event["message"]
                    self._count(self._message.get("usage"))
                case "message_delta":
                    self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
                    self._details = event["delta"].get("stop_details") or self._details
                    self._count(event.get("usage"))
                case "message_stop":
                    self._stopped = True
                case "error":
                    self._fail(event)
        except (KeyError, TypeError, AttributeError) as error:
            raise BrokenAnswer(f"an event of the answer lacks {error}") from None

    def _count(self, usage: Any) -> None:
        """Usage is cumulative, and every part of it may be missing."""
        if isinstance(usage, dict):
            self._usage.update({key: value for key, value in usage.items() if value is not None})

    @staticmethod
    def _fail(event: Event) -> None:
        error = event.get("error", event)
        kind = error.get("type") if error is not event else None
        raise ErrorEvent(kind if isinstance(kind, str) else None, str(error.get("message", error)))

    def _start(self, index: int, block: dict[str, Any]) -> None:
        if index in self._blocks:
            raise BrokenAnswer(f"block {index} of the answer begins twice")
        self._blocks[index] = dict(block)
        self._pieces[index] = []
        self._open.add(index)
        if block["type"] == "tool_use":
            self._notify("tool_call", name=block["name"])

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        if index not in self._open:
            raise BrokenAnswer(f"a part of block {index} comes before its beginning or after its end")
        match delta["type"]:
            case "text_delta":
                self._pieces[index].append(delta["text"])
                self._notify("text", text=delta["text"])
            case "input_json_delta":
                self._pieces[index].append(delta["partial_json"])
            case "thinking_delta":
                self._pieces[index].append(delta["thinking"])
                self._notify("thinking", text=delta["thinking"])
            case "signature_delta":
                self._blocks[index]["signature"] = delta["signature"]
            case "citations_delta":
                self._blocks[index].setdefault("citations", []).append(delta["citation"])

    def _close(self, index: int) -> None:
        if index not in self._open:
            raise BrokenAnswer(f"block {index} of the answer ends without a beginning")
        self._open.discard(index)
        block, joined = self._blocks[index], "".join(self._pieces.pop(index))
        match block["type"]:
            case "text":
                block["text"] = block.get("text", "") + joined
            case "thinking":
                block["thinking"] = block.get("thinking", "") + joined
            case "tool_use":
                self._close_call(index, block, joined)

    def _close_call(self, index: int, block: dict[str, Any], joined: str) -> None:
        if not isinstance(block.get("id"), str) or self._is_taken(index, block["id"]):
            block["id"] = f"toolu_local_{len(self._malformed)}_{index}"
        if joined:
            try:
                block["input"] = json.loads(joined)
            except ValueError:
                block["input"] = joined
        if not isinstance(block.get("input"), dict):  # the wire wants an object; what came is answered by the loop
            self._malformed[block["id"]] = str(block.get("input", ""))
            block["input"] = {}

    def _is_taken(self, index: int, identifier: str) -> bool:
        return any(other.get("id") == identifier for at, other in self._blocks.items() if at != index)

    def finish(self) -> TurnResult:
        """The answer. Raises BrokenAnswer unless the server has ended it and every block of it."""
        if not self._stopped or self._stop_reason is None:
            raise BrokenAnswer("the answer ended before it was complete")
        if self._open and self._stop_reason != Stop.MAX_TOKENS:
            raise BrokenAnswer("the answer ended inside a block")
        for index in sorted(self._open):
            self._close(index)
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return TurnResult(
            content=[block for block in content if block["type"] != "text" or block["text"]],
            stop=Stop(self._stop_reason) if self._stop_reason in _KNOWN else Stop.OTHER,
            stop_reason=self._stop_reason,
            usage=self._usage,
            model=self._message.get("model"),
            details=self._details,
            malformed=self._malformed,
        )


def whole(message: dict[str, Any]) -> TurnResult:
    """The answer that is this message of the wire, by the same rules as a streamed one. Raises BrokenAnswer."""
    assembler = Assembler(silent)
    content = message.get("content")
    if not isinstance(content, list):
        raise BrokenAnswer("the answer has no content")
    assembler.take({"type": "message_start", "message": message})
    for index, block in enumerate(content):
        assembler.take({"type": "content_block_start", "index": index, "content_block": block})
        assembler.take({"type": "content_block_stop", "index": index})
    assembler.take({"type": "message_delta", "delta": message})
    assembler.take({"type": "message_stop"})
    return assembler.finish()
