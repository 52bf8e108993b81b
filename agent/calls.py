"""Tool calls as the loop sees them: a call, its outcome, and the two seams behind which tools and permissions lie."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from ml_engineer.agent.log import Record, encode


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `key` names its place in the run, and is the same when the run is resumed."""

    id: str
    name: str
    input: dict[str, Any]
    key: str

    @property
    def fingerprint(self) -> str:
        """The same for calls that ask for the same thing."""
        return hashlib.sha256(encode([self.name, sorted(self.input.items())])).hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gave. `text` is for the model, `data` plain JSON values for records and interfaces.

    `ends`: the work is over with this call, and `data` is its product.
    """

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    is_error: bool = False
    ends: bool = False

    def record(self) -> Record:
        return {"text": self.text, "data": self.data, "is_error": self.is_error, "ends": self.ends}

    @classmethod
    def of(cls, record: Record) -> Outcome:
        return cls(**record)


class Tools(Protocol):
    """The tools of one agent."""

    def definitions(self) -> list[dict[str, Any]]:
        """As the Messages API wants them; the same bytes every time."""
        ...

    def is_read_only(self, call: Call) -> bool:
        """Whether it changes nothing: then it may run beside others, and again after a kill."""
        ...

    async def run(self, call: Call) -> Outcome:
        """Do it. A wrong call is an Outcome with `is_error` and a message that says what to send instead."""
        ...

    def mark(self, call: Call) -> Record:
        """What `settle` will want to know of the state before the call; kept with the intent."""
        ...

    async def settle(self, call: Call, mark: Record) -> Outcome | None:
        """What became of a call during which the run was killed; None when that cannot be known.

        Raises agent.ledger.NotBegun when it certainly did not happen.
        """
        ...


class Gate(Protocol):
    """Decides, and may ask the user, before a call runs."""

    async def refuses(self, call: Call) -> str | None:
        """None to go on; else why not, in words for the model."""
        ...


class OpenGate:
    """Lets everything pass: for tools that are harmless by themselves."""

    async def refuses(self, call: Call) -> str | None:
        return None


class Repetition:
    """Notices a model that goes round in circles: the same call with the same result again and again.

    A new call that changes something starts the count afresh: running the tests after every edit is no circle.
    """

    NUDGE_AT, STOP_AT = 3, 6

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._known: set[str] = set()

    def note(self, call: Call, result: str, read_only: bool) -> int:
        """How often this call has now given this result since something changed."""
        fingerprint = call.fingerprint
        if not read_only and fingerprint not in self._known:
            self._counts.clear()
        self._known.add(fingerprint)
        seen = hashlib.sha256(f"{fingerprint}{result}".encode("utf-8", "replace")).hexdigest()
        self._counts[seen] = self._counts.get(seen, 0) + 1
        return self._counts[seen]
