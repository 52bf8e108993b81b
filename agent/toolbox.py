"""The repository's tools behind the loop's seam: `tools.registry` as a `Tools`, and its permissions as a `Gate`.

What became of an edit during which the run was killed is read from the change journal: it holds an intent before every
change and every command, and opening it has already recorded what was found afterwards.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ml_engineer.agent.calls import Call, Outcome
from ml_engineer.agent.ledger import NotBegun
from ml_engineer.agent.log import Record
from ml_engineer.tools.base import Tool
from ml_engineer.tools.context import Context
from ml_engineer.tools.permissions import Decision, Permissions
from ml_engineer.tools.registry import TOOLS, invoke


@functools.cache
def _definition(tool: Tool[Any]) -> dict[str, Any]:
    """Made once per process: a schema takes pydantic milliseconds, and a batch has hundreds of agents."""
    return tool.definition()


@dataclass
class RepositoryTools:
    """The tools of one agent, all by default."""

    context: Context
    tools: dict[str, Tool[Any]] = field(default_factory=lambda: TOOLS)

    def __post_init__(self) -> None:
        self._definitions = [_definition(tool) for tool in self.tools.values()]

    def definitions(self) -> list[dict[str, Any]]:
        return self._definitions

    def is_read_only(self, call: Call) -> bool:
        """A tool that does not exist does nothing."""
        tool = self.tools.get(call.name)
        return tool is None or tool.read_only

    async def run(self, call: Call) -> Outcome:
        result = await invoke(call.name, call.input, self.context, self.tools)
        return Outcome(result.text, result.data, result.is_error)

    def mark(self, call: Call) -> Record:
        return {"last_change": self.context.checkpoints.last_id}

    async def settle(self, call: Call, mark: Record) -> Outcome | None:
        since = mark["last_change"]
        if self.context.checkpoints.last_id <= since:
            raise NotBegun
        changes = [change for change in self.context.checkpoints.changes() if change.id > since]
        if len(changes) != 1 or changes[0].tool == "Bash" or self.context.checkpoints.last_id != since + 1:
            return None  # a command may have done anything
        change = changes[0]
        if change.after == change.before:
            raise NotBegun
        text = f"{change.tool} changed {change.path}; the run was interrupted right after it, so no more is known here."
        return Outcome(text, {"path": change.path, "interrupted": True})


Ask = Callable[[Call, Decision], Awaitable[str | None]]


async def nobody(call: Call, decision: Decision) -> str | None:
    """The answer where no person is there."""
    return f"{call.name} was refused: {decision.reason}"


@dataclass(frozen=True)
class PermissionGate:
    """Lets through what `permissions` allows. `ask(call, decision)` puts the rest to the user: None is a yes."""

    permissions: Permissions
    ask: Ask = nobody

    async def refuses(self, call: Call) -> str | None:
        decision = self.permissions.decide(call.name, call.input)
        if decision.behaviour == "allow":
            return None
        if decision.behaviour == "ask":
            return await self.ask(call, decision)
        return f"{call.name} was refused: {decision.reason}"
