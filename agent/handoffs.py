"""Hand-offs of a run: what delegation needs from the agent room, and what comes back into the report.

    peers = open_peers(run, root, "churn", ask=True)       settings, definitions, transports, budget; DelegationError
    await hand_on(run, peers, records, …)                  routed, asked or queued, kept in the run with what it filled
    made(run)                                              -> the hand-offs, and the open fields that answers filled

Nobody is asked where the user wants no model and no network: then every brief is queued.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ml_engineer.agent.budget import Budget, BudgetSpent, Caps
from ml_engineer.agent.client import config_path
from ml_engineer.agent.lean import import_langgraph
from ml_engineer.agent.prices import is_priced
from ml_engineer.agent.runs import Run
from ml_engineer.assessment.secrets import Secrets
from ml_engineer.delegation.brief import template
from ml_engineer.delegation.connect import connect
from ml_engineer.delegation.desk import Desk, Entry
from ml_engineer.delegation.graph import build_graph, hand_all
from ml_engineer.delegation.limits import Chain, Refused, Tree, chain_from
from ml_engineer.delegation.peers import Directory, load_peers, user_folders
from ml_engineer.delegation.routing import route
from ml_engineer.delegation.settings import Settings, read_settings
from ml_engineer.delegation.transports.base import Transport
from ml_engineer.delegation.transports.local import RunPeer
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import Claim, ClaimState, Finding, Handoff, Quote, Severity, StepRecord, Usage
from ml_engineer.report.text import one_line

OPEN = (ClaimState.ABSENT, ClaimState.UNKNOWN)  # fields that a peer's answer may fill
TOKENS_PER_DOLLAR = 200_000  # what a share in dollars comes to where the model's price is not known
_MADE = "handoffs.json"


@dataclass(frozen=True)
class BudgetPurse:
    """The agent's budget as delegation sees one. `priced`: the price of the run's model is known."""

    budget: Budget
    priced: bool = True

    @contextmanager
    def reserve(self, name: str, max_cost: float) -> Iterator[BudgetPurse]:
        try:
            with self.budget.reserve(name, caps_of(max_cost, self.priced)) as child:
                yield BudgetPurse(child, self.priced)
        except BudgetSpent as spent:
            raise Refused(str(spent)) from spent

    def charge(self, usage: Usage, unknown: float) -> None:
        self.budget.charge(usage, unknown=Decimal(str(unknown)))

    def spent(self) -> Usage:
        return self.budget.usage().by_agent.get(self.budget.name, Usage())


def caps_of(dollars: float, priced: bool) -> Caps:
    """A cap on cost; with a model whose price is not known one on tokens beside it, as a cost cannot be told."""
    return Caps(cost=Decimal(str(dollars)), tokens=None if priced else int(dollars * TOKENS_PER_DOLLAR))


class Made(BaseModel):
    """The hand-offs of a run as the delegate node leaves them, and the report's fields that they fill."""

    model_config = ConfigDict(extra="forbid")
    handoffs: list[Handoff] = []
    fields: dict[str, Claim] = {}


@dataclass
class Peers:
    """Who can be asked in this run, and how."""

    desk: Desk
    settings: Settings
    chain: Chain

    @property
    def asks(self) -> bool:
        """Whether anybody can be asked, which may cost something."""
        return bool(self.desk.transports)

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
    run: Run,
    root: Path,
    repository: str,
    *,
    ask: bool,
    local: RunPeer | None = None,
    budget: Budget | None = None,
    model: str | None = None,
) -> Peers:
    """The peers of a run, which see the files in `root`. Without `ask` every brief is queued.

    `local` runs a peer with the run's `model` in this process. What an earlier process of the run has spent on
    hand-offs is counted into `budget`. Raises DelegationError where the settings are wrong.
    """
    directory, settings, transports = _reachable(local)
    for problem in directory.problems:
        run.event("peer_problem", problem=problem)
    priced = model is None or is_priced(model)
    purse = BudgetPurse((budget or Budget()).child("peers", caps_of(settings.max_cost, priced)), priced)
    desk = Desk(
        peers=directory.peers,
        transports=transports if ask else {},
        tree=Tree(settings, purse),
        store=run,
        root=root,
        repository=repository,
        listen=run.event,
    )
    desk.recall()
    return Peers(desk, settings, chain_from())


def check_settings() -> None:
    """Raises DelegationError where `open_peers` would."""
    _reachable(None)


def _reachable(local: RunPeer | None) -> tuple[Directory, Settings, dict[str, Transport]]:
    """Everybody who is defined, what the user has set, and who can be asked how."""
    settings = read_settings(config_path())
    directory = load_peers(user_folders(config_path()))
    return directory, settings, connect(directory.peers, settings, local)


async def get_ready(peers: Peers | None) -> None:
    """Compile the template of the briefs and the routing graph, if needed: beside what is waited for anyway."""
    template()
    if peers is not None and peers.asks:
        import_langgraph()
        build_graph()


# --- once a run -------------------------------------------------------------------------------------------------------


async def hand_on(
    run: Run, peers: Peers, records: Sequence[StepRecord], secrets: Secrets, task: str = "", known: Iterable[str] = ()
) -> None:
    """Hand on what is not our trade, unless an earlier process has, and keep what came of it.

    `known` are fingerprints of findings that nobody is asked about again. The desk's ledger keeps a resumed run from
    asking twice.
    """
    if run.read(_MADE) is not None:
        return
    peers.desk.hide = secrets.hide
    aside = set(known)
    findings = [one for record in records for one in record.findings if one.fingerprint not in aside]
    claims = {name: claim for record in records for name, claim in record.claims.items()}
    routed = [hidden(one, secrets) for one in await peers.hand_off(findings, claims, task)]
    of_steps = {one.id: one for record in records for one in record.handoffs}
    told = {one.id for one in routed} | set(of_steps)
    others = [hidden(one, secrets) for id, one in peers.desk.ended().items() if id not in told]
    fields = peers.filled([*routed, *of_steps.values()], claims)
    run.write(_MADE, Made(handoffs=[*routed, *others], fields=fields).model_dump_json().encode())


def made(run: Run) -> Made:
    """What `hand_on` has left."""
    data = run.read(_MADE)
    assert data is not None, "hand-offs are made before the report is put together"
    return Made.model_validate_json(data)


def hidden(handoff: Handoff, secrets: Secrets) -> Handoff:
    """The hand-off without the secrets of the repository that a peer may have repeated."""
    reply = handoff.reply
    if reply is None or not secrets.values:
        return handoff
    claims = [_without(claim, secrets) for claim in reply.claims]
    texts = {"answer": secrets.hide(reply.answer), "error": reply.error and secrets.hide(reply.error)}
    artifacts = [secrets.hide(one) for one in reply.artifacts]
    told = reply.model_copy(update={"claims": claims, "artifacts": artifacts, **texts})
    return handoff.model_copy(update={"reply": told})


def _without(claim: Claim, secrets: Secrets) -> Claim:
    cut = [
        one.model_copy(update={"quote": secrets.cut(one)}) if isinstance(one, Quote) else one for one in claim.evidence
    ]
    return claim.model_copy(update={"text": secrets.hide(claim.text), "evidence": cut})


def lines_of(folder: Path) -> list[str]:
    """Every hand-off of the run in `folder` in a line, from the desk's own files: id, peer, state, question."""
    found = []
    for path in sorted((folder / "handoffs").glob("*.json")):
        entry = Entry.model_validate_json(path.read_bytes())
        one = entry.handoff
        state = one.state.value if entry.ended else "under way"
        found.append(f"{one.id} to {one.peer} ({state}): {one_line(one.question)}")
    return found
