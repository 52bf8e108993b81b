"""What was really run, measured and searched in a run: the records that claims are held against.

    records.keep("step-05", call, outcome)     after every call that counts
    records.command("step-05", "pytest -q")    -> the last run of it in that step, as evidence, or None

One small file per call in the run's directory, `records/<agent>/<message>-<place>.json`, outside of everything that
tools can reach. It is written before the loop hears of the outcome, so that a resumed run finds what an earlier process
did; a call that is replayed writes the same file again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ml_engineer.agent.calls import Call, Outcome
from ml_engineer.report.atomic import write_atomic
from ml_engineer.report.schema import CommandRun, Measurement

EXCERPT_LINES = 12


@dataclass(frozen=True)
class Records:
    """The records below `folder`, the run's directory."""

    folder: Path

    def keep(self, agent: str, call: Call, outcome: Outcome) -> None:
        """Keep what a call did, if it ran a command to its end, measured, or searched."""
        record = _record(call, outcome)
        if record is not None:
            path = self.folder / self._name(agent, call.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps(record, indent=1).encode())

    @staticmethod
    def _name(agent: str, key: str) -> str:
        place = key.removeprefix(f"{agent}/").replace("/", "-")
        return f"records/{agent}/{place}.json"

    def command(self, agent: str, command: str) -> CommandRun | None:
        """The last run of this command by this agent; white space does not count."""
        wanted = command.split()
        found = [(name, one) for name, one in self._of(agent, "command") if one["command"].split() == wanted]
        return _command_run(*found[-1]) if found else None

    def command_at(self, agent: str, key: str) -> CommandRun | None:
        """The command that was run at this place in the work."""
        name = self._name(agent, key)
        path = self.folder / name
        return _command_run(name, json.loads(path.read_bytes())) if path.exists() else None

    def commands(self, agent: str) -> list[CommandRun]:
        """Every command that this agent ran to its end, in order."""
        return [_command_run(name, one) for name, one in self._of(agent, "command")]

    def measurements(self, agent: str) -> list[Measurement]:
        """Every measurement of this agent, in order. What is no valid measurement is none."""
        found = []
        for _, record in self._of(agent, "measurements"):
            for one in record["measurements"]:
                try:
                    found.append(Measurement.model_validate(one))
                except ValidationError:
                    continue  # a tool's result of another form: nothing can be claimed on it
        return found

    def search(self, agent: str, pattern: str) -> dict[str, Any] | None:
        """The last search of this agent for exactly this pattern: {"pattern", "where", "total", "files"}."""
        found = [one for _, one in self._of(agent, "search") if one["pattern"] == pattern]
        return found[-1] if found else None

    def _of(self, agent: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
        paths = sorted((self.folder / "records" / agent).glob("*.json"), key=_order)
        loaded = [(str(path.relative_to(self.folder)), json.loads(path.read_bytes())) for path in paths]
        return [(name, record) for name, record in loaded if record["kind"] == kind]


def _order(path: Path) -> list[int]:
    return [int(part) for part in path.stem.split("-") if part.isdecimal()]


def _record(call: Call, outcome: Outcome) -> dict[str, Any] | None:
    data = outcome.data
    if isinstance(data.get("measurements"), list):
        return {"kind": "measurements", "measurements": data["measurements"]}
    if call.name == "Bash" and isinstance(data.get("exit_code"), int):
        kept = {key: data[key] for key in ("command", "exit_code", "timed_out", "output", "level")}
        return {"kind": "command", **kept}
    if call.name in ("Grep", "Glob") and not outcome.is_error:
        where = " ".join(str(call.input[key]) for key in ("path", "glob", "type") if call.input.get(key))
        found = {"pattern": data["pattern"], "total": data["total"], "files": data["files"][:50]}
        return {"kind": "search", "where": where or "all files", **found}
    return None


def _command_run(name: str, record: dict[str, Any]) -> CommandRun:
    lines = record["output"].splitlines()
    excerpt = "\n".join(lines[-EXCERPT_LINES:])
    return CommandRun(command=record["command"], exit_code=record["exit_code"], excerpt=excerpt, record=name)
