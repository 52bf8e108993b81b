"""Running the tool calls of one answer: permission first, effects through the ledger, readers side by side.

outcomes = await runner.run_all(calls, malformed)      in the order of the calls
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import groupby

from ml_engineer.agent.calls import Call, Gate, Outcome, Tools
from ml_engineer.agent.ledger import Ledger, OutcomeUnknown
from ml_engineer.agent.listener import Listener
from ml_engineer.agent.log import Record
from ml_engineer.agent.transcript import Transcript

_UNKNOWN = "The run was interrupted during this call; its outcome is unknown. Check what it did before going on."
_INTERRUPTED = "Interrupted by the user before it was done."
_SHOWN = 200  # characters of a call's input that was no JSON


@dataclass(frozen=True)
class Runner:
    """Runs calls of the agent whose conversation is in `transcript`."""

    transcript: Transcript
    tools: Tools
    gate: Gate
    ledger: Ledger
    notify: Listener
    _ended: dict[str, Outcome] = field(default_factory=dict)  # of the answer at work, until all of it is done

    async def run_all(self, calls: list[Call], malformed: dict[str, str]) -> list[Outcome]:
        """Neighbours that only read run side by side, all others one after the other."""
        outcomes: list[Outcome] = []
        for together, group in groupby(calls, self.tools.is_read_only):
            if together:
                outcomes += await asyncio.gather(*(self._run(call, malformed) for call in group))
            else:
                outcomes += [await self._run(call, malformed) for call in group]
        self._ended.clear()
        return outcomes

    def interrupted(self, call: Call) -> Outcome:
        """What to say of a call that the user cut short: what it gave, if it came so far. Nothing is run."""
        ended = self._ended.pop(call.key, None)
        if ended is not None:
            return ended
        done = self.ledger.result(call.key)
        if done is not None:
            return Outcome.of(done)
        return Outcome(_UNKNOWN if self.ledger.begun(call.key) else _INTERRUPTED, is_error=True)

    async def _run(self, call: Call, malformed: dict[str, str]) -> Outcome:
        self.notify("tool_start", agent=self.transcript.name, id=call.id, name=call.name, input=call.input)
        if call.id in malformed:
            outcome = _not_json(call, malformed[call.id])
        else:
            refusal = None if self.ledger.begun(call.key) else await self.gate.refuses(call)
            outcome = Outcome(refusal, is_error=True) if refusal is not None else await self._do(call)
        self._ended[call.key] = outcome
        self.notify("tool_end", agent=self.transcript.name, id=call.id, name=call.name, **outcome.record())
        return outcome

    async def _do(self, call: Call) -> Outcome:
        if self.tools.is_read_only(call):
            return await self._try(call)
        await self.transcript.synced()  # what leads to an effect is on the disk before it

        async def act() -> Record:
            return (await self._try(call)).record()

        async def settle(intent: Record) -> Record | None:
            outcome = await self.tools.settle(call, intent["mark"])
            return None if outcome is None else outcome.record()

        intent = {"tool": call.name, "id": call.id, "mark": self.tools.mark(call)}
        try:
            return Outcome.of(await self.ledger.once(call.key, intent, act, settle))
        except OutcomeUnknown:
            return Outcome(_UNKNOWN, is_error=True)

    async def _try(self, call: Call) -> Outcome:
        """A defect in a tool must not end the run: the model is told, and so is the log, by `data["defect"]`."""
        try:
            return await self.tools.run(call)
        except Exception as error:
            defect = f"{type(error).__name__}: {error}"
            return Outcome(f"{call.name} failed inside ({defect}). Try another way.", {"defect": defect}, is_error=True)


def _not_json(call: Call, raw: str) -> Outcome:
    shown = raw if len(raw) <= _SHOWN else f"{raw[: _SHOWN // 2]} … {raw[-_SHOWN // 2 :]}"
    text = f"The input of {call.name} was no JSON object, so it was not run. What came: {shown}\nSend the call again."
    return Outcome(text, is_error=True)
