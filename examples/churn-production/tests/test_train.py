import json
from pathlib import Path

import numpy as np
import pandas as pd

from churn.config import Params
from churn.data import FEATURES, load_customers
from churn.features import add_derived, build_pipeline
from churn.gate import shortfalls
from churn.store import load
from churn.train import split

PARAMS = Params.read(Path(__file__).parent.parent / "params.yaml")


def test_no_customer_is_on_both_sides_of_the_split():
    train, test = split(load_customers(PARAMS.data), PARAMS)
    assert not set(train.index) & set(test.index)
    assert abs(train["churned"].mean() - test["churned"].mean()) < 0.01


def test_training_twice_gives_the_same_model():
    train, test = split(load_customers(PARAMS.data), PARAMS)
    scores = [
        build_pipeline(PARAMS.model, PARAMS.seed).fit(train[FEATURES], train["churned"]).predict_proba(test[FEATURES])
        for _ in range(2)
    ]
    assert np.array_equal(*scores)


def test_derived_columns_leave_the_input_alone():
    table = pd.DataFrame({"tenure_months": [0.0, 12.0], "total_charges": [10.0, 120.0]})
    before = table.copy()
    derived = add_derived(table)
    assert derived["spend_per_month"].tolist() == [10.0, 10.0]
    assert derived["is_new"].tolist() == [1.0, 0.0]
    pd.testing.assert_frame_equal(table, before)


def test_more_support_calls_never_lower_the_risk(trained, metadata, customer):
    pipeline = load(trained, metadata["model_sha256"]).pipeline
    table = pd.DataFrame([{**customer, "support_calls": calls} for calls in range(8)])
    assert np.all(np.diff(pipeline.predict_proba(table)[:, 1]) > 0)


def test_the_model_passes_the_gate_and_a_weak_one_does_not(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert shortfalls(metrics, PARAMS.gate) == []
    weak = {**metrics, "roc_auc": 0.6, "worst_slice_brier": float("nan")}
    assert [line.split()[0] for line in shortfalls(weak, PARAMS.gate)] == ["roc_auc", "worst_slice_brier"]


def test_metadata_says_where_the_model_comes_from(metadata):
    assert metadata["params"]["seed"] == PARAMS.seed
    assert len(metadata["data_sha256"]) == 64
    assert metadata["model_version"].startswith("1.4.0+")
    assert set(metadata["reference"]) == set(FEATURES)
