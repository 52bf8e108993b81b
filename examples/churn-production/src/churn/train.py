"""Train, evaluate on a held-out quarter, and write artefact, metadata and metrics."""

from __future__ import annotations

import argparse
import json
import logging
import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import sklearn
from sklearn.dummy import DummyClassifier
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from churn.config import Params
from churn.data import FEATURES, TARGET, load_customers
from churn.features import build_pipeline
from churn.logs import configure_logging
from churn.profile import profile
from churn.store import save, sha256

log = logging.getLogger(__name__)


def split(table: pd.DataFrame, params: Params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and held-out customers. Everything that is fitted is fitted on the first alone."""
    train, test = train_test_split(
        table, test_size=params.split.test_size, stratify=table[TARGET], random_state=params.seed
    )
    return train, test


def evaluate(model: Pipeline, baseline: DummyClassifier, test: pd.DataFrame) -> dict[str, Any]:
    """Metrics on the held-out customers: overall, against the baseline, and for each kind of contract."""
    truth = test[TARGET]
    score = pd.Series(model.predict_proba(test[FEATURES])[:, 1], index=test.index)
    naive = baseline.predict_proba(test[FEATURES])[:, 1]
    precision = average_precision_score(truth, score)
    slices = {
        contract: {"rows": len(rows), "brier": brier_score_loss(rows[TARGET], score[rows.index])}
        for contract, rows in test.groupby("contract")
    }
    return {
        "rows": len(test),
        "roc_auc": roc_auc_score(truth, score),
        "average_precision": precision,
        "baseline_average_precision": average_precision_score(truth, naive),
        "lift_over_baseline": precision - average_precision_score(truth, naive),
        "f1": f1_score(truth, score >= 0.5),
        "brier": brier_score_loss(truth, score),
        "worst_slice_brier": max(part["brier"] for part in slices.values()),
        "slices": slices,
    }


def run(params: Params, out: Path) -> dict[str, Any]:
    """Train and save one model; returns its metrics."""
    train, test = split(load_customers(params.data), params)
    model = build_pipeline(params.model, params.seed)
    model.fit(train[FEATURES], train[TARGET])
    baseline = DummyClassifier(strategy="prior").fit(train[FEATURES], train[TARGET])
    metrics = evaluate(model, baseline, test)
    data_hash = sha256(params.data)
    metadata = {
        "model_version": f"{version('churn')}+{data_hash[:8]}",
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_sha": os.environ.get("GIT_SHA", "unknown"),
        "data_sha256": data_hash,
        "params": params.model_dump(mode="json", exclude={"data"}),
        "scikit_learn": sklearn.__version__,
        "features": {name: str(dtype) for name, dtype in train[FEATURES].dtypes.items()},
        "reference": profile(train),
        "metrics": metrics,
    }
    save(model, metadata, out)
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    args = parser.parse_args()
    configure_logging()
    metrics = run(Params.read(args.params), args.out)
    args.metrics.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    log.info("trained", extra={"fields": {key: metrics[key] for key in ("roc_auc", "average_precision", "brier")}})


if __name__ == "__main__":
    main()
