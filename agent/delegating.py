"""The `Delegate` tool of one agent, behind the loop's seam: what `delegation.tool` describes, as calls and outcomes.

It changes nothing in the repository, so it may run beside others, and again after a kill: the desk's ledger gives what
was answered, and asks once more what was under way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ml_engineer.agent.calls import Call, Outcome
from ml_engineer.agent.transcript import Transcript
from ml_engineer.delegation.desk import Desk
from ml_engineer.delegation.limits import Chain, Purse
from ml_engineer.delegation.tool import NAME, DelegateError, definition, delegate, handoff_id
from ml_engineer.report.schema import Handoff

DELEGATE = NAME


@dataclass
class Delegating:
    """`chain` ends with the agent that asks; `purse` is what it may spend, the whole run's by default."""

    desk: Desk
    chain: Chain
    purse: Purse | None = None
    _definition: dict[str, Any] | None = field(init=False)

    def __post_init__(self) -> None:
        self._definition = definition(self.desk, self.chain)

    def definitions(self) -> list[dict[str, Any]]:
        """None where nobody can be asked from here."""
        return [self._definition] if self._definition is not None else []

    async def run(self, call: Call) -> Outcome:
        try:
            result = await delegate(self.desk, self.chain, self.purse, call.input, call.key)
        except DelegateError as error:
            return Outcome(f"{NAME} was not run: {error}.", is_error=True)
        return Outcome(result.text, {"handoff": result.handoff.id}, is_error=result.is_error)

    def made(self, transcript: Transcript) -> list[Handoff]:
        """The hand-offs that this agent has made, in order; from the conversation, so that a resumed run has them."""
        calls = [call for at in range(len(transcript.messages)) for call in transcript.calls(at) if call.name == NAME]
        ids = dict.fromkeys(handoff_id(self.chain, call.input, call.key) for call in calls)
        ended = self.desk.ended() if ids else {}
        return [ended[one] for one in ids if one in ended]
