"""Logs as one JSON object a line, on stderr, and predictions also in their own file for the drift job."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

PREDICTIONS = "churn.predictions"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(prediction_log: Path | None = None) -> None:
    """Set up the root logger once for the process."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    predictions = logging.getLogger(PREDICTIONS)
    for old in predictions.handlers[:]:
        predictions.removeHandler(old)
        old.close()
    if prediction_log is not None:
        rotating = RotatingFileHandler(prediction_log, maxBytes=50_000_000, backupCount=5, encoding="utf-8")
        rotating.setFormatter(JsonFormatter())
        predictions.addHandler(rotating)
