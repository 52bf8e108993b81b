"""What the training data looked like: bins and shares for each feature, kept beside the model for the drift job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from churn.data import CATEGORIES, NUMBERS

BINS = 10


def profile(table: pd.DataFrame) -> dict[str, dict[str, list[Any]]]:
    """For each feature its `edges` (numbers) or `values` (categories), and the share of rows in each bin."""
    result: dict[str, dict[str, list[Any]]] = {}
    for name in NUMBERS:
        quantiles = table[name].quantile(np.linspace(0, 1, BINS + 1)[1:-1])
        edges = sorted({float(edge) for edge in quantiles})
        bins = np.searchsorted(edges, table[name].dropna(), side="right")
        shares = np.bincount(bins, minlength=len(edges) + 1) / max(len(bins), 1)
        result[name] = {"edges": edges, "shares": shares.tolist()}
    for name, values in CATEGORIES.items():
        shares = table[name].value_counts(normalize=True)
        result[name] = {"values": values, "shares": [float(shares.get(value, 0.0)) for value in values]}
    return result


def bin_of(reference: Mapping[str, list[Any]], value: float | str) -> int:
    """Index of the bin that a value falls into. Logging bins instead of values keeps customers out of the log."""
    if "values" in reference:
        return reference["values"].index(value)
    return int(np.searchsorted(reference["edges"], value, side="right"))


def psi(expected: list[float], actual: list[float], floor: float = 1e-4) -> float:
    """Population stability index of two lists of shares: 0 is equal, above 0.2 is usually called drift."""
    pairs = [(max(e, floor), max(a, floor)) for e, a in zip(expected, actual, strict=True)]
    return sum((a - e) * math.log(a / e) for e, a in pairs)
