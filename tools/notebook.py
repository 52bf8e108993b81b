"""Cells of a Jupyter notebook, and the place of each cell's source in the file's text.

A notebook is edited by putting a new value where the old `source` stood: all other bytes, outputs and indentation
stay. Writing the parsed JSON again would touch every line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the type stubs, public in the module
from typing import Any

from ml_engineer.tools.base import ToolError

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Cell:
    """`start` and `end` enclose the JSON value of `source` in the notebook's text. `outputs` are as in the file."""

    index: int
    kind: str
    identifier: str
    source: str
    outputs: list[Any]
    start: int
    end: int


def cells(text: str, path: str) -> list[Cell]:
    """All cells in order. Raises ToolError when `text` is no notebook of format 4."""
    try:
        found = [_cell(text, index, at) for index, at in enumerate(_cell_positions(text))]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ToolError(
            f"{path} is no notebook that can be read by cells ({error}). "
            "Use Bash to look at it (python -m json.tool FILE), or convert it with nbformat."
        ) from None
    return found


def with_source(text: str, cell: Cell, source: str) -> str:
    """The notebook's text with another source in `cell`, written in the way the old one was."""
    old = text[cell.start : cell.end]
    ascii_only = text.isascii() and "\\u" in text
    if not old.startswith("["):
        return text[: cell.start] + json.dumps(source, ensure_ascii=ascii_only) + text[cell.end :]
    space = re.match(r"\[(\s*)\S", old)
    inner = space.group(1) if space and old != "[]" else _guess_space(text, cell.start)
    outer = inner[:-1] if inner.endswith(" ") else inner
    closing = re.search(r"(\s*)\]$", old)
    if closing and old != "[]":
        outer = closing.group(1)
    lines = re.findall(r"[^\n]*\n|[^\n]+", source)
    separator = "," + (inner or " ")
    body = separator.join(json.dumps(line, ensure_ascii=ascii_only) for line in lines)
    value = f"[{inner}{body}{outer}]" if lines else "[]"
    return text[: cell.start] + value + text[cell.end :]


def _guess_space(text: str, at: int) -> str:
    """White space before a list item, for a source that was empty: one step deeper than its key."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    indent = line[: len(line) - len(line.lstrip())]
    return f"\n{indent} " if indent else ""


def _cell_positions(text: str) -> list[int]:
    for key, start, _ in _members(text, _skip(text, 0)):
        if key == "cells":
            return list(_items(text, start))
    raise KeyError("no cells")


def _cell(text: str, index: int, at: int) -> Cell:
    values = {key: (start, end) for key, start, end in _members(text, at)}
    start, end = values["source"]
    source = json.loads(text[start:end])

    def value(key: str, default: Any) -> Any:
        return json.loads(text[slice(*values[key])]) if key in values else default

    joined = source if isinstance(source, str) else "".join(source)
    return Cell(index, value("cell_type", "code"), value("id", ""), joined, value("outputs", []), start, end)


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Key, start and end of the value, for each member of the JSON object at `at`."""
    if text[at] != "{":
        raise ValueError("an object was expected")
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = scanstring(text, at + 1, True)
        at = _skip(text, at)
        start = _skip(text, at + 1)
        end = _DECODER.raw_decode(text, start)[1]
        yield key, start, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _items(text: str, at: int) -> Iterator[int]:
    """Start of each item of the JSON list at `at`."""
    if text[at] != "[":
        raise ValueError("a list was expected")
    at = _skip(text, at + 1)
    while text[at] != "]":
        yield at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
