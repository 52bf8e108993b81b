"""Files by path pattern: `*` stops at a slash, `**/` is any number of folders; upper and lower case are the same.

A pattern without a slash is about the file's name. A tree has far fewer names than paths and few patterns, so that
names are grouped once and what matches a pattern is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from ml_engineer.assessment.files import File

_WILD = re.compile(r"[*?]")


class Paths:
    """The files that patterns are asked of, in their order."""

    def __init__(self, files: Iterable[File]) -> None:
        self._files = list(files)
        self._by_name: dict[str, list[int]] = {}
        for position, file in enumerate(self._files):
            self._by_name.setdefault(file.name.lower(), []).append(position)
        self._known: dict[str, list[int]] = {}

    def matching(self, *patterns: str) -> list[File]:
        """Files that match one of the patterns, each once."""
        found: set[int] = set()
        for pattern in patterns:
            known = self._known.get(pattern)
            if known is None:
                known = self._known[pattern] = self._find(pattern)
            found.update(known)
        return [self._files[position] for position in sorted(found)]

    def _find(self, pattern: str) -> list[int]:
        last = pattern.rpartition("/")[2]
        if "**" in last:
            whole = path_pattern(pattern).fullmatch
            return [n for n, f in enumerate(self._files) if whole(f.path if "/" in pattern else f.name)]
        if last[:1] == "*" and not _WILD.search(last, 1):
            ending = last[1:].lower()
            found = [n for name, positions in self._by_name.items() if name.endswith(ending) for n in positions]
        elif last[-1:] == "*" and not _WILD.search(last[:-1]):
            beginning = last[:-1].lower()
            found = [n for name, positions in self._by_name.items() if name.startswith(beginning) for n in positions]
        elif _WILD.search(last):
            named = path_pattern(last).fullmatch
            found = [n for name, positions in self._by_name.items() if named(name) for n in positions]
        else:
            found = self._by_name.get(last.lower(), [])
        if "/" not in pattern:
            return found
        # Most folders that are asked for are not there: told by how the pattern begins, it need not be compiled.
        head = _WILD.split(pattern, 1)[0].lower()
        found = [n for n in found if self._files[n].path.lower().startswith(head)]
        return [n for n in found if path_pattern(pattern).fullmatch(self._files[n].path)]


@lru_cache(maxsize=2048)
def path_pattern(pattern: str) -> re.Pattern[str]:
    """A path pattern as a regular expression."""
    expression = ""
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            expression += "(?:.*/)?"
            position += 3
        elif pattern.startswith("**", position):
            expression += ".*"
            position += 2
        elif pattern[position] == "*":
            expression += "[^/]*"
            position += 1
        elif pattern[position] == "?":
            expression += "[^/]"
            position += 1
        else:
            expression += re.escape(pattern[position])
            position += 1
    return re.compile(expression, re.I)
