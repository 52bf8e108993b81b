"""Hard caps on cost, tokens, turns and wall time over a tree of agents, checked before each call of the model.

    run = Budget(Caps(cost=Decimal(5), turns=200))
    with run.reserve("data-scientist", Caps(cost=Decimal(1))) as share:      # a peer's part, held back from the others
        with share.call(model, prompt_tokens) as call:                       # BudgetSpent when it would not fit
            call.spent(usage)                                                # as the server counted

A call in flight counts with an estimate until the server has said what it took, so that agents that ask at the same
moment see each other. What an answer costs beyond its estimate is the only way past a cap, once per call in flight.
A model without a price is "unpriced": a cap on cost then needs a cap on tokens beside it, or no call is made at all.
No method awaits, so within one event loop each is atomic.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ml_engineer.agent import prices
from ml_engineer.agent.prices import Tokens
from ml_engineer.report.schema import TokenUsage, Usage

EXPECTED_ANSWER = 1_000  # tokens that a call in flight is counted with beside its prompt, until one was longer
MAX_SCALE = 10.0


class BudgetSpent(Exception):
    """The next call would not fit. `what` is cost, tokens, turns, time or price; the message is for the user."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


@dataclass(frozen=True)
class Caps:
    """Limits; None is no limit. `cost` in US dollars, `seconds` of wall time that is worked."""

    cost: Decimal | None = None
    tokens: int | None = None
    turns: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("cost", "tokens", "turns", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"the cap on {name} must be above zero, not {value}")


@dataclass
class _Sum:
    """What was spent, or is being."""

    turns: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)

    def add(self, turns: int, tokens: int, cost: Decimal) -> None:
        self.turns += turns
        self.tokens += tokens
        self.cost += cost


class Budget:
    """One agent's budget. What it spends, its parents have spent too. `worked` are the seconds that earlier processes
    have worked on the same: a cap on time does not start afresh when a run is resumed."""

    def __init__(
        self, caps: Caps | None = None, *, name: str = "", parent: Budget | None = None, worked: float = 0.0
    ) -> None:
        self.caps = caps or Caps()
        self.name = name
        self.parent = parent
        self._started = time.monotonic() - worked
        self._spent = _Sum()  # by this agent and all below it, calls in flight included
        self._shares: list[Budget] = []  # of the agents below, while they work
        self._own_turns = 0
        self._own_tokens = Tokens()
        self._own_cost = Decimal(0)
        self._unpriced = False
        self._children: list[Budget] = []
        self._scale = 1.0  # tokens that the server counts for one that we expect; these two are kept at the root
        self._longest = EXPECTED_ANSWER

    # --- spending -------------------------------------------------------------------------------------------------

    @contextmanager
    def call(self, model: str, prompt_tokens: int) -> Iterator[Call]:
        """Room for one call. Raises BudgetSpent when there is none here or anywhere above."""
        estimate = self._root()._expected(prompt_tokens)
        cost = prices.cost(model, estimate)
        for budget, below in self._upwards():
            budget._check(model, 1, estimate.total, cost or Decimal(0), below)
        self._add(1, estimate.total, cost or Decimal(0))
        call = Call(self, model, prompt_tokens)
        try:
            yield call
        finally:
            self._add(0 if call.answered else -1, -estimate.total, -(cost or Decimal(0)))

    def record(self, model: str, usage: dict[str, Any]) -> None:
        """Count a call that was made before this process began, as a resumed run does."""
        self._add(1, 0, Decimal(0))
        self._count(model, usage)

    def charge(self, usage: Usage, unknown: Decimal) -> None:
        """Count what was spent outside of this process, though it be past a cap. A cost that is not known is billed as
        unpriced and weighs `unknown` against the caps."""
        counted = usage.tokens
        tokens = Tokens(counted.input, counted.output, counted.cache_read, counted.cache_write)
        cost = None if usage.cost_usd == "unpriced" else Decimal(str(usage.cost_usd))
        self._bill(usage.turns, tokens, cost)
        self._add(usage.turns, tokens.total, unknown if cost is None else cost)

    def _expected(self, prompt_tokens: int) -> Tokens:
        """What a call will take, by what calls have taken so far: servers count tokens differently."""
        return Tokens(input=int(prompt_tokens * self._scale), output=self._longest)

    def _learn(self, prompt_tokens: int, tokens: Tokens) -> None:
        read = tokens.input + tokens.cache_read + tokens.cache_write + tokens.cache_write_1h
        if prompt_tokens > 0:
            self._scale = min(MAX_SCALE, max(self._scale, read / prompt_tokens))
        self._longest = max(self._longest, tokens.output)

    def _root(self) -> Budget:
        return self if self.parent is None else self.parent._root()

    def _count(self, model: str, usage: dict[str, Any]) -> None:
        tokens, cost = Tokens.of(usage), prices.bill(model, usage)
        self._bill(1, tokens, cost)
        self._add(0, tokens.total, cost or Decimal(0))

    def _bill(self, turns: int, tokens: Tokens, cost: Decimal | None) -> None:
        self._own_turns += turns
        self._own_tokens += tokens
        self._own_cost += cost or Decimal(0)
        self._unpriced = self._unpriced or cost is None

    def _add(self, turns: int, tokens: int, cost: Decimal) -> None:
        for budget, _ in self._upwards():
            budget._spent.add(turns, tokens, cost)

    def _upwards(self) -> Iterator[tuple[Budget, Budget | None]]:
        """This budget and those above it, each with the one it was reached from."""
        below: Budget | None = None
        budget: Budget | None = self
        while budget is not None:
            yield budget, below
            below, budget = budget, budget.parent

    # --- checking -------------------------------------------------------------------------------------------------

    def _check(self, model: str, turns: int, tokens: int, cost: Decimal, below: Budget | None) -> None:
        caps = self.caps
        if caps.seconds is not None and time.monotonic() - self._started >= caps.seconds:
            raise self._refusal("time", f"{caps.seconds:g} s of wall time")
        if caps.cost is not None and caps.tokens is None and not prices.is_priced(model):
            known = f"the price of {model} is not known (prices of {prices.dated()})"
            raise BudgetSpent("price", f"{known}, so a cap on cost cannot be kept; give a cap on tokens instead")
        self._require(turns, tokens, cost, below)

    def _require(self, turns: int, tokens: int, cost: Decimal, below: Budget | None) -> None:
        """Raises BudgetSpent unless so much is left beside what is spent and what is held for others."""
        caps, spent, held = self.caps, self._spent, self._held(except_for=below)
        if caps.turns is not None and spent.turns + held.turns + turns > caps.turns:
            raise self._refusal("turns", f"{caps.turns} turns")
        if caps.tokens is not None and spent.tokens + held.tokens + tokens > caps.tokens:
            raise self._refusal("tokens", f"{caps.tokens:,} tokens")
        if caps.cost is not None and spent.cost + held.cost + cost > caps.cost:
            raise self._refusal("cost", f"${caps.cost}")

    def _held(self, except_for: Budget | None) -> _Sum:
        """What open shares have been promised and have not spent yet; a share may draw on its own."""
        held = _Sum()
        for share in self._shares:
            if share is not except_for:
                caps, spent = share.caps, share._spent
                held.turns += max(0, (caps.turns or 0) - spent.turns)
                held.tokens += max(0, (caps.tokens or 0) - spent.tokens)
                held.cost += max(Decimal(0), (caps.cost or Decimal(0)) - spent.cost)
        return held

    def _refusal(self, what: str, cap: str) -> BudgetSpent:
        whose = f" of {self.name}" if self.name else ""
        return BudgetSpent(what, f"the budget{whose} of {cap} does not allow another call")

    @property
    def turns_left(self) -> int | None:
        """How many turns this agent still has, by the tightest cap on turns; None without one."""
        left = [
            budget.caps.turns - budget._spent.turns - budget._held(below).turns
            for budget, below in self._upwards()
            if budget.caps.turns is not None
        ]
        return max(0, min(left)) if left else None

    # --- the tree -------------------------------------------------------------------------------------------------

    def child(self, name: str, caps: Caps | None = None) -> Budget:
        """An agent below this one, with caps of its own, drawing on the same pot as everybody."""
        child = Budget(caps, name=name, parent=self)
        self._children.append(child)
        return child

    @contextmanager
    def reserve(self, name: str, share: Caps) -> Iterator[Budget]:
        """A child whose share is held back from all others until the end; what it has not spent is given back.

        Raises BudgetSpent when so much is not left.
        """
        for budget, below in self._upwards():
            budget._require(share.turns or 0, share.tokens or 0, share.cost or Decimal(0), below)
        child = self.child(name, share)
        self._shares.append(child)
        try:
            yield child
        finally:
            self._shares.remove(child)

    # --- the bill -------------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        """What this agent and those below it have spent, as the report has it."""
        budgets = list(self._below())
        total = sum((one._own_tokens for one in budgets), Tokens())
        by_agent: dict[str, Usage] = {}
        for budget in budgets:
            if budget._own_turns and budget.name:
                named = [one for one in budgets if one.name == budget.name]
                by_agent[budget.name] = _usage(named)
        return _usage(budgets, total).model_copy(update={"by_agent": by_agent})

    def _below(self) -> Iterator[Budget]:
        yield self
        for child in self._children:
            yield from child._below()


def _usage(budgets: list[Budget], tokens: Tokens | None = None) -> Usage:
    tokens = sum((one._own_tokens for one in budgets), Tokens()) if tokens is None else tokens
    unpriced = any(one._unpriced for one in budgets)
    return Usage(
        turns=sum(one._own_turns for one in budgets),
        tokens=TokenUsage(
            input=tokens.input,
            output=tokens.output,
            cache_read=tokens.cache_read,
            cache_write=tokens.cache_write + tokens.cache_write_1h,
        ),
        cost_usd="unpriced" if unpriced else float(sum((one._own_cost for one in budgets), Decimal(0))),
    )


@dataclass
class Call:
    """One call in flight."""

    _budget: Budget
    _model: str
    _prompt_tokens: int
    answered: bool = field(default=False, init=False)

    def spent(self, usage: dict[str, Any]) -> None:
        """What the server counted, in the wire's form."""
        self.answered = True
        tokens = Tokens.of(usage)
        self._budget._root()._learn(self._prompt_tokens, tokens)
        self._budget._count(self._model, usage)
