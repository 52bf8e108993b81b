"""What commands that may use a model share: its settings, its limits, and the file where a run keeps them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from ml_engineer.interfaces.options import Refusal

if TYPE_CHECKING:
    from ml_engineer.agent.budget import Caps
    from ml_engineer.agent.client import Settings
    from ml_engineer.agent.runs import Run


class Money(click.ParamType[str]):
    """An amount in US dollars above zero, kept as it was written."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            amount = Decimal(0)
        if not (amount.is_finite() and amount > 0):
            self.fail(f"{value!r}: give an amount in US dollars above zero, for example 2.50", param, ctx)
        return str(amount)


@dataclass(frozen=True)
class ModelChoice:
    """The options, as a command got them or as a run kept them."""

    offline: bool = False
    model: str | None = None
    max_cost: str | None = None
    max_turns: int | None = None

    @classmethod
    def of(cls, meta: dict[str, Any]) -> ModelChoice:
        kept = meta.get("model_options") or {"offline": True}  # runs of before there were models
        return cls(**kept)

    def meta(self) -> dict[str, Any]:
        return {"model_options": dict(vars(self))}

    def settings(self) -> Settings | None:
        """Which model to ask; None without one. Raises Refusal where the configuration is wrong, or where --max-cost
        could not be kept."""
        if self.offline:
            return None
        from ml_engineer.agent import prices
        from ml_engineer.agent.client import ConfigError, find_settings

        try:
            settings = find_settings(self.model)
        except ConfigError as error:
            raise Refusal(f"{error}; or use --offline, to work without a model") from error
        if settings is not None and self.max_cost is not None and not prices.is_priced(settings.model):
            known = f"the price of {settings.model} is not known (prices of {prices.dated()})"
            raise Refusal(f"{known}, so --max-cost cannot be kept; give --max-turns instead")
        return settings

    def caps(self) -> Caps:
        from ml_engineer.agent.budget import Caps

        return Caps(cost=Decimal(self.max_cost) if self.max_cost else None, turns=self.max_turns)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --model, --max-cost and --max-turns."""
    for option in (
        click.option("--max-turns", type=click.IntRange(min=1), help="Stop asking the model after so many answers."),
        click.option("--max-cost", type=Money(), help="Stop asking the model before it has cost so many US dollars."),
        click.option("--model", help="The model to ask; else ML_ENGINEER_MODEL, config.toml or the default."),
    ):
        command = option(command)
    return command


def asks_peers(run: Run) -> bool:
    """Whether peers are asked in this run. With --offline nobody is: their briefs are queued."""
    return bool(run.meta.get("ask_peers", False))


@contextlib.contextmanager
def settings_refused(run: Run) -> Iterator[None]:
    """Around what reads the settings of delegation: where they are wrong, a Refusal says which."""
    from ml_engineer.delegation.settings import DelegationError

    try:
        yield
    except DelegationError as error:
        raise Refusal(f"{error}; then go on with: ml-engineer runs resume {run.id}") from error
