import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from churn.data import FEATURES, load_customers
from churn.drift import drift, recent
from churn.profile import bin_of, profile, psi

DATA = Path(__file__).parent.parent / "data" / "customers.csv"


def records(table, reference):
    for row in table[FEATURES].to_dict("records"):
        yield {"bins": {name: bin_of(reference[name], value) for name, value in row.items() if value == value}}


def test_the_training_data_does_not_drift_from_itself():
    table = load_customers(DATA)
    reference = profile(table)
    rows, indices = drift(reference, records(table, reference))
    assert rows == len(table)
    assert max(indices.values()) < 0.001


def test_a_price_rise_is_seen_in_the_charges_alone():
    table = load_customers(DATA)
    reference = profile(table)
    _, indices = drift(reference, records(table.assign(monthly_charges=table["monthly_charges"] * 1.4), reference))
    assert {name for name, value in indices.items() if value > 0.2} == {"monthly_charges"}


def test_psi_is_zero_for_equal_shares_and_finite_for_empty_bins():
    assert psi([0.5, 0.5], [0.5, 0.5]) == 0
    assert 1 < psi([1.0, 0.0], [0.0, 1.0]) < 100


def test_only_recent_predictions_count_and_those_of_every_pod(tmp_path):
    now = datetime.now(UTC)
    for pod, age in (("a.jsonl", 1), ("b.jsonl", 2), ("b.jsonl.1", 30)):
        (tmp_path / pod).write_text(json.dumps({"time": (now - timedelta(days=age)).isoformat(), "pod": pod}) + "\n")
    assert [record["pod"] for record in recent(tmp_path, now - timedelta(days=7))] == ["a.jsonl", "b.jsonl"]
