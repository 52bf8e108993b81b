"""Text shared by the renderers: citations and numbered quotes, beside what `report.visible` has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ml_engineer.report.decoding import split_lines
from ml_engineer.report.schema import Absence, CommandRun, Evidence, Measurement, Place, Quote
from ml_engineer.report.visible import joined as joined
from ml_engineer.report.visible import number as number
from ml_engineer.report.visible import one_line as one_line
from ml_engineer.report.visible import plural as plural
from ml_engineer.report.visible import visible as visible

MAX_SHOWN_LINES = 20

_CODE = re.compile(r"`([^`\n]+)`")


class Span(NamedTuple):
    """A run of text, which the author set in backticks or not."""

    text: str
    code: bool


class NumberedLine(NamedTuple):
    """A quoted line with its number in the file, or in the cell."""

    number: int
    text: str


class Quoted(NamedTuple):
    """A quote as it is shown: its lines, and how many more there are than fit."""

    lines: list[NumberedLine]
    more: int


def spans(text: str) -> list[Span]:
    """One line cut at its `code` in backticks, so that each renderer can set it in its own way."""
    line = one_line(text)
    if "`" not in line:
        return [Span(line, False)] if line else []
    parts = _CODE.split(line)
    return [Span(part, index % 2 == 1) for index, part in enumerate(parts) if part]


# --- places and citations ---------------------------------------------------------------------------------------------


def place(path: str, line: int, line_end: int | None = None, cell: int | None = None) -> str:
    """`train.py:12`, `train.py:12-14`, `eda.ipynb[cell 3]:2`."""
    where = f"{path}[cell {cell}]" if cell is not None else path
    return f"{one_line(where)}:{line}" + (f"-{line_end}" if line_end is not None and line_end > line else "")


def where(evidence: Evidence) -> str:
    """The shortest thing that a reader can follow: a place, a command with its exit code, a figure."""
    match evidence:
        case Quote():
            return place(evidence.path, evidence.line_start, evidence.line_end, evidence.cell)
        case Absence():
            return place(evidence.need.path, evidence.need.line, None, evidence.need.cell)
        case CommandRun():
            return f"{one_line(evidence.command)} → exit {evidence.exit_code}"
        case Measurement():
            return f"{one_line(evidence.name)} = {number(evidence.value)} {one_line(evidence.unit)}".rstrip()


def describe(evidence: Evidence) -> str:
    """One line of what the evidence says beyond its place; empty where the quote says it all."""
    match evidence:
        case Quote():
            return one_line(evidence.note or "")
        case Absence():
            return (
                f"needed here; searched {one_line(some(evidence.searched.files, 3))}"
                f" for {one_line(some(evidence.searched.patterns, 4))}: not found"
            )
        case CommandRun():
            return f"whole output in {one_line(evidence.record)}"
        case Measurement():
            method, record = one_line(evidence.method), one_line(evidence.record)
            return f"{plural(evidence.samples, 'sample')}, {method}; figures in {record}"


def some(items: Sequence[str], count: int) -> str:
    """The first items, and how many more there are."""
    rest = len(items) - count
    return ", ".join(items[:count]) + (f" and {rest} more" if rest > 0 else "")


def quoted(evidence: Evidence) -> Quoted:
    """The lines to show under the citation, each with its number. Nothing for a figure or an empty quote."""
    match evidence:
        case Quote(quote=text, line_start=start):
            lines = split_lines(text)
        case Absence(need=Place(quote=text, line=start)):
            lines = split_lines(text)
        case CommandRun(excerpt=text):
            lines, start = split_lines(text), 1
        case _:
            return Quoted([], 0)
    shown = [NumberedLine(start + index, visible(line)) for index, line in enumerate(lines[:MAX_SHOWN_LINES])]
    return Quoted(shown, max(0, len(lines) - MAX_SHOWN_LINES))


def public_url(url: str) -> str:
    """The URL without user name, password and query, which may hold a token. A path or `host:path` stays as it is."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
