"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def write_named(path: Path, data: bytes) -> None:
    """Write where a user has pointed to: a link is followed, and a device or pipe is written to, not replaced."""
    special = path.exists() and not stat.S_ISREG(path.stat().st_mode)
    if special:
        with path.open("wb") as file:
            file.write(data)
    else:
        write_atomic(path.resolve(), data)


def write_atomic(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Write beside `path`, flush to disk, rename over it. On an error the old file stands, and nothing else.

    Without `lasting` nothing is flushed: whole or not at all for every process, but perhaps not after a loss of power.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if lasting:
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
