"""The desk: where a hand-off becomes a brief, a question to a peer, and a reply that is kept.

    desk = Desk(...)
    done = await desk.hand(handoff)        # never raises for what a peer does: the state says how it ended

Each hand-off has files of its own in the run: `handoffs/<id>.md` (the brief), `<id>.reply.txt` (what the peer wrote)
and `<id>.json`, the ledger: how often the peer was asked, and the hand-off as it stands. The ledger is written before
the peer is asked and after it has answered. So a resumed run keeps what is answered, asks once more what was under way,
and gives up on what was interrupted twice rather than pay a third time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from ml_engineer.delegation import brief
from ml_engineer.delegation.limits import Chain, Purse, Refused, Tree
from ml_engineer.delegation.peers import Peer
from ml_engineer.delegation.reply import MAX_REPLY, failed, parse_reply
from ml_engineer.delegation.settings import PeerSettings
from ml_engineer.delegation.transports.base import Ask, Declined, Transport, TransportError, Written
from ml_engineer.delegation.transports.local import Local
from ml_engineer.report.schema import Handoff, HandoffState, PeerReply, Usage

MAX_BEGUN = 2  # times a peer is asked the same over interruptions: once, and once more after a kill
RETRIES = 2  # further tries where the peer has certainly not begun
BACKOFF = 0.5  # seconds before the first further try, doubled for the next
STOP_GRACE = 5.0  # seconds that a cancelled transport has to clean up
_LEDGERS = "handoffs/*.json"


class Store(Protocol):
    """Where a run keeps its artefacts; `Run` of the agent room is one."""

    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, data: bytes) -> None: ...
    def names(self, pattern: str) -> list[str]: ...


class Listener(Protocol):
    """Told what happens to hand-offs: asked, answered, declined, failed, queued."""

    def __call__(self, kind: str, /, **data: Any) -> None: ...


class Entry(BaseModel):
    """The ledger of one hand-off. `begun` counts how often the peer was asked."""

    model_config = ConfigDict(extra="forbid")
    begun: int
    ended: bool
    handoff: Handoff


def _silent(kind: str, /, **data: Any) -> None:
    """Nobody listens."""


@dataclass
class Desk:
    """Makes the hand-offs of one run. `transports` by peer; a peer without one gets its brief queued."""

    peers: Mapping[str, Peer]
    transports: Mapping[str, Transport]
    tree: Tree
    store: Store
    root: Path
    repository: str
    listen: Listener = _silent
    hide: Callable[[str], str] = str  # takes the repository's secrets out of what a model writes to a peer
    _asking: dict[str, asyncio.Lock] = field(default_factory=dict)

    def reachable(self, chain: Chain) -> list[Peer]:
        """The peers that the last of `chain` may ask and that can answer."""
        if len(chain) > self.tree.settings.depth:
            return []
        return [self.peers[name] for name in sorted(self.transports) if name in self.peers and name not in chain]

    async def hand(self, handoff: Handoff, chain: Chain, purse: Purse | None = None) -> Handoff:
        """Ask the peer, or give what it answered before. The result is never in doubt: it has a final state."""
        async with self._asking.setdefault(handoff.id, asyncio.Lock()):
            texts = {name: self.hide(getattr(handoff, name)) for name in ("question", "context", "expected")}
            entry = Entry(begun=0, ended=False, handoff=handoff.model_copy(update=texts))
            try:
                entry = self._entry(handoff) or entry
                if entry.ended:
                    return entry.handoff
                if entry.begun >= MAX_BEGUN:
                    raise Refused(f"the run was interrupted {entry.begun} times while {handoff.peer} was asked")
                return await self._hand(entry, chain, purse)
            except Refused as refusal:
                return self._end(entry, failed(f"not asked: {refusal}", begun=entry.begun > 0))

    def ended(self) -> dict[str, Handoff]:
        """Every hand-off of the run that has come to its end, by its id, whoever asked."""
        entries = [_parsed(self.store.read(name) or b"") for name in self.store.names(_LEDGERS)]
        return {entry.handoff.id: entry.handoff for entry in entries if entry is not None and entry.ended}

    def recall(self) -> None:
        """Count what an earlier process of this run has asked and spent. To be called once, before anybody is asked."""
        for handoff in self.ended().values():
            if handoff.reply is not None:
                ours = isinstance(self.transports.get(handoff.peer), Local)  # its tokens were counted, priced or not
                self.tree.begun += 1
                self.tree.purse.charge(handoff.reply.usage, 0.0 if ours else self._settings(handoff.peer).max_cost)

    # --- one hand-off ---------------------------------------------------------------------------------------------

    async def _hand(self, entry: Entry, chain: Chain, purse: Purse | None) -> Handoff:
        handoff = entry.handoff
        peer = self.peers.get(handoff.peer)
        if peer is None:
            raise Refused(f"there is no peer {handoff.peer}; `ml-engineer peers` lists them")
        settings = self._settings(peer.name)
        transport = self.transports.get(peer.name)
        if transport is None:
            entry.handoff, _ = self._brief(handoff, peer, chain, settings)
            return self._end(entry, None)
        async with self.tree.enter(chain, peer.name, settings.max_cost, purse) as share:
            entry.handoff, text = self._brief(handoff, peer, chain, settings)
            entry.begun += 1
            self._keep(entry)
            self.listen("handoff", id=handoff.id, peer=peer.name, state="asked", transport=transport.name)
            ask = Ask(entry.handoff, peer, text, (*chain, peer.name), self.root, settings.timeout, share, self)
            reply = await self._ask(transport, ask)
            if isinstance(transport, Local):  # its calls have drawn on the purse themselves, however it ended
                reply = reply.model_copy(update={"usage": share.spent()})
            else:
                share.charge(reply.usage, self.tree.share(chain, settings.max_cost))
            return self._end(entry, reply)

    async def _ask(self, transport: Transport, ask: Ask) -> PeerReply:
        """The reply, whatever happens: what goes wrong is a failed reply that says what."""
        wait = BACKOFF
        for left in range(RETRIES, -1, -1):
            try:
                written = await _within(transport.ask(ask), ask.timeout)
            except Declined as declined:
                return PeerReply(state=HandoffState.DECLINED, answer=str(declined), usage=Usage(cost_usd="unpriced"))
            except TimeoutError:
                return failed(f"no reply within {ask.timeout:g} s; the peer was stopped")
            except Refused as refusal:
                return failed(str(refusal))
            except TransportError as error:
                if not (error.again and left):
                    return failed(f"{transport.name}: {error}", begun=error.begun)
            except Exception as error:  # a peer is foreign: its faults end its own hand-off and nothing else
                return failed(f"{transport.name}: {type(error).__name__}: {error}"[:500])
            else:
                return self._received(ask, written.text)
            await asyncio.sleep(wait)
            wait *= 2
        raise AssertionError("the last try returns")

    def _received(self, ask: Ask, text: str) -> PeerReply:
        self.store.write(f"handoffs/{ask.handoff.id}.reply.txt", text[:MAX_REPLY].encode("utf-8", "replace"))
        return parse_reply(text)

    # --- the files ------------------------------------------------------------------------------------------------

    def _brief(self, handoff: Handoff, peer: Peer, chain: Chain, settings: PeerSettings) -> tuple[Handoff, str]:
        text = brief.render(
            handoff,
            peer,
            asker=chain[-1],
            repository=self.repository,
            timeout=settings.timeout,
            cost=f"${self.tree.share(chain, settings.max_cost):g}",
            deeper=self.tree.deeper(chain),
        )
        name = f"handoffs/{handoff.id}.md"
        self.store.write(name, text.encode("utf-8", "replace"))
        return handoff.model_copy(update={"brief": name}), text

    def _entry(self, handoff: Handoff) -> Entry | None:
        """What the ledger says of this hand-off. Without it nobody knows whether the peer was asked: then it is not."""
        data = self.store.read(_ledger(handoff))
        try:
            return None if data is None else Entry.model_validate_json(data)
        except ValidationError as error:
            raise Refused(f"its ledger {_ledger(handoff)} was damaged ({error.error_count()} faults)") from error

    def _keep(self, entry: Entry) -> None:
        self.store.write(_ledger(entry.handoff), entry.model_dump_json().encode())

    def _end(self, entry: Entry, reply: PeerReply | None) -> Handoff:
        """Keep how it ended. Without a reply it is queued, and a later run with a transport may ask."""
        state = reply.state if reply is not None else HandoffState.QUEUED
        entry.handoff = entry.handoff.model_copy(update={"state": state, "reply": reply})
        entry.ended = True
        self._keep(entry)
        error = {"error": reply.error} if reply is not None and reply.error else {}
        self.listen("handoff", id=entry.handoff.id, peer=entry.handoff.peer, state=state.value, **error)
        return entry.handoff

    def _settings(self, name: str) -> PeerSettings:
        return self.tree.settings.peers.get(name, PeerSettings())


def _ledger(handoff: Handoff) -> str:
    return f"handoffs/{handoff.id}.json"


def _parsed(data: bytes) -> Entry | None:
    """The ledger, or None where it cannot be read: `hand` says so as soon as that hand-off is asked for."""
    try:
        return Entry.model_validate_json(data)
    except ValidationError:
        return None


async def _within(work: Coroutine[Any, Any, Written], seconds: float) -> Written:
    """The result, or TimeoutError. What ignores its cancellation is left behind: nothing hangs."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=STOP_GRACE)
        raise
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=STOP_GRACE)
        raise TimeoutError
    return task.result()
