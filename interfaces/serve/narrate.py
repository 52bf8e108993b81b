"""What a run is doing, for people who watch it from another agent's interface: status lines, and a plan.

narration = Narration(steps)
text = narration.hear(progress)      a line, or "" for what nobody needs to see; `progress` as Caller gets it
narration.parts                      [(text, "pending" | "active" | "done")], the whole plan at this moment
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ml_engineer.agent.workflow import ORDERED, node_name
from ml_engineer.report.schema import STEP_NAMES, Report
from ml_engineer.report.summary import readiness_line, severity_line, summarise
from ml_engineer.report.text import one_line, where

State = Literal["pending", "active", "done"]
_READ, _SEAL = "Read the repository", "Check the evidence and seal the report"
_NODES = {node_name(step).replace("_", " "): step for step in STEP_NAMES}
_LINES = {
    "survey": "The repository is read.",
    "plan": "There is a plan.",
    "approve": "The plan is approved.",
    "verify": "All checks have run once more.",
    "check evidence": "The evidence is checked.",
}


@dataclass
class Narration:
    """The plan of one run, and how far it is."""

    steps: frozenset[int]
    _done: set[str] = field(default_factory=set)

    def hear(self, progress: str) -> str:
        """Take note of what has ended, and say it."""
        self._done.add(progress)
        step = _NODES.get(progress)
        if step is not None:
            return f"Step {step} of {len(STEP_NAMES)} is done: {STEP_NAMES[step]}." if step in self.steps else ""
        return _LINES.get(progress, "")

    @property
    def parts(self) -> list[tuple[str, State]]:
        """Reading, the steps that were asked for, sealing: each with its state."""
        read = "survey" in self._done
        found: list[tuple[str, State]] = [(_READ, _state(read, True))]
        ready = read
        for name, step in _NODES.items():
            if step in self.steps:
                found.append((f"{step}. {STEP_NAMES[step]}", _state(name in self._done, ready)))
            if step in ORDERED:
                ready = ready and name in self._done
        found.append((_SEAL, _state("seal" in self._done, self._done >= set(_NODES))))
        return found


def _state(done: bool, begun: bool) -> State:
    return "done" if done else "active" if begun else "pending"


def headline(report: Report) -> str:
    """The outcome in a line or two."""
    summary = summarise(report)
    head = f"{report.repository.name}: {readiness_line(summary)}; {severity_line(summary)}. Run {report.run.id}."
    branch = [note for note in report.run.notes if note.startswith("branch: ")]
    return " ".join([head, *branch, *summary.gaps])


def brief(report: Report) -> str:
    """The outcome for a model that goes on talking: the headline, what to fix first, and where all of it is."""
    first = [
        f"- {one.severity.value} {one.rule}: {one_line(one.title)} ({where(one.evidence[0])})"
        for one in summarise(report).fix_first
    ]
    return "\n".join([headline(report), *first, f"All of it: ml-engineer runs report {report.run.id}"])
