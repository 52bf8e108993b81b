"""`local`: the peer as an agent in this process, by a function that the agent room hands in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ml_engineer.delegation.transports.base import Ask, Written


class RunPeer(Protocol):
    """Runs an agent with the peer's prompt, its subset of the tools and a context of its own, on `ask.brief`.

    Every call of a model must draw on `ask.purse`: what that says was spent is what the hand-off has cost.
    """

    async def __call__(self, ask: Ask) -> Written: ...


@dataclass(frozen=True, slots=True)
class Local:
    run: RunPeer
    name: str = "local"

    async def ask(self, ask: Ask) -> Written:
        return await self.run(ask)
