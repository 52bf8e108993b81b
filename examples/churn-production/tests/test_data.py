from pathlib import Path

import pandas as pd
import pandera.errors
import pytest

from churn.data import load_customers

DATA = Path(__file__).parent.parent / "data" / "customers.csv"


def test_the_table_in_use_is_valid():
    table = load_customers(DATA)
    assert len(table) == 900
    assert table.index.is_unique
    assert set(table["internet"]) == {"none", "dsl", "fiber"}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tenure_months", -1),
        ("contract", "weekly"),
        ("churned", 2),
        ("monthly_charges", None),
        ("customer_id", "C10001"),
    ],
)
def test_a_broken_row_is_refused(tmp_path, column, value):
    table = pd.read_csv(DATA, keep_default_na=False, na_values=[""])
    table.loc[0, column] = value
    path = tmp_path / "customers.csv"
    table.to_csv(path, index=False)
    with pytest.raises((pandera.errors.SchemaError, ValueError)):
        load_customers(path)


def test_too_many_missing_charges_are_refused(tmp_path):
    table = pd.read_csv(DATA, keep_default_na=False, na_values=[""])
    table.loc[:100, "total_charges"] = None
    path = tmp_path / "customers.csv"
    table.to_csv(path, index=False)
    with pytest.raises(pandera.errors.SchemaError, match="without total_charges"):
        load_customers(path)
