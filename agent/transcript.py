"""The conversation of one agent: append-only, on disk as it happens, and encoded for the wire once.

    Transcript(path).messages            what has been said, as the Messages API has it
    transcript.say("user", content)      one message more, in memory, in the file and in the bytes to send

A file holds records {"message": …, …}, with what is known about the message beside it, and {"end": …}. Nothing is ever
rewritten, so each request repeats the one before byte by byte, which a prompt cache and a signed thinking block need.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_engineer.agent.calls import Call
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
        self._check_results()

    def _replay(self, record: Record, number: int) -> None:
        match record:
            case {"message": {"role": "user" | "assistant", "content": _} as message}:
                about = {key: value for key, value in record.items() if key != "message"}
                self._take(message, encode(message), about)
            case {"end": dict(end)}:
                self.end = end
            case _:
                raise LogError(f"{self._log.path} has a record of an unknown form in line {number}; start a new run")

    def _check_results(self) -> None:
        """A call without its result is what a kill leaves at the end; anywhere else the server would refuse it all."""
        for at, message in enumerate(self.messages[1:], 1):
            called = [call.id for call in self.calls(at - 1)]
            content = message["content"] if isinstance(message["content"], list) else []
            given = [block["tool_use_id"] for block in content if block.get("type") == "tool_result"]
            if called != given:
                raise LogError(f"{self._log.path}: calls and results of message {at} differ; start a new run")

    def say(self, role: str, content: str | list[Block], **about: Any) -> None:
        """Append one message. `about` is kept beside it and is not sent; `about["end"]` ends the work with it."""
        message = {"role": role, "content": content}
        encoded = encode(message)
        self._log.append(b'{"message":' + encoded + (b"," + encode(about)[1:] if about else b"}"))
        self._take(message, encoded, about)

    def _take(self, message: Message, encoded: bytes, about: Record) -> None:
        if self.messages:
            self._encoded += b","
        self._last_at = len(self._encoded)
        self._encoded += encoded
        self.messages.append(message)
        if message["role"] == "assistant":
            self.turns.append(about)
        self.end = about.get("end")

    def finish(self, end: Record) -> None:
        """Note that the work is over, and how. A resumed run reads this and does nothing more."""
        self._log.append(encode({"end": end}))
        self.end = end

    def body(self, head: dict[str, Any], mark: Callable[[Message], Message]) -> bytes:
        """The request: `head` and all messages, the last one as `mark` returns it."""
        last = encode(mark(self.messages[-1]))
        return b"".join((encode(head)[:-1], b',"messages":[', memoryview(self._encoded)[: self._last_at], last, b"]}"))

    @property
    def size(self) -> int:
        """Bytes of all messages on the wire."""
        return len(self._encoded)

    def calls(self, at: int) -> list[Call]:
        """The tool calls in message `at`; none where it is the user's, or where there is none."""
        if at < 0 or self.messages[at]["role"] != "assistant":
            return []
        blocks = [block for block in self.messages[at]["content"] if block["type"] == "tool_use"]
        return [
            Call(block["id"], block["name"], block["input"], f"{self.name}/{at}/{place}")
            for place, block in enumerate(blocks)
        ]

    async def synced(self) -> None:
        """Wait until the disk has all of it."""
        await self._log.synced()

    def close(self) -> None:
        self._log.close()
