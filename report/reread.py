"""The files that evidence points at, read again: confined to one folder, each read and split into lines once.

`Texts(root).find(path)` gives a `FileText`, or raises `Unreadable` with the reason in words. Links that lead out of the
folder, special files and what is too large are reasons, never a crash and never a read.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePosixPath

from ml_engineer.report.decoding import cell_source, decode, split_lines

MAX_BYTES = 32_000_000  # above the assessment's own limit for a notebook
_SURE = 40  # a quote of so many characters is no accident wherever it is found


class Unreadable(Exception):
    """Why a file cannot be read again."""


class Text:
    """Lines of a file, or of a notebook cell, to look for quotes in. White space at line ends does not count."""

    def __init__(self, source: str) -> None:
        self.lines = [line.rstrip() for line in split_lines(source)]

    def holds(self, quote: str, start: int, end: int) -> bool:
        """Whether the quote stands in the 1-based lines `start`..`end`."""
        return quote in "\n".join(self.lines[start - 1 : end])

    def starts(self, quote: str) -> Iterator[int]:
        """The 1-based lines at which the quote begins, a short quote only where no word is cut."""
        offset = self._whole.find(quote)
        while offset >= 0:
            if len(quote) >= _SURE or not self._cuts_word(offset, quote):
                yield bisect_right(self._offsets, offset)
            offset = self._whole.find(quote, offset + 1)

    @cached_property
    def _whole(self) -> str:
        return "\n".join(self.lines)

    @cached_property
    def _offsets(self) -> list[int]:
        """Where each line begins in the whole text."""
        return list(accumulate((len(line) + 1 for line in self.lines[:-1]), initial=0))

    def _cuts_word(self, offset: int, quote: str) -> bool:
        before = self._whole[offset - 1 : offset]
        after = self._whole[offset + len(quote) : offset + len(quote) + 1]
        return (_is_word(before) and _is_word(quote[0])) or (_is_word(after) and _is_word(quote[-1]))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


@dataclass
class FileText:
    """A file read again. `sha256` is empty, and there is no text, where the file is above `MAX_BYTES`."""

    data: bytes | None

    @cached_property
    def sha256(self) -> str:
        return "" if self.data is None else hashlib.sha256(self.data).hexdigest()

    @cached_property
    def text(self) -> Text:
        if self.data is None:
            raise Unreadable(f"larger than {MAX_BYTES // 1_000_000} MB, not read again")
        return Text(decode(self.data))

    @cached_property
    def cells(self) -> list[Text]:
        """The cells of a notebook, of every kind, in order. In nbformat 3 they stand in the first worksheet."""
        if self.data is None:
            raise Unreadable(f"larger than {MAX_BYTES // 1_000_000} MB, not read again")
        try:
            notebook = json.loads(decode(self.data))
        except (ValueError, RecursionError) as error:
            raise Unreadable("not a valid notebook") from error
        holder = notebook if isinstance(notebook, dict) else {}
        sheets = holder.get("worksheets")
        if "cells" not in holder and isinstance(sheets, list) and sheets and isinstance(sheets[0], dict):
            holder = sheets[0]
        cells = holder.get("cells")
        if not isinstance(cells, list):
            raise Unreadable("not a valid notebook: it has no list of cells")
        return [Text(cell_source(cell)) for cell in cells]


@dataclass
class Texts:
    """The files below `root`, each read once."""

    root: Path
    _seen: dict[str, FileText | Unreadable] = field(default_factory=dict)

    def find(self, path: str) -> FileText:
        """The file at a path relative to the root. `Unreadable` says why it cannot be had."""
        known = self._seen.get(path)
        if known is None:
            try:
                known = FileText(self._read(path))
            except Unreadable as error:
                known = error
            self._seen[path] = known
        if isinstance(known, Unreadable):
            raise known
        return known

    @cached_property
    def _real_root(self) -> Path:
        return self.root.resolve()

    def _read(self, path: str) -> bytes | None:
        pure = PurePosixPath(path)
        if not path or "\0" in path or pure.is_absolute() or ".." in pure.parts:
            raise Unreadable("the path leaves the folder")
        try:
            real = (self._real_root / pure).resolve(strict=True)
            if not real.is_relative_to(self._real_root):
                raise Unreadable("a link leads out of the folder")
            # What is no regular file might block when it is read; the link is resolved, so a new one is a race.
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise Unreadable("the file is gone" if isinstance(error, FileNotFoundError) else _reason(error)) from error
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise Unreadable("not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            try:
                data = file.read(MAX_BYTES + 1) if facts.st_size <= MAX_BYTES else None
            except OSError as error:
                raise Unreadable(_reason(error)) from error
        return data if data is None or len(data) <= MAX_BYTES else None


def _reason(error: Exception) -> str:
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"
