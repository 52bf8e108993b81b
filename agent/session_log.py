"""What a conversation keeps beside its transcript: turns, plan, grants, notes; append-only, so that a kill loses none.

    log = SessionLog(folder / "session.jsonl")
    log.begin("make it faster", change=12)      a turn of the user, with the last change before it
    log.plan(items), log.grant(rule), …         what holds from now on; the last word counts

The transcript is what the model was told. This is what a person comes back to, and what compaction keeps word for word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ml_engineer.agent.log import Log, LogError, Record, encode

ItemState = Literal["pending", "active", "done", "failed"]
ITEM_STATES: tuple[ItemState, ...] = get_args(ItemState)
NAME = "session.jsonl"


@dataclass(frozen=True)
class PlanItem:
    """One line of the plan that ticks off."""

    text: str
    state: ItemState = "pending"


@dataclass(frozen=True)
class Turn:
    """Something that the user had done: `words` said to the model, or an `act` of his own, such as a suppression."""

    number: int
    words: str
    act: str = ""

    @property
    def step(self) -> str:
        """The label of the changes that were made in it."""
        return f"turn-{self.number:03d}"

    @property
    def title(self) -> str:
        return self.act or self.words


@dataclass(frozen=True)
class Kept:
    """Something that has to survive word for word: the record of a step, a review's result, an answer of a peer."""

    title: str
    text: str


@dataclass
class SessionLog:
    """Opens the log at `path`, with all that was kept so far; None keeps it in memory. Raises LogError on damage."""

    path: Path | None
    turns: list[Turn] = field(default_factory=list)
    items: list[PlanItem] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)
    denials: list[str] = field(default_factory=list)  # what the user refused, with his words
    notes: list[str] = field(default_factory=list)  # to be told to the model with the next turn
    kept: list[Kept] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)  # turns that were undone as far as possible
    mode: str | None = None
    model: str | None = None
    talk: int = 1  # number of the transcript that is written to
    opening: str = ""  # what a compaction carried over into it
    told: bool = False  # whether this transcript has the repository's profile

    def __post_init__(self) -> None:
        self._log = Log(self.path)
        for number, record in enumerate(self._log.load(), 1):
            try:
                self._take(record)
            except (KeyError, TypeError, ValueError) as error:
                raise LogError(f"{self.path} has a record of an unknown form in line {number}; start anew") from error

    def _add(self, record: Record) -> None:
        self._log.append(encode(record))
        self._take(record)

    def _take(self, record: Record) -> None:
        ((kind, value),) = record.items()
        match kind:
            case "turn":
                self.turns.append(Turn(**value))
            case "told":
                del self.notes[: value["notes"]]
                self.told = self.told or value["profile"]
            case "plan":
                self.items = [PlanItem(**item) for item in value]
            case "kept":
                one = Kept(**value)
                self.kept = [*(other for other in self.kept if other.title != one.title), one]
            case "grant" | "denial" | "note":
                {"grant": self.grants, "denial": self.denials, "note": self.notes}[kind].append(value)
            case "passed":
                self.passed.add(value)
            case "mode":
                self.mode = value
            case "model":
                self.model = value
            case "talk":
                self.talk, self.opening, self.told = value["number"], value["opening"], False
            case _:
                raise ValueError(kind)

    # --- what happens -------------------------------------------------------------------------------------------------

    def begin(self, words: str, act: str = "") -> Turn:
        """A new turn. On the disk before anything of it happens."""
        turn = Turn(len(self.turns) + 1, words, act)
        self._add({"turn": asdict(turn)})
        return turn

    def tell(self, *, notes: int, profile: bool) -> None:
        """The first `notes` notes, and the profile, have gone into the transcript."""
        self._add({"told": {"notes": notes, "profile": profile}})

    def plan(self, items: Sequence[PlanItem]) -> None:
        self._add({"plan": [asdict(item) for item in items]})

    def grant(self, rule: str) -> None:
        self._add({"grant": rule})

    def deny(self, what: str) -> None:
        self._add({"denial": what})

    def note(self, text: str) -> None:
        self._add({"note": text})

    def keep(self, kept: Kept) -> None:
        self._add({"kept": asdict(kept)})

    def pass_by(self, step: str) -> None:
        self._add({"passed": step})

    def set_mode(self, mode: str) -> None:
        self._add({"mode": mode})

    def set_model(self, model: str) -> None:
        self._add({"model": model})

    def start_talk(self, opening: str) -> None:
        """A new transcript, which begins with `opening`."""
        self._add({"talk": {"number": self.talk + 1, "opening": opening}})

    def turn_of(self, step: str) -> Turn | None:
        return next((turn for turn in self.turns if turn.step == step), None)

    def requests(self) -> Iterator[Turn]:
        """The turns in which the user said something."""
        return (turn for turn in self.turns if turn.words)

    async def synced(self) -> None:
        await self._log.synced()

    def close(self) -> None:
        self._log.close()


def first_words(folder: Path) -> tuple[str, int]:
    """What a kept conversation began with, and how many turns it has; nothing for one that never began."""
    try:
        data = (folder / NAME).read_bytes()  # not through Log, which would repair what another process is writing
        found: list[Any] = [one["turn"] for one in map(json.loads, data.split(b"\n")[:-1]) if "turn" in one]
    except (OSError, ValueError):
        return "", 0
    words = next((one["words"] for one in found if one["words"]), "")
    return words, sum(bool(one["words"]) for one in found)
