"""The customer table: columns, types and ranges. Nothing is trained on a table that breaks them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.pandas as pa

TARGET = "churned"
CONTRACTS = ["month-to-month", "one-year", "two-year"]
INTERNET = ["none", "dsl", "fiber"]
YES_NO = ["yes", "no"]
CATEGORIES: dict[str, list[str]] = {
    "contract": CONTRACTS,
    "internet": INTERNET,
    "paperless": YES_NO,
    "partner": YES_NO,
    "dependents": YES_NO,
}
NUMBERS: dict[str, tuple[float, float]] = {
    "tenure_months": (0, 600),
    "support_calls": (0, 200),
    "monthly_charges": (0, 1_000),
    "total_charges": (0, 600_000),
}
FEATURES = [*NUMBERS, *CATEGORIES]
MAX_MISSING_CHARGES = 0.05

SCHEMA = pa.DataFrameSchema(
    {
        "customer_id": pa.Column(str, unique=True),
        **{
            name: pa.Column(float, pa.Check.in_range(low, high), nullable=name == "total_charges")
            for name, (low, high) in NUMBERS.items()
        },
        **{name: pa.Column(str, pa.Check.isin(values)) for name, values in CATEGORIES.items()},
        TARGET: pa.Column(int, pa.Check.isin([0, 1])),
    },
    checks=pa.Check(
        lambda table: table["total_charges"].isna().mean() <= MAX_MISSING_CHARGES,
        error="too many customers without total_charges",
    ),
    strict=True,
)
DTYPES = {
    "customer_id": "str",
    **dict.fromkeys(NUMBERS, "float64"),
    **dict.fromkeys(CATEGORIES, "str"),
    TARGET: "int64",
}


def load_customers(path: Path) -> pd.DataFrame:
    """The validated table, indexed by customer. Raises `pandera.errors.SchemaError` with the first broken check."""
    table = pd.read_csv(path, usecols=list(DTYPES), dtype=DTYPES, keep_default_na=False, na_values=[""])
    return SCHEMA.validate(table).set_index("customer_id")
