"""Hand-offs of a run: what delegation needs from the agent room, and what comes back into the report.

    peers = open_peers(run, root, "churn", ask=True)       settings, definitions, transports, budget; DelegationError
    done = await peers.hand_off(findings, claims, task)     routed, asked or queued, in the ledger of the run
    claims |= peers.filled(done, claims)                    fields that the repository leaves open, from checked answers

Nobody is asked where the user wants no model and no network: then every brief is queued.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ml_engineer.agent.budget import Budget, BudgetSpent, Caps
from ml_engineer.agent.client import config_path
from ml_engineer.agent.lean import import_langgraph
from ml_engineer.agent.runs import Run
from ml_engineer.delegation.connect import connect
from ml_engineer.delegation.desk import Desk
from ml_engineer.delegation.graph import hand_all
from ml_engineer.delegation.limits import Chain, Refused, Tree, chain_from
from ml_engineer.delegation.peers import load_peers, user_folders
from ml_engineer.delegation.routing import route
from ml_engineer.delegation.settings import Settings, read_settings
from ml_engineer.delegation.transports.local import RunPeer
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import Claim, ClaimState, Finding, Handoff, Severity, Usage

OPEN = (ClaimState.ABSENT, ClaimState.UNKNOWN)  # fields that a peer's answer may fill


@dataclass(frozen=True)
class BudgetPurse:
    """The agent's budget as delegation sees one."""

    budget: Budget
    share: Decimal | None = None

    @contextmanager
    def reserve(self, name: str, max_cost: float) -> Iterator[BudgetPurse]:
        share = Decimal(str(max_cost))
        try:
            with self.budget.reserve(name, Caps(cost=share)) as child:
                yield BudgetPurse(child, share)
        except BudgetSpent as spent:
            raise Refused(str(spent)) from spent

    def charge(self, usage: Usage) -> None:
        """A peer that doesn't say what it cost counts as its whole share, so that the cap holds."""
        self.budget.charge(usage, unknown=self.share or Decimal(0))


class Made(BaseModel):
    """The hand-offs of a run as the delegate node leaves them, and the report's fields that they fill."""

    model_config = ConfigDict(extra="forbid", defer_build=True)
    handoffs: list[Handoff] = []
    fields: dict[str, Claim] = {}


@dataclass
class Peers:
    """Who can be asked in this run, and how."""

    desk: Desk
    settings: Settings
    chain: Chain

    async def hand_off(self, findings: Sequence[Finding], claims: Mapping[str, Claim], task: str = "") -> list[Handoff]:
        """Route, then ask in parallel or queue. What a peer does never raises."""
        import_langgraph()
        routed = route(findings, claims, task, Severity(self.settings.threshold))
        return await hand_all(self.desk, routed, self.chain)

    def filled(self, handoffs: Sequence[Handoff], claims: Mapping[str, Claim]) -> dict[str, Claim]:
        """Fields of the report that were open and that an answer fills: a claim that begins with the field's name.

        What a peer says is there must stand in the repository; the rest of what it says is a proposal.
        """
        checker = EvidenceChecker(self.desk.root, None)
        found: dict[str, Claim] = {}
        for handoff in handoffs:
            for claim in handoff.reply.claims if handoff.reply is not None else ():
                name, colon, text = claim.text.partition(":")
                field = claims.get(name.strip())
                if colon and text.strip() and field is not None and field.state in OPEN and name.strip() not in found:
                    value = _from_peer(claim, f"{text.strip()} ({handoff.peer})", field, checker)
                    found.update({name.strip(): value} if value is not None else {})
        return found


def _from_peer(claim: Claim, text: str, field: Claim, checker: EvidenceChecker) -> Claim | None:
    """The field with the peer's value, or None where it may not have it."""
    if claim.state is ClaimState.PROPOSED:
        return Claim(text=text, state=ClaimState.PROPOSED, evidence=field.evidence)
    verdicts = [checker.check(item).evidence for item in claim.evidence]
    if claim.state is ClaimState.PRESENT and verdicts and None not in verdicts:
        return Claim(text=text, state=ClaimState.PRESENT, evidence=[item for item in verdicts if item is not None])
    return None


def open_peers(
    run: Run, root: Path, repository: str, *, ask: bool, local: RunPeer | None = None, budget: Budget | None = None
) -> Peers:
    """The peers of a run. Without `ask` every brief is queued. Raises DelegationError where the settings are wrong."""
    settings = read_settings(config_path())
    directory = load_peers(user_folders(config_path()))
    transports = connect(directory.peers, settings, local)
    for problem in directory.problems:
        run.event("peer_problem", problem=problem)
    purse = BudgetPurse((budget or Budget()).child("peers", Caps(cost=Decimal(str(settings.max_cost)))))
    desk = Desk(
        peers=directory.peers,
        transports=transports if ask else {},
        tree=Tree(settings, purse),
        store=run,
        root=root,
        repository=repository,
        listen=run.event,
    )
    return Peers(desk, settings, chain_from())
