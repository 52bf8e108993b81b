"""Cuts long output for the model: whole lines, with counts, and the rest kept in a file that can be read.

Every tool that may give much text goes through here, so that a cut always looks the same and always says what to do
next. Files with the full text ("spills") lie in the run's directory and are size-capped too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

MAX_CHARS = 30_000  # of one result's text; about 8,000 tokens
MAX_LINE = 2_000
SPILL_CAP = 16 << 20  # bytes


def clip_line(line: str, limit: int = MAX_LINE) -> str:
    """`line`, or its beginning with a note of how many characters are missing."""
    if len(line) <= limit:
        return line
    return f"{line[:limit]} … [{len(line) - limit:,} more characters on this line]"


@dataclass(frozen=True)
class Cut:
    """What is left of a text. `elided_*` count what is not in `text`; both are 0 when nothing was cut."""

    text: str
    elided_lines: int = 0
    elided_chars: int = 0

    @property
    def is_cut(self) -> bool:
        return self.elided_chars > 0


def head(lines: list[str], *, max_chars: int = MAX_CHARS) -> tuple[list[str], int]:
    """The longest run of whole lines from the start that fits, at least one line; and how many were left out."""
    used = 0
    for count, line in enumerate(lines):
        used += len(line) + 1
        if used > max_chars and count:
            return lines[:count], len(lines) - count
    return lines, 0


def head_and_tail(text: str, *, max_chars: int = MAX_CHARS) -> Cut:
    """Beginning and end of `text` with the middle elided, cut at line ends where the lines allow it.

    The end is where errors and summaries stand, the beginning shows what was run: both matter more than the middle.
    """
    if len(text) <= max_chars:
        return Cut(text)
    half = max_chars // 2
    start, end = text[:half], text[-half:]
    if "\n" in start[half // 2 :]:
        start = start[: start.rindex("\n") + 1]
    if "\n" in end[: half // 2]:
        end = end[end.index("\n") + 1 :]
    middle = text[len(start) : len(text) - len(end)]
    elided_lines = max(1, middle.count("\n"))
    joint = "" if start.endswith("\n") else "\n"
    marker = f"{joint}[… {elided_lines:,} lines, {len(middle):,} characters left out …]\n"
    return Cut(start + marker + end, elided_lines, len(middle))


@dataclass
class Spills:
    """The folder of full outputs of a run. Files are numbered, so that their names are the same in a replayed run."""

    directory: Path
    cap: int = SPILL_CAP
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def new_path(self, stem: str) -> Path:
        """A path that does not exist yet, in the folder, which is made when needed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for number in self._numbers:
            path = self.directory / f"{stem}-{number:04d}.txt"
            if not path.exists():
                return path
        raise AssertionError("itertools.count has no end")

    def save(self, stem: str, text: str) -> Path:
        """Writes the first `cap` bytes of `text` and gives the file's path."""
        path = self.new_path(stem)
        path.write_bytes(text.encode("utf-8", "surrogateescape")[: self.cap])
        return path
