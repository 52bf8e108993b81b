"""The text that puts a finding aside, as `assessment.suppress` reads it: a comment at the place, or pyproject.toml.

    for path, compute in edits(root, finding, reason):      compute(bytes, or None for a new file) -> new bytes

A comment is only written where it certainly changes nothing: the file is parsed before and after, and both must be the
same. Where that cannot be shown (JSON, notebooks, the middle of a string), an entry in pyproject.toml names the file.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from ml_engineer.assessment.paths import path_pattern
from ml_engineer.report.schema import Absence, Finding, Quote
from ml_engineer.tools.textfile import decode

Compute = Callable[[bytes | None], bytes]
PYPROJECT = "pyproject.toml"
_RULE = re.compile(r"[A-Z0-9]+")
_IGNORED = re.compile(r"ml-engineer:\s*ignore\[")
_TABLE = re.compile(r"^\[tool\.ml-engineer\][ \t]*(?:#.*)?$", re.MULTILINE)
_LIST = re.compile(r"^ignore[ \t]*=[ \t]*\[", re.MULTILINE)


class SuppressError(Exception):
    """The finding cannot be put aside here. The message says what to write where instead."""


def edits(root: Path, finding: Finding, reason: str) -> list[tuple[str, Compute]]:
    """One change a file, for all places of the finding. Raises SuppressError where there is no place for it."""
    reason = " ".join(reason.split())
    lines: dict[str, set[int]] = {}
    for one in finding.evidence:
        match one:
            case Quote(path=path, line_start=line, cell=cell):
                lines.setdefault(path, set()).add(0 if cell is not None else line)
            case Absence(need=need):
                lines.setdefault(need.path, set()).add(0 if need.cell is not None else need.line)
    if not lines:
        raise SuppressError(f"{finding.rule} rests on no place in a file, so there is nothing to write a comment at")
    found: list[tuple[str, Compute]] = []
    listed: list[str] = []
    for path, places in lines.items():
        try:
            _commented((root / path).read_bytes(), path, finding.rule, reason, places)
        except (OSError, _Unsafe):
            listed.append(path)
        else:
            found.append((path, _comment(path, finding.rule, reason, places)))
    return [*found, *([(PYPROJECT, _entries(finding.rule, reason, listed))] if listed else [])]


class _Unsafe(Exception):
    """A comment here might change something."""


def _comment(path: str, rule: str, reason: str, places: set[int]) -> Compute:
    def compute(raw: bytes | None) -> bytes:
        try:
            return _commented(raw or b"", path, rule, reason, places)
        except _Unsafe as error:
            raise SuppressError(f"{path} has changed meanwhile; try again") from error

    return compute


def _commented(raw: bytes, path: str, rule: str, reason: str, places: set[int]) -> bytes:
    """The file with a comment above each of the lines, or behind it where another one stands above."""
    file = decode(raw)
    if file is None or not _RULE.fullmatch(rule):
        raise _Unsafe
    text = f"# ml-engineer: ignore[{rule}] {reason}"
    lines = file.text.split("\n")
    for place in sorted(places, reverse=True):
        if not 1 <= place <= len(lines):
            raise _Unsafe
        line = lines[place - 1]
        if _IGNORED.search(line):
            raise _Unsafe
        ending = "\r" if line.endswith("\r") else ""
        if place > 1 and _IGNORED.search(lines[place - 2]):
            lines[place - 1] = f"{line.rstrip()}  {text}{ending}"
        else:
            indent = line[: len(line) - len(line.lstrip())]
            lines.insert(place - 1, f"{indent}{text}{ending}")
    new = "\n".join(lines)
    if _meaning(path, file.text) != _meaning(path, new):
        raise _Unsafe
    return file.encode(new)


def _meaning(path: str, text: str) -> Any:
    """What a file says, comments aside, for comparing. Raises _Unsafe where we cannot tell."""
    name, suffix = PurePosixPath(path).name, PurePosixPath(path).suffix
    try:
        if suffix == ".py":
            return ast.dump(ast.parse(text))
        if suffix in (".yml", ".yaml"):
            import yaml

            return list(yaml.safe_load_all(text))
        if suffix == ".toml":
            return tomllib.loads(text)
    except (ValueError, SyntaxError, RecursionError) as error:
        raise _Unsafe from error
    except Exception as error:  # yaml's own errors have no base among the builtins
        raise _Unsafe from error
    plain = name.startswith("requirements") and suffix == ".txt"
    docker = (name.startswith("Dockerfile") or name.endswith(".Dockerfile")) and "<<" not in text
    if plain or docker:
        return [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    raise _Unsafe


# --- pyproject.toml ---------------------------------------------------------------------------------------------------


def _entries(rule: str, reason: str, paths: list[str]) -> Compute:
    for path in paths:
        if not path_pattern(path).fullmatch(path):
            raise SuppressError(f"{path} has characters that a pattern reads otherwise; write the entry by hand")
    added = [{"rule": rule, "path": path, "reason": reason} for path in paths]
    rows = [f"{{rule = {_string(rule)}, path = {_string(path)}, reason = {_string(reason)}}}" for path in paths]

    def compute(raw: bytes | None) -> bytes:
        file = decode(raw) if raw else None
        text = file.text if file else ""
        new = _with_rows(text, rows)
        if not _only_added(text, new, added):
            listed = "\n".join(f"  {row}," for row in rows)
            raise SuppressError(f"{PYPROJECT} is written in a way that is not safe to change; add by hand:\n{listed}")
        return file.encode(new) if file else new.encode()

    return compute


def _with_rows(text: str, rows: list[str]) -> str:
    table = _TABLE.search(text)
    if table is None:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}[tool.ml-engineer]\nignore = [\n" + "".join(f"    {row},\n" for row in rows) + "]\n"
    start = table.end()
    following = re.compile(r"^\[", re.MULTILINE).search(text, start)
    end = following.start() if following else len(text)
    existing = _LIST.search(text, start, end)
    if existing is None:
        return text[:start] + "\nignore = [\n" + "".join(f"    {row},\n" for row in rows) + "]" + text[start:]
    return text[: existing.end()] + "\n" + "".join(f"    {row},\n" for row in rows) + text[existing.end() :]


def _only_added(old: str, new: str, added: list[dict[str, str]]) -> bool:
    """Whether the new text says what the old one says, and the entries."""
    try:
        before, after = tomllib.loads(old), tomllib.loads(new)
        entries = after["tool"]["ml-engineer"].pop("ignore")
        kept = before.get("tool", {}).get("ml-engineer", {}).pop("ignore", [])
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError):
        return False
    before.setdefault("tool", {}).setdefault("ml-engineer", {})
    return bool(before == after and entries == [*added, *kept])


def _string(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'
