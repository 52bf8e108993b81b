"""The edit itself, as a function of text: exact, unique unless told otherwise, and blind to line endings only.

    replace(text, old, new, replace_all=False) -> Replaced(text, spans)

`old` with "\\n" also matches "\\r\\n", since Read shows lines without their endings; the new lines get the ending used
where they stand. Only the characters that differ are replaced: what `old` and `new` share at both ends keeps its bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass


class NoMatch(Exception):
    """`old` does not occur."""


class ManyMatches(Exception):
    """`old` occurs more than once; `lines` are the 1-based lines where it begins."""

    def __init__(self, lines: list[int]) -> None:
        super().__init__(f"{len(lines)} matches")
        self.lines = lines


@dataclass(frozen=True)
class Replaced:
    """`text` is the new text; `spans` are start and end of each replaced piece in the old one."""

    text: str
    spans: list[tuple[int, int]]


def replace(text: str, old: str, new: str, *, replace_all: bool = False) -> Replaced:
    """Raises NoMatch or ManyMatches. `old` must not be empty and must differ from `new`."""
    # A caller who writes carriage returns means them: then nothing is translated.
    literal = "\r" in old or "\r\n" not in text
    view = text if literal else text.replace("\r\n", "\n")
    starts = _find_all(view, old, limit=None if replace_all else 50)
    if not starts:
        raise NoMatch
    if len(starts) > 1 and not replace_all:
        raise ManyMatches([view.count("\n", 0, start) + 1 for start in starts])
    if not literal:
        new = new.replace("\r\n", "\n")
    same_before, same_after = _shared_ends(old, new)
    core = new[same_before : len(new) - same_after]
    to_raw = _identity if literal else _RawIndex(text)
    pieces, spans, done = [], [], 0
    for start in starts:
        first, last = to_raw(start + same_before), to_raw(start + len(old) - same_after)
        pieces += [text[done:first], core if literal or "\n" not in core else _with_ending(core, text, first)]
        spans.append((first, last))
        done = last
    pieces.append(text[done:])
    return Replaced("".join(pieces), spans)


def _find_all(text: str, part: str, limit: int | None) -> list[int]:
    starts: list[int] = []
    at = text.find(part)
    while at >= 0 and (limit is None or len(starts) < limit):
        starts.append(at)
        at = text.find(part, at + len(part))
    return starts


def _shared_ends(old: str, new: str) -> tuple[int, int]:
    shortest = min(len(old), len(new))
    before = 0
    while before < shortest and old[before] == new[before]:
        before += 1
    after = 0
    while after < shortest - before and old[-1 - after] == new[-1 - after]:
        after += 1
    return before, after


def _identity(index: int) -> int:
    return index


class _RawIndex:
    """Maps an index of the text with "\\n" endings to the index in the text as it is."""

    def __init__(self, text: str) -> None:
        self._breaks: list[int] = []  # where the n-th "\r\n" stands, in the text with "\n" endings
        at = text.find("\r\n")
        while at >= 0:
            self._breaks.append(at - len(self._breaks))
            at = text.find("\r\n", at + 2)

    def __call__(self, index: int) -> int:
        return index + bisect_left(self._breaks, index)


def _with_ending(core: str, text: str, at: int) -> str:
    """`core` with the line ending of the line that `at` is in, or of the one before when that is the last."""
    end = text.find("\n", at)
    if end < 0:
        end = text.rfind("\n", 0, at)
    return core.replace("\n", "\r\n") if end > 0 and text[end - 1] == "\r" else core
