"""What a server may spend on models in all, beside the cap of one call.

with allowance.part(choice) as part:      its cap is held back, so that calls at once cannot pass the sum
    … part.choice …                       the model's options, with what this call may spend at most
    part.begins()                         from here on it counts with its whole cap,
    part.spent(usage)                     unless what it has spent comes to be known
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from ml_engineer.interfaces.model import ModelChoice
from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.serve.common import Refused
from ml_engineer.report.schema import Usage


@dataclass
class Part:
    """One call's part. `before` of `spent` is what an earlier process has spent on the same conversation."""

    choice: ModelChoice
    cost: Decimal | None = Decimal(0)  # None where it is not known

    def begins(self) -> None:
        self.cost = None

    def spent(self, usage: Usage, before: Usage | None = None) -> None:
        if usage.cost_usd != "unpriced":
            earlier = before.cost_usd if before is not None and before.cost_usd != "unpriced" else 0.0
            self.cost = Decimal(str(usage.cost_usd)) - Decimal(str(earlier))


@dataclass
class Allowance:
    """`total` in US dollars, None for no limit. No method awaits, so within one event loop each is atomic."""

    total: Decimal | None = None
    gone: Decimal = field(default=Decimal(0), init=False)
    held: Decimal = field(default=Decimal(0), init=False)

    @classmethod
    def of(cls, total: str | None, choice: ModelChoice) -> Allowance:
        """From the option. Refusal where the cap of one call, which is held back for it, is not given."""
        if total is not None and choice.max_cost is None:
            raise Refusal("--max-total-cost needs --max-cost: what one call may cost is held back while it works")
        return cls(Decimal(total) if total is not None else None)

    @contextlib.contextmanager
    def part(self, choice: ModelChoice) -> Iterator[Part]:
        """Refused where nothing is left."""
        if self.total is None or choice.offline:
            yield Part(choice)
            return
        assert choice.max_cost is not None, "of() has seen to it"
        cap = min(Decimal(choice.max_cost), self.total - self.gone - self.held)
        if cap <= 0:
            held = f", and ${self.held} are held back for calls at work" if self.held else ""
            raise Refused(
                f"this server may spend ${self.total} on models in all; ${self.gone} are spent{held}. Its user can "
                "start it again, with more --max-total-cost. What needs no model works."
            )
        self.held += cap
        part = Part(replace(choice, max_cost=str(cap)))
        try:
            yield part
        finally:
            self.held -= cap
            self.gone += cap if part.cost is None else part.cost
