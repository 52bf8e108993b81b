"""A conversation as it is shown again to a person: from its transcripts, all of them, compactions notwithstanding.

for said in replay(paths, log):      said.who is user, agent or tool; of a tool, said.input is what it was asked
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ml_engineer.agent.log import Record
from ml_engineer.agent.session_log import SessionLog


@dataclass(frozen=True)
class Said:
    """A piece of a conversation. Of a tool, `text` is its name."""

    who: Literal["user", "agent", "tool"]
    text: str
    input: dict[str, Any] = field(default_factory=dict)


def replay(paths: Iterable[Path], log: SessionLog) -> Iterator[Said]:
    """In order. What the user said is in his own words, without what was sent along with them."""
    for path in paths:
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
            yield from _pieces(json.loads(line), log)


def _pieces(record: Record, log: SessionLog) -> Iterator[Said]:
    message = record.get("message", {})
    if "turn" in record:
        yield Said("user", log.turns[record["turn"] - 1].words)
    elif message.get("role") == "assistant":
        for block in message["content"]:
            if block["type"] == "text":
                yield Said("agent", block["text"])
            elif block["type"] == "tool_use":
                yield Said("tool", block["name"], block["input"])
