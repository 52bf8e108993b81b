"""What a transport is: it carries a brief to a peer and brings back what the peer wrote."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ml_engineer.delegation.limits import Chain, Purse
from ml_engineer.delegation.peers import Peer
from ml_engineer.report.schema import Handoff, Usage


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
    """One hand-off as a transport gets it. `chain` ends with the peer itself; `root` is the target's folder."""

    handoff: Handoff
    peer: Peer
    brief: str
    chain: Chain
    root: Path
    timeout: float
    purse: Purse


@dataclass(frozen=True, slots=True)
class Written:
    """What the peer wrote. `usage` is what our own side counted, None where only the reply itself can say."""

    text: str
    usage: Usage | None = None


class Transport(Protocol):
    """One way to one peer."""

    @property
    def name(self) -> str: ...

    async def ask(self, ask: Ask) -> Written:
        """Ask, and wait for the whole reply. Raises TransportError or Declined.

        The caller watches the time: when it cancels, nothing of the peer that is ours to stop may go on.
        """
        ...


GRACE = 5.0  # seconds that a client waits beyond the hand-off's own time: the desk decides when it is over
MAX_WIRE = 8_000_000  # bytes of one HTTP response, progress events included


async def capped(stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The chunks of an HTTP body, until there are more than anybody will read."""
    seen = 0
    async for chunk in stream:
        seen += len(chunk)
        if seen > MAX_WIRE:
            raise TransportError(f"the peer's response is larger than {MAX_WIRE:,} bytes")
        yield chunk


def refuse_encoded(headers: Mapping[str, str]) -> None:
    """We ask for plain bodies: a packed one could unfold to any size behind the cap."""
    if headers.get("content-encoding", "identity") not in ("", "identity"):
        raise TransportError(f"the peer's response is packed ({headers['content-encoding']}) though we asked for plain")


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it came from, and what is grouped in it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def as_transport_error(error: Exception, not_begun: Callable[[BaseException], bool]) -> TransportError:
    """What a client library raised, as a message for the report, with whether asking again is safe."""
    chain = list(causes(error))
    for one in chain:
        if isinstance(one, TransportError):
            return one
    first = next((one for one in chain if not isinstance(one, BaseExceptionGroup)), error)
    text = f"{type(first).__name__}: {first}".rstrip(": ")
    return TransportError(text[:500], again=any(not_begun(one) for one in chain))


def token(variable: str | None) -> str | None:
    """The token in this environment variable. Raises TransportError where it is named and not set."""
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise TransportError(f"the environment variable {variable}, named by token_env, is not set", begun=False)
    return value
