"""What the model has seen of each file: nothing is changed that was not read, or that has changed since.

Files are compared by content hash, not by time stamp. Of files that are not large the bytes are kept as well, so that a
refusal can say which lines changed. It lives as long as the run's process: a resumed run reads again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from ml_engineer.tools.base import ToolError

_KEPT = 1 << 20  # bytes of a file that is kept; a larger one is only compared as a whole


def content_hash(raw: bytes) -> str:
    """SHA-256 in hexadecimal. `short_hash` is what results show."""
    return hashlib.sha256(raw).hexdigest()


def short_hash(sha256: str) -> str:
    return sha256[:12]


@dataclass
class Seen:
    """One file as the model last saw it. `spans` are the 1-based, inclusive ranges that were shown, of `total` lines.

    For a notebook they count cells.
    """

    sha256: str
    raw: bytes | None
    total: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all of it was shown."""
        reached = 0
        for first, last in sorted(self.spans):
            if first > reached + 1:
                return False
            reached = max(reached, last)
        return reached >= self.total


class Ledger:
    """Files by workspace path."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def get(self, path: str) -> Seen | None:
        return self._seen.get(path)

    def shown(self, path: str, raw: bytes, first: int, last: int, total: int) -> None:
        """Lines `first` to `last` of the `total` in `path`, whose bytes are `raw`, were shown."""
        seen = self._seen.get(path)
        sha256 = content_hash(raw)
        if seen is None or seen.sha256 != sha256:
            seen = self._seen[path] = Seen(sha256, _kept(raw), total)
        seen.spans.append((first, last))

    def changed(self, path: str, raw: bytes, *, whole: bool) -> None:
        """A tool wrote `raw`. `whole`: the model gave all of it; else it knows as much as it knew before."""
        before = self._seen.get(path)
        complete = whole or (before is not None and before.complete)
        self._seen[path] = Seen(content_hash(raw), _kept(raw), 0 if complete else 1)

    def check(self, path: str, raw: bytes) -> Seen:
        """Raises ToolError unless `raw` is what the model saw last."""
        seen = self._seen.get(path)
        if seen is None:
            raise ToolError(f"{path} has not been read in this run. Read it first, then repeat this call.")
        if seen.sha256 != content_hash(raw):
            changed = _what_changed(seen, raw)
            raise ToolError(f"{path} has changed since it was read: {changed} Read it again, then repeat this call.")
        return seen


def _kept(raw: bytes) -> bytes | None:
    return raw if len(raw) <= _KEPT else None


def _what_changed(seen: Seen, raw: bytes) -> str:
    if seen.raw is None:
        return f"it now has {raw.count(10):,} lines and {len(raw):,} bytes."
    old, new = seen.raw.split(b"\n"), raw.split(b"\n")
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return f"{_lines(start, len(old) - end)} became {_lines(start, len(new) - end)}."


def _lines(start: int, stop: int) -> str:
    if stop <= start:
        return f"nothing after line {start}"
    return f"line {stop}" if stop == start + 1 else f"lines {start + 1}-{stop}"
