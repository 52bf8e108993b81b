"""What a transport is: it carries a brief to a peer and brings back what the peer wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ml_engineer.delegation.limits import Chain, Purse
from ml_engineer.delegation.peers import Peer
from ml_engineer.report.schema import Handoff

if TYPE_CHECKING:
    from ml_engineer.delegation.desk import Desk


class TransportError(Exception):
    """The peer could not be asked, or gave no reply. The message is for the report.

    `begun` False says that the peer has certainly not begun: it cost nothing, and with `again` it may be worth asking
    once more, which does nothing twice.
    """

    def __init__(self, message: str, *, begun: bool = True, again: bool = False) -> None:
        super().__init__(message)
        self.begun = begun and not again
        self.again = again


class Declined(Exception):
    """The peer says that it will not answer, with its reason."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One hand-off as a transport gets it. `chain` ends with the peer itself; `root` is the target's folder.

    A peer in this process hands on through `desk`, as the last of `chain`, and spends from `purse`.
    """

    handoff: Handoff
    peer: Peer
    brief: str
    chain: Chain
    root: Path
    timeout: float
    purse: Purse
    desk: Desk


@dataclass(frozen=True, slots=True)
class Written:
    """What the peer wrote."""

    text: str


class Transport(Protocol):
    """One way to one peer."""

    @property
    def name(self) -> str: ...

    async def ask(self, ask: Ask) -> Written:
        """Ask, and wait for the whole reply. Raises TransportError or Declined.

        The caller watches the time: when it cancels, nothing of the peer that is ours to stop may go on.
        """
        ...
