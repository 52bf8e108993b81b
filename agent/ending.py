"""How an agent's work ended, as its transcript keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Why(StrEnum):
    """How an agent's work ended."""

    FINISHED = "finished"  # a tool ended it; the ending has its data
    ANSWERED = "answered"  # the model had nothing more to do
    REFUSED = "refused"  # the model declined
    CONTEXT_FULL = "context full"
    STUCK = "stuck"  # going round in circles, or not to be brought to go on
    BUDGET = "budget"  # a cap is reached; more budget, and it goes on from here
    FAILED = "failed"  # no usable answer could be had; running it again goes on from here


@dataclass(frozen=True)
class Ending:
    """`text` is the last answer, or says what went wrong; `data` is what the finishing tool gave."""

    why: Why
    text: str
    data: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return {"why": self.why.value, "text": self.text, "data": self.data}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Ending:
        return cls(Why(record["why"]), record["text"], record["data"])
