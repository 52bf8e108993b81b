"""Limits over the whole tree of agents: how deep, how many, how many at once, no circle, never above the budget.

    tree = Tree(settings, purse)
    async with tree.enter(chain, "data-scientist", max_cost) as purse:      # Refused when it may not be
        ...                                                                 # purse is the peer's own share

`chain` are the agents above, the first being the one that the user asked: ("ml-engineer", "data-scientist").
Each level of the tree has its own slots. One pool for all levels would lock up as soon as every slot is held by a peer
that waits for a peer of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from ml_engineer.delegation.settings import Settings
from ml_engineer.report.schema import Usage

ROOT = "ml-engineer"
CHAIN_VARIABLE = "ML_ENGINEER_CHAIN"
Chain = tuple[str, ...]


class Refused(Exception):
    """A hand-off that may not be made. The message names the limit."""


class Purse(Protocol):
    """A budget, as far as delegation needs one. The agent's own budget stands behind it."""

    def reserve(self, name: str, max_cost: float) -> AbstractContextManager[Purse]:
        """A share in US dollars, held back from all others until the end. Raises Refused when so much is not left."""
        ...

    def charge(self, usage: Usage, unknown: float) -> None:
        """Count what a peer outside of this process says it spent; a cost that it does not say weighs `unknown`."""
        ...

    def spent(self) -> Usage:
        """What the owner of this purse has spent in this process, without those that it asked."""
        ...


class Unlimited:
    """A purse for where no budget was set."""

    def reserve(self, name: str, max_cost: float) -> AbstractContextManager[Purse]:
        return nullcontext(self)

    def charge(self, usage: Usage, unknown: float) -> None:
        """Nothing to keep: the usage stands in the reply."""

    def spent(self) -> Usage:
        """Nobody has counted."""
        return Usage(cost_usd="unpriced")


def chain_from(environ: Mapping[str, str] = os.environ) -> Chain:
    """The chain that this process was started in: a peer that is an ml-engineer itself continues it."""
    above = tuple(name for name in environ.get(CHAIN_VARIABLE, "").split(",") if name)
    return above or (ROOT,)


@dataclass
class Tree:
    """The limits of one run and what has been used of them."""

    settings: Settings
    purse: Purse = field(default_factory=Unlimited)
    begun: int = 0
    _slots: dict[int, asyncio.Semaphore] = field(default_factory=dict)

    @asynccontextmanager
    async def enter(self, chain: Chain, peer: str, max_cost: float, purse: Purse | None = None) -> AsyncIterator[Purse]:
        """Room for one hand-off of the last of `chain` to `peer`, once a slot is free. Raises Refused.

        `purse` is what the asking agent itself may spend, the whole run's by default.
        """
        self._check(chain, peer)
        self.begun += 1
        slots = self._slots.setdefault(len(chain), asyncio.Semaphore(self.settings.parallel))
        async with slots:
            with (purse or self.purse).reserve(peer, self.share(chain, max_cost)) as share:
                yield share

    def _check(self, chain: Chain, peer: str) -> None:
        if peer in chain:
            raise Refused(f"{peer} is asked already: {' → '.join([*chain, peer])} would be a circle")
        if len(chain) > self.settings.depth:
            raise Refused(f"{' → '.join([*chain, peer])} is deeper than {self.settings.depth} levels")
        if self.begun >= self.settings.hand_offs:
            raise Refused(f"{self.settings.hand_offs} hand-offs have been made, which is the limit over the whole tree")

    def share(self, chain: Chain, max_cost: float) -> float:
        """What a peer asked by the last of `chain` may cost: half as much each level down, as it comes out of the share
        of the one that asks."""
        return float(max_cost / 2 ** (len(chain) - 1))

    def deeper(self, chain: Chain) -> int:
        """How many levels a peer that is asked by the last of `chain` may ask on."""
        return max(0, self.settings.depth - len(chain))
