"""The tools of one step: the repository's, `Delegate` where peers can be asked, and `finish_step`, which ends the step
when the evidence gate lets it.

    tools = StepTools(repository, transcript, records, gate, delegating)
    tools = StepTools(repository, transcript, records, gate, delegating, checks)     # one that changes the repository

Results are handed to the model as quoted material, since they hold what others wrote. A submission of which something
cannot be confirmed goes back with the reasons, twice; the third time the rest is left out and counted. Where the step
has agreed checks, they run first: as long as one fails the step is not done, whatever the model says of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ml_engineer.agent.calls import Call, Gate, Outcome
from ml_engineer.agent.delegating import DELEGATE, Delegating
from ml_engineer.agent.gate import EvidenceGate, Judgement
from ml_engineer.agent.ledger import NotBegun
from ml_engineer.agent.log import Record
from ml_engineer.agent.prompts import quoted
from ml_engineer.agent.records import Records
from ml_engineer.agent.submission import FINISH_STEP, NAME, Submission
from ml_engineer.agent.toolbox import RepositoryTools
from ml_engineer.agent.transcript import Transcript
from ml_engineer.report.schema import CommandRun

REPAIRS = 2
_SHOWN = 20  # problems in one answer
_OUTPUT_TOOLS = frozenset({"Bash", "BashOutput"})  # also their failures are what others wrote


class Checks(Protocol):
    """The commands that decide whether a step is done."""

    async def run(self, key: str) -> list[CommandRun]:
        """Run them all, in order; `key` names the place in the work."""
        ...

    def changed(self) -> frozenset[str]:
        """The files that the step has changed so far."""
        ...


@dataclass
class StepTools:
    """See the module. `gate(changed, passed)` makes the gate for one submission."""

    repository: RepositoryTools
    transcript: Transcript
    records: Records
    gate: Callable[[frozenset[str], tuple[CommandRun, ...]], EvidenceGate]
    delegating: Delegating | None = None
    checks: Checks | None = None
    _definitions: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        asking = self.delegating.definitions() if self.delegating is not None else []
        self._definitions = [*self.repository.definitions(), *asking, FINISH_STEP]

    def definitions(self) -> list[dict[str, Any]]:
        return self._definitions

    def is_read_only(self, call: Call) -> bool:
        if call.name == NAME:
            return self.checks is None
        return call.name == DELEGATE or self.repository.is_read_only(call)

    async def run(self, call: Call) -> Outcome:
        if call.name == NAME:
            return await self._finish(call)
        if call.name == DELEGATE and self.delegating is not None:
            return await self.delegating.run(call)
        outcome = await self.repository.run(call)
        self.records.keep(self.transcript.name, call, outcome)
        return as_quoted(call, outcome)

    def mark(self, call: Call) -> Record:
        return {} if call.name == NAME else self.repository.mark(call)

    async def settle(self, call: Call, mark: Record) -> Outcome | None:
        if call.name == NAME:
            raise NotBegun  # what it did so far is in the ledger by itself, check by check
        outcome = await self.repository.settle(call, mark)
        return None if outcome is None else as_quoted(call, outcome)

    # --- finishing ------------------------------------------------------------------------------------------------

    async def _finish(self, call: Call) -> Outcome:
        left = REPAIRS - earlier(self.transcript, call)
        runs = await self.checks.run(call.key) if self.checks is not None else []
        failed = [run for run in runs if run.exit_code]
        if failed and left > 0:
            return Outcome(_failure_text(failed, left), is_error=True)
        changed = self.checks.changed() if self.checks is not None else frozenset()
        gate = self.gate(changed, () if failed else tuple(runs))
        judgement = gate.judge(Submission.read(call.input))
        if judgement.problems and left > 0:
            return Outcome(_problem_text(judgement, left), is_error=True)
        data = {
            "record": judgement.record.model_dump(mode="json"),
            "check": judgement.check.model_dump(mode="json"),
            "checks": [run.model_dump(mode="json") for run in runs],
        }
        return Outcome(_accepted_text(judgement, failed), data, ends=True)


def earlier(transcript: Transcript, call: Call) -> int:
    """How often this tool was called before. From the conversation, so that a resumed run counts on."""
    at = int(call.key.split("/")[1])
    return sum(one.name == call.name for number in range(at) for one in transcript.calls(number))


@dataclass(frozen=True)
class StepGate:
    """The user's permissions. Handing in a result needs none: it changes nothing."""

    permissions: Gate

    async def refuses(self, call: Call) -> str | None:
        return None if call.name == NAME else await self.permissions.refuses(call)


def as_quoted(call: Call, outcome: Outcome) -> Outcome:
    """The outcome with its text marked as what others wrote; our own messages about a wrong call stay plain."""
    if outcome.is_error and not (call.name in _OUTPUT_TOOLS and "exit_code" in outcome.data):
        return outcome
    target = next(
        (str(call.input[key]) for key in ("file_path", "command", "pattern", "path") if key in call.input), ""
    )
    return Outcome(quoted(f"{call.name} {target[:80]}", outcome.text), outcome.data, outcome.is_error, outcome.ends)


def _failure_text(failed: list[CommandRun], left: int) -> str:
    parts = [quoted(f"`{run.command}`, exit code {run.exit_code}", run.excerpt) for run in failed]
    head = "The step is not done: its checks fail. Correct the code, not the check, and call finish_step again."
    return "\n".join([head, *parts, _left(left)])


def _problem_text(judgement: Judgement, left: int) -> str:
    problems = judgement.problems
    lines = [f"- {problem}" for problem in problems[:_SHOWN]]
    more = [f"- and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    head = "Not finished yet. This does not hold; correct or remove it, then send all rows again:"
    return "\n".join([head, *lines, *more, _left(left)])


def _left(left: int) -> str:
    return f"({left} correction{'s' if left != 1 else ''} left; after that, what does not hold is left out.)"


def _accepted_text(judgement: Judgement, failed: list[CommandRun]) -> str:
    if failed:
        return f"The step has ended as failed: `{failed[0].command}` ended with {failed[0].exit_code}."
    dropped = len(judgement.problems)
    return "The step is finished." + (f" Left out as not confirmed: {dropped}." if dropped else "")
