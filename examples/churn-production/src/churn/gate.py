"""Stop a release whose metrics are below the thresholds in params.yaml."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from churn.config import Gate, Params


def shortfalls(metrics: Mapping[str, float], gate: Gate) -> list[str]:
    """One line for each threshold that is missed; empty when the model may be released."""
    lower_bounds = {name: getattr(gate, name) for name in ("roc_auc", "average_precision", "lift_over_baseline")}
    missed = [
        f"{name} is {metrics[name]:.3f}, needs at least {bound}"
        for name, bound in lower_bounds.items()
        if not metrics[name] >= bound
    ]
    if not metrics["worst_slice_brier"] <= gate.worst_slice_brier:
        missed.append(f"worst_slice_brier is {metrics['worst_slice_brier']:.3f}, at most {gate.worst_slice_brier}")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    args = parser.parse_args()
    missed = shortfalls(json.loads(args.metrics.read_text(encoding="utf-8")), Params.read(args.params).gate)
    sys.exit("\n".join(missed) if missed else 0)


if __name__ == "__main__":
    main()
