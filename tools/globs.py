"""Glob patterns and .gitignore files, with ripgrep's meaning, as regular expressions over relative paths.

A pattern without a slash matches a name at any depth; one with a slash is anchored where it was given. `*` and `?`
stop at slashes, `**` does not, `{a,b}` stands for either (in patterns, not in .gitignore files).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_CLASS = re.compile(r"\[([!^]?)(\]?[^\]]*)\]")


def expand_braces(glob: str) -> list[str]:
    """Every plain glob that `glob` stands for; innermost braces first."""
    found = _BRACES.search(glob)
    if not found:
        return [glob]
    head, tail = glob[: found.start()], glob[found.end() :]
    every = (plain for part in found.group(1).split(",") for plain in expand_braces(head + part + tail))
    return list(dict.fromkeys(every))


def normalise(glob: str) -> str:
    """The one spelling of a pattern: no leading "./", a folder stands for all that is in it."""
    glob = glob.removeprefix("./")
    return f"{glob}**" if glob.endswith("/") else glob


def matcher(glob: str) -> re.Pattern[str]:
    """Matches relative paths of files, with `fullmatch`."""
    return re.compile("|".join(to_regex(plain) for plain in expand_braces(normalise(glob))), re.DOTALL)


def selector(glob: str) -> Callable[[str], bool]:
    """Whether a relative path of a file is selected. "!pattern" selects all but what it matches, folders included."""
    if not glob.startswith("!"):
        wanted = matcher(glob).fullmatch
        return lambda path: wanted(path) is not None
    plain = glob.removeprefix("!").removeprefix("./")
    unwanted = re.compile("|".join(to_regex(one.removesuffix("/")) for one in expand_braces(plain)), re.DOTALL)
    itself = not plain.endswith("/")

    def outside(path: str) -> bool:
        parts = path.split("/")
        return not any(unwanted.fullmatch("/".join(parts[:end])) for end in range(1, len(parts) + itself))

    return outside


def to_regex(glob: str) -> str:
    """The regular expression of one glob without braces."""
    anchored = "/" in glob.rstrip("/")
    glob = glob.removeprefix("/")
    out = [] if anchored else ["(?:.*/)?"]
    at = 0
    while at < len(glob):
        if glob.startswith("**/", at) and (at == 0 or glob[at - 1] == "/"):
            out.append("(?:.*/)?")
            at += 3
        elif glob[at:] == "**" and (at == 0 or glob[at - 1] == "/"):
            out.append(".+")
            at += 2
        else:
            piece, at = _one(glob, at)
            out.append(piece)
    return "".join(out)


def _one(glob: str, at: int) -> tuple[str, int]:
    character = glob[at]
    if character == "*":
        while glob[at : at + 1] == "*":
            at += 1
        return "[^/]*", at
    if character == "?":
        return "[^/]", at + 1
    if character == "[" and (found := _CLASS.match(glob, at)):
        body = found.group(2).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
        return f"(?!/)[{'^' if found.group(1) else ''}{body}]", found.end()
    if character == "\\" and at + 1 < len(glob):
        return re.escape(glob[at + 1]), at + 2
    return re.escape(character), at + 1


def escape(path: str) -> str:
    """`path` as a pattern that means just itself."""
    return re.sub(r"([\\*?\[\]{}! #])", r"\\\1", path)


@dataclass(frozen=True)
class Rule:
    """One line of a .gitignore file."""

    regex: re.Pattern[str]
    ignores: bool
    folders_only: bool


@dataclass
class IgnoreFile:
    """The rules of one .gitignore file; paths are relative to its folder."""

    rules: list[Rule] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> IgnoreFile:
        rules = []
        for line in ignore_lines(text):
            pattern = line.removeprefix("!")
            regex = re.compile(to_regex(pattern.removesuffix("/")), re.DOTALL)
            rules.append(Rule(regex, not line.startswith("!"), pattern.endswith("/")))
        return cls(rules)

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """True: ignored, False: explicitly not, None: nothing is said. The last rule that matches decides."""
        for rule in reversed(self.rules):
            if (is_folder or not rule.folders_only) and rule.regex.fullmatch(path):
                return rule.ignores
        return None


def ignore_lines(text: str) -> list[str]:
    """The lines of a .gitignore file that are rules, without trailing spaces."""
    lines = []
    for line in text.splitlines():
        line = re.sub(r"(?<!\\) +$", "", line)
        if line and not line.startswith("#") and line not in ("/", "!", "!/"):
            lines.append(line)
    return lines
