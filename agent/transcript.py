"""The conversation of one agent: append-only, on disk as it happens, and encoded for the wire once.

    Transcript(path).messages            what has been said, as the Messages API has it
    transcript.say("user", content)      one message more, in memory, in the file and in the bytes to send

A file holds records {"type": "message", "message": …, …} and {"type": "end", …}. Nothing is ever rewritten, so each
request repeats the one before byte by byte, which is what a prompt cache and a signed thinking block need.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_engineer.agent.log import Log, LogError, Record, encode

Message = dict[str, Any]
Block = dict[str, Any]


class Transcript:
    """Opens the conversation at `path` and goes on with it; None keeps it in memory. Raises LogError on damage."""

    def __init__(self, path: Path | None = None) -> None:
        self.name = path.stem if path else "memory"
        self.messages: list[Message] = []
        self.turns: list[Record] = []  # of each answer: usage, model, stop reason
        self.end: Record | None = None
        self._log = Log(path)
        self._encoded = bytearray()
        self._last_at = 0
        for number, record in enumerate(self._log.load(), 1):
            self._replay(record, number)

    def _replay(self, record: Record, number: int) -> None:
        match record:
            case {"type": "message", "message": {"role": "user" | "assistant", "content": _} as message}:
                self._take(message, encode(message))
                if message["role"] == "assistant":
                    self.turns.append({k: v for k, v in record.items() if k not in ("type", "message")})
                self.end = None
            case {"type": "end"}:
                self.end = record
            case _:
                raise LogError(f"{self._log.path} has a record of an unknown form in line {number}; start a new run")

    def say(self, role: str, content: str | list[Block], **about: Any) -> None:
        """Append one message. `about` is kept beside it in the file and is not sent."""
        message = {"role": role, "content": content}
        encoded = encode(message)
        extra = encode(about)[1:-1]
        self._log.append(b'{"type":"message",' + extra + (b"," if extra else b"") + b'"message":' + encoded + b"}")
        self._take(message, encoded)
        if role == "assistant":
            self.turns.append(about)
        self.end = None

    def _take(self, message: Message, encoded: bytes) -> None:
        if self.messages:
            self._encoded += b","
        self._last_at = len(self._encoded)
        self._encoded += encoded
        self.messages.append(message)

    def finish(self, **record: Any) -> None:
        """Note that the work is over, and how. A resumed run reads this and does nothing more."""
        self.end = {"type": "end", **record}
        self._log.append(encode(self.end))

    def body(self, head: dict[str, Any], mark: Callable[[Message], Message]) -> bytes:
        """The request: `head` and all messages, the last one as `mark` returns it."""
        last = encode(mark(self.messages[-1]))
        return b"".join(
            (encode(head)[:-1], b',"messages":[', memoryview(self._encoded)[: self._last_at], last, b"]}")
        )

    def open_calls(self) -> list[Block]:
        """Tool calls of the last message: those that no results have been given for yet."""
        if not self.messages or self.messages[-1]["role"] != "assistant":
            return []
        return [block for block in self.messages[-1]["content"] if block["type"] == "tool_use"]

    async def synced(self) -> None:
        """Wait until the disk has all of it."""
        await self._log.synced()

    def close(self) -> None:
        self._log.close()
