"""An append-only file of JSON records, one a line, that survives being killed at any moment.

A record is handed to the system before `append` returns, so a killed process loses none; `synced` waits until the disk
has it, which is what a power cut asks for. On opening, a torn last line is cut off, and damage anywhere else is an
error: records after it would be lost in silence.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class LogError(Exception):
    """The file cannot be read or written. The message names it, and says what to do."""


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8. Half a surrogate pair, which has no UTF-8, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Log:
    """One file, open for appending. `path` None keeps nothing: a run in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._unsynced = False
        self._syncing = asyncio.Lock()

    def load(self) -> list[Record]:
        """Every record so far, after a torn last line is cut off. Raises LogError on damage before it."""
        if self.path is None or not self.path.exists():
            return []
        raw = self.path.read_bytes()
        whole = raw.rfind(b"\n") + 1
        if whole != len(raw):
            os.truncate(self.path, whole)
        records = []
        for number, line in enumerate(raw[:whole].split(b"\n")[:-1], 1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise self._damage(number, str(error)) from None
            if not isinstance(record, dict):
                raise self._damage(number, "it is no object")
            records.append(record)
        return records

    def _damage(self, number: int, why: str) -> LogError:
        return LogError(f"{self.path} is damaged in line {number} ({why}); restore it from a backup or start a new run")

    def append(self, line: bytes) -> None:
        """Write one encoded record. Raises LogError, and leaves the file as it was, when it cannot be written."""
        if self.path is None:
            return
        try:
            if self._descriptor is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o600)
            self._write(self._descriptor, line + b"\n")
        except OSError as error:
            raise LogError(f"{self.path} cannot be written ({error.strerror}); free space, then resume") from error
        self._unsynced = True

    @staticmethod
    def _write(descriptor: int, data: bytes) -> None:
        written = os.write(descriptor, data)
        if written == len(data):
            return
        size = os.fstat(descriptor).st_size - written
        try:
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError:
            os.ftruncate(descriptor, size)  # half a record in the middle would spoil the ones after it
            raise

    async def synced(self) -> None:
        """Wait until the disk has everything that was appended."""
        async with self._syncing:  # whoever finds a sync under way waits for it, as it may hold their record
            if not self._unsynced or self._descriptor is None:
                return
            self._unsynced = False
            try:
                await asyncio.get_running_loop().run_in_executor(None, os.fdatasync, self._descriptor)
            except OSError as error:
                raise LogError(f"{self.path} cannot be written ({error.strerror}); free space, then resume") from error

    def close(self) -> None:
        """Give the file back. Safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
