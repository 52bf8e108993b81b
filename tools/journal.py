"""The run's change journal: one JSON object a line, appended and never rewritten.

Each record is on the disk before its change begins, so that a killed run knows what it was doing. A torn last line is
what a kill leaves and is cut off on opening; damage anywhere else is an error, because records after it would be lost.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class JournalError(Exception):
    """The journal cannot be read or written; the message names the file."""


class Journal:
    """An append-only file of records. `records` holds all that were read or appended."""

    def __init__(self, path: Path, *, fsync: bool = True) -> None:
        self.path = path
        self._fsync = fsync
        path.parent.mkdir(parents=True, exist_ok=True)
        self.records = _load(path)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def append(self, record: dict[str, Any]) -> None:
        """Writes one record and waits until it is on the disk. Raises OSError when it could not be written."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        size = os.fstat(self._fd).st_size
        try:
            while line:
                line = line[os.write(self._fd, line) :]
            if self._fsync:
                os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, size)  # half a record in the middle of the file would spoil the ones after it
            raise
        self.records.append(record)

    def close(self) -> None:
        os.close(self._fd)


def _load(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    raw = path.read_bytes()
    whole = raw.rfind(b"\n") + 1
    if whole != len(raw):
        os.truncate(path, whole)
    records = []
    for number, line in enumerate(raw[:whole].splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise JournalError(
                f"{path}, line {number}: damaged record ({error}). Move the file away to go on."
            ) from None
        records.append(record)
    return records
