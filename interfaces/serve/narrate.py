"""What a run is doing, in a few words, from its events: for status lines and plans of other agents' interfaces.

narration = Narration(steps)
for text in narration.hear(event): …      at most one line an event, empty for what nobody needs to see
narration.parts                           [(text, "pending" | "active" | "done")], the whole plan at this moment
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ml_engineer.agent.runs import Event
from ml_engineer.agent.workflow import ORDERED, node_name
from ml_engineer.report.schema import STEP_NAMES
from ml_engineer.report.text import one_line

State = Literal["pending", "active", "done"]
_READ, _SEAL = "Read the repository", "Check the evidence and seal the report"
_SEALING = frozenset({"delegate", "synthesise", "check_evidence"})


@dataclass
class Narration:
    """The plan of one review, and how far it is."""

    steps: frozenset[int]
    _done: set[str] = field(default_factory=set)
    _started: bool = False

    def hear(self, event: Event) -> Iterable[str]:
        """Take note of an event, and say what it means."""
        kind = event["type"]
        if kind in ("started", "resumed"):
            self._started = True
            return [f"{_READ}."]
        if kind == "in_memory":
            return ["The state directory cannot be written, so this run cannot be resumed."]
        if kind == "retry":
            return [f"The model's server is asked again: {one_line(str(event.get('failure') or event.get('reason')))}"]
        if kind != "node":
            return []
        self._done.add(str(event["node"]))
        return self._of_node(str(event["node"]))

    def _of_node(self, node: str) -> list[str]:
        for step, name in STEP_NAMES.items():
            if node == node_name(step):
                return [f"Step {step} of {len(STEP_NAMES)} is done: {name}."] if step in self.steps else []
        return ["The repository is read."] if node == "survey" else []

    @property
    def parts(self) -> list[tuple[str, State]]:
        """Reading, the steps that were asked for, sealing: each with its state."""
        read = "survey" in self._done
        found: list[tuple[str, State]] = [(_READ, _state(read, self._started))]
        ready = read
        for step in sorted(self.steps):
            done = node_name(step) in self._done
            found.append((f"{step}. {STEP_NAMES[step]}", _state(done, ready)))
            if step in ORDERED:
                ready = ready and done
        steps_done = all(node_name(step) in self._done for step in STEP_NAMES)
        found.append((_SEAL, _state("seal" in self._done, steps_done or bool(self._done & _SEALING))))
        return found


def _state(done: bool, begun: bool) -> State:
    return "done" if done else "active" if begun else "pending"
