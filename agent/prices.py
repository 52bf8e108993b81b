"""What tokens cost: a dated table, and arithmetic in decimals. A model that is not in it is unpriced, never free."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Any

BATCH_TIER = "batch"  # what the wire's usage says of a call of the Message Batches API
BATCH_SHARE = Decimal("0.5")  # of the price, for such a call
_MILLION = Decimal(1_000_000)
_DATED_ID = re.compile(r"-20\d{6}$")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one or many calls. `input` is what was neither read from nor written to the cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0  # part of what was written, at its own price

    @classmethod
    def of(cls, usage: dict[str, Any]) -> Tokens:
        """From the wire's usage; every part of it may be missing, or be null."""
        written = _count(usage, "cache_creation_input_tokens")
        split = usage.get("cache_creation")
        hour = _count(split, "ephemeral_1h_input_tokens") if isinstance(split, dict) else 0
        return cls(
            _count(usage, "input_tokens"),
            _count(usage, "output_tokens"),
            _count(usage, "cache_read_input_tokens"),
            max(0, written - hour),
            hour,
        )

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.cache_write_1h + other.cache_write_1h,
        )

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h

    @property
    def total(self) -> int:
        return self.prompt + self.output


def _count(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value > 0 else 0


@functools.cache
def _table() -> dict[str, Any]:
    text = resources.files("ml_engineer.agent").joinpath("prices.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def dated() -> str:
    """The day of which the prices are."""
    return str(_table()["dated"])


def is_priced(model: str) -> bool:
    return _tiers(model) is not None


def cost(model: str, tokens: Tokens) -> Decimal | None:
    """US dollars for the tokens of one call, or None for a model without a price."""
    tiers = _tiers(model)
    if tiers is None:
        return None
    tier = next(one for one in tiers if tokens.prompt <= one.get("prompt_up_to", tokens.prompt))
    kinds = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
    return sum((Decimal(tier[kind]) * getattr(tokens, kind) for kind in kinds), Decimal(0)) / _MILLION


def bill(model: str, usage: dict[str, Any]) -> Decimal | None:
    """US dollars for one call as the server has counted it: half, where it was answered in a message batch."""
    price = cost(model, Tokens.of(usage))
    return price if price is None or usage.get("service_tier") != BATCH_TIER else price * BATCH_SHARE


def _tiers(model: str) -> list[dict[str, Any]] | None:
    """Prices by size of the prompt. An id with a date behind it is the same model."""
    models = _table()["models"]
    found: list[dict[str, Any]] | None = models.get(model) or models.get(_DATED_ID.sub("", model))
    return found
