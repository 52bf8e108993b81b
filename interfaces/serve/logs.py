"""What the protocols' SDKs log, as lines: a server's stderr is read by people, and none of them wants a traceback."""

from __future__ import annotations

import logging
import sys
from typing import Any

from ml_engineer.report.text import one_line


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        error: Any = record.exc_info[1] if record.exc_info else None
        return one_line(f"{text}: {type(error).__name__}: {error}" if error is not None else text)


def log_in_lines() -> None:
    """From here on every logger of this process writes warnings and errors to stderr, a line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
