"""What the agent's tests work with: a client, plain tools that count what they do, and a listener that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ml_engineer.agent.calls import Call, Outcome
from ml_engineer.agent.client import Client, Settings, open_client
from ml_engineer.agent.log import Record
from ml_engineer.agent.profiles import ANTHROPIC, Profile
from ml_engineer.agent.turn import Patience

QUICK = Patience(first=0.001, longest=0.002)


def client_for(url: str, profile: Profile = ANTHROPIC, model: str = "scripted") -> Client:
    """A client for the server at `url`; to be made inside the event loop that uses it."""
    return open_client(Settings(model, base_url=url, profile=profile))


@dataclass
class CountingTools:
    """Look reads, Change writes, Finish ends. `done` has every effect in order."""

    done: list[str] = field(default_factory=list)
    looked: int = 0
    result: str = "seen"

    def definitions(self) -> list[dict[str, Any]]:
        schema = {"type": "object", "properties": {"what": {"type": "string"}}}
        return [{"name": name, "description": name, "input_schema": schema} for name in ("Look", "Change", "Finish")]

    def is_read_only(self, call: Call) -> bool:
        return call.name != "Change"

    async def run(self, call: Call) -> Outcome:
        if call.name == "Change":
            self.done.append(call.input["what"])
            return Outcome(f"changed {call.input['what']}")
        if call.name == "Finish":
            return Outcome("accepted", {"record": call.input}, ends=True)
        if call.name == "Broken":
            raise ZeroDivisionError("a defect")
        self.looked += 1
        return Outcome(self.result)

    def mark(self, call: Call) -> Record:
        return {}

    async def settle(self, call: Call, mark: Record) -> Outcome | None:
        return None


@dataclass
class Heard:
    """A listener that keeps what it hears."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, kind: str, /, **data: Any) -> None:
        self.events.append((kind, data))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for one, data in self.events if one == kind]
