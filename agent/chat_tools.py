"""The tools of a conversation: the repository's, measuring, and `UpdatePlan`, a plan that ticks off as work goes on.

    tools = ChatTools(repository, on_plan, delegating)

What a tool gives goes to the model as quoted material. Where peers can be reached there is `Delegate` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_engineer.agent.calls import Call, Gate, Outcome
from ml_engineer.agent.delegating import DELEGATE, Delegating
from ml_engineer.agent.finish import as_quoted
from ml_engineer.agent.log import Record
from ml_engineer.agent.session_log import ITEM_STATES, PlanItem
from ml_engineer.agent.toolbox import RepositoryTools

UPDATE_PLAN = "UpdatePlan"
MAX_ITEMS = 30
_MAX_TEXT = 200
_HARMLESS = (UPDATE_PLAN, DELEGATE)  # they change nothing in the repository
_MARKS = {"pending": "[ ]", "active": "[>]", "done": "[x]", "failed": "[!]"}

_DEFINITION: dict[str, Any] = {
    "name": UPDATE_PLAN,
    "description": (
        "Shows the user the plan of the work and ticks it off. Send the whole list each time, in order. Use it for "
        "work of three or more parts: before it begins, and whenever a part begins or ends. One item is active at a "
        "time. `done` means that a command or a look at the result has shown it; `failed` that it was given up."
    ),
    "input_schema": {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "description": "The part, in up to fifteen words."},
                        "state": {"type": "string", "enum": list(ITEM_STATES)},
                    },
                    "required": ["text", "state"],
                },
            }
        },
        "required": ["items"],
    },
}


def plan_text(items: Sequence[PlanItem]) -> str:
    """The plan as lines with a box in front of each."""
    return "\n".join(f"{_MARKS[item.state]} {item.text}" for item in items)


@dataclass
class ChatTools:
    """See the module. `on_plan` gets each new plan."""

    repository: RepositoryTools
    on_plan: Callable[[list[PlanItem]], None]
    delegating: Delegating | None = None
    _definitions: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        asking = self.delegating.definitions() if self.delegating is not None else []
        self._definitions = [*self.repository.definitions(), _DEFINITION, *asking]

    def definitions(self) -> list[dict[str, Any]]:
        return self._definitions

    def is_read_only(self, call: Call) -> bool:
        return call.name in _HARMLESS or self.repository.is_read_only(call)

    async def run(self, call: Call) -> Outcome:
        if call.name == UPDATE_PLAN:
            return self._update(call)
        if call.name == DELEGATE and self.delegating is not None:
            return await self.delegating.run(call)
        return as_quoted(call, await self.repository.run(call))

    def _update(self, call: Call) -> Outcome:
        try:
            items = _read(call.input)
        except ValueError as error:
            return Outcome(f"The plan cannot be read: {error}. Send the whole list again.", is_error=True)
        self.on_plan(items)
        left = sum(item.state in ("pending", "active") for item in items)
        return Outcome(f"The plan is shown; {left} of {len(items)} parts are left.")

    def mark(self, call: Call) -> Record:
        return self.repository.mark(call)

    async def settle(self, call: Call, mark: Record) -> Outcome | None:
        outcome = await self.repository.settle(call, mark)
        return None if outcome is None else as_quoted(call, outcome)


def _read(given: dict[str, Any]) -> list[PlanItem]:
    items = given.get("items")
    if not isinstance(items, list) or not items:
        raise ValueError("items must be a list of parts, each with text and state")
    if len(items) > MAX_ITEMS:
        raise ValueError(f"{len(items)} parts are more than a person follows; at most {MAX_ITEMS}")
    found = []
    for number, item in enumerate(items, 1):
        text, state = (item.get("text"), item.get("state")) if isinstance(item, dict) else (None, None)
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"part {number} has no text")
        if state not in ITEM_STATES:
            raise ValueError(f"the state of part {number} is {state!r}; it must be one of {', '.join(ITEM_STATES)}")
        found.append(PlanItem(" ".join(text.split())[:_MAX_TEXT], state))
    return found


@dataclass(frozen=True)
class ChatGate:
    """The permissions. Showing a plan needs none; asking a peer is bounded by its budget and by the user's settings."""

    permissions: Gate

    async def refuses(self, call: Call) -> str | None:
        return None if call.name in _HARMLESS else await self.permissions.refuses(call)
