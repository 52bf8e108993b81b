"""Scheduled job: compare the inputs that were served with those of training. Exits 1 when one of them has moved."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from churn.logs import configure_logging
from churn.profile import psi

log = logging.getLogger(__name__)
LIMIT = 0.2
MIN_ROWS = 200


def drift(reference: dict[str, dict[str, Any]], records: Iterable[dict[str, Any]]) -> tuple[int, dict[str, float]]:
    """Number of predictions seen, and the stability index of each feature."""
    counts: dict[str, Counter[int]] = {name: Counter() for name in reference}
    rows = 0
    for record in records:
        rows += 1
        for name, index in record["bins"].items():
            counts[name][index] += 1
    result = {}
    for name, part in reference.items():
        total = sum(counts[name].values())
        if total:
            result[name] = psi(part["shares"], [counts[name][i] / total for i in range(len(part["shares"]))])
    return rows, result


def recent(folder: Path, since: datetime) -> Iterator[dict[str, Any]]:
    """Predictions recorded since then, by all pods: each writes its own file, and rotated files count too."""
    for path in sorted(folder.glob("*.jsonl*")):
        with path.open(encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                if datetime.fromisoformat(record["time"]) >= since:
                    yield record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True, help="folder of the prediction logs")
    parser.add_argument("--days", type=int, default=7)
    args = parser.parse_args()
    configure_logging()
    reference = json.loads(args.metadata.read_text(encoding="utf-8"))["reference"]
    since = datetime.now(UTC) - timedelta(days=args.days)
    rows, indices = drift(reference, recent(args.predictions, since))
    moved = {name: round(value, 4) for name, value in indices.items() if value > LIMIT}
    log.info("drift", extra={"fields": {"rows": rows, "moved": moved}})
    if rows >= MIN_ROWS and moved:
        sys.exit(1)


if __name__ == "__main__":
    main()
