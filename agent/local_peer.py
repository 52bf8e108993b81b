"""A peer as an agent in this process: its own prompt and conversation, tools that only read, a share of the budget.

    local = LocalPeer(client, folder, context, gate, ledger, notify)
    written = await local(ask)           # what `delegation.transports.local` runs

What it says stands in the run as `handoffs/<id>.jsonl`, beside its brief. So a run that was killed goes on in the
middle of the conversation, and no turn is paid twice. It may ask other peers, as deep as the limits allow.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ml_engineer.agent.budget import Caps
from ml_engineer.agent.calls import Call, Gate, Outcome
from ml_engineer.agent.client import Client
from ml_engineer.agent.delegating import DELEGATE, Delegating
from ml_engineer.agent.ending import Why
from ml_engineer.agent.finish import REPAIRS, as_quoted, earlier
from ml_engineer.agent.handoffs import BudgetPurse
from ml_engineer.agent.ledger import Ledger
from ml_engineer.agent.listener import Listener
from ml_engineer.agent.log import Record
from ml_engineer.agent.peer_answer import ANSWER, NAME, judge
from ml_engineer.agent.prompts import render
from ml_engineer.agent.records import Records
from ml_engineer.agent.toolbox import RepositoryTools
from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Transcript
from ml_engineer.delegation.transports.base import Ask, TransportError, Written
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.tools.context import Context
from ml_engineer.tools.ledger import Ledger as Seen
from ml_engineer.tools.registry import TOOLS

PEER_TOOLS = ("LS", "Read", "Grep", "Glob")
PEER_TURNS = 30
_OURS = frozenset({"inherit", "sonnet", "opus", "haiku"})  # of Claude Code: names of no model that we could ask


@dataclass(frozen=True)
class LocalPeer:
    """Runs peers of one run. `folder` is the run's; `context` and `gate` are those of the agent that works in it."""

    client: Client
    folder: Path
    context: Context
    gate: Gate
    ledger: Ledger
    notify: Listener

    async def __call__(self, ask: Ask) -> Written:
        """The peer's reply. Raises TransportError where it has come to none; the purse knows what it has spent."""
        assert isinstance(ask.purse, BudgetPurse), "a peer in this process spends from the agent's own budget"
        transcript = Transcript(self.folder / "handoffs" / f"{ask.handoff.id}.jsonl")
        tools = self._tools(ask, transcript)
        loop = ToolLoop(
            _with_model(self.client, ask.peer.model),
            transcript,
            tools,
            system=[render("peer.md.j2", tools=tools.names(), prompt=ask.peer.prompt)],
            budget=ask.purse.budget.child(ask.peer.name, Caps(turns=PEER_TURNS)),
            ledger=self.ledger,
            gate=PeerGate(self.gate),
            notify=self.notify,
            finisher=NAME,
        )
        try:
            ending = await loop.run(ask.brief)
        finally:
            transcript.close()
        if ending.why is not Why.FINISHED:
            raise TransportError(f"the peer did not finish ({ending.why.value}): {ending.text}"[:500])
        return Written(ending.data["reply"])

    def _tools(self, ask: Ask, transcript: Transcript) -> PeerTools:
        allowed = [name for name in PEER_TOOLS if ask.peer.tools is None or name in ask.peer.tools]
        own = replace(self.context, ledger=Seen())  # what a peer has read, the agent beside it has not
        repository = RepositoryTools(own, {name: TOOLS[name] for name in allowed})
        delegating = Delegating(ask.desk, ask.chain, ask.purse)
        return PeerTools(repository, delegating, transcript, Records(self.folder), EvidenceChecker(ask.root, None))


def _with_model(client: Client, model: str | None) -> Client:
    """The client, asking the model that the peer's file names."""
    if model is None or model in _OURS:
        return client
    return replace(client, settings=replace(client.settings, model=model))


@dataclass
class PeerTools:
    """The repository's tools as far as the peer may use them, `Delegate` where somebody can be asked, and `answer`."""

    repository: RepositoryTools
    delegating: Delegating
    transcript: Transcript
    records: Records
    checker: EvidenceChecker
    _definitions: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._definitions = [*self.repository.definitions(), *self.delegating.definitions(), ANSWER]

    def names(self) -> list[str]:
        return [one["name"] for one in self._definitions]

    def definitions(self) -> list[dict[str, Any]]:
        return self._definitions

    def is_read_only(self, call: Call) -> bool:
        return True

    async def run(self, call: Call) -> Outcome:
        if call.name == NAME:
            return self._answer(call)
        if call.name == DELEGATE:
            return await self.delegating.run(call)
        outcome = await self.repository.run(call)
        self.records.keep(self.transcript.name, call, outcome)
        return as_quoted(call, outcome)

    def mark(self, call: Call) -> Record:
        return {}

    async def settle(self, call: Call, mark: Record) -> Outcome | None:
        return None

    def _answer(self, call: Call) -> Outcome:
        judged = judge(call.input, self.transcript.name, self.checker, self.records)
        left = REPAIRS - earlier(self.transcript, call)
        if judged.problems and left > 0:
            lines = "\n".join(f"- {problem}" for problem in judged.problems[:20])
            head = "Not handed in yet; correct this, or leave it out, and send all again:"
            return Outcome(f"{head}\n{lines}", is_error=True)
        return Outcome("The reply is handed in.", {"reply": judged.text}, ends=True)


@dataclass(frozen=True)
class PeerGate:
    """The user's permissions. Answering needs none: it changes nothing."""

    permissions: Gate

    async def refuses(self, call: Call) -> str | None:
        return None if call.name == NAME else await self.permissions.refuses(call)
