"""Text shared by the renderers: control characters made visible, citations, plurals, numbered quotes.

What stands in a report was partly written by the repository's authors, so no renderer may pass it on as it is: an
escape sequence would drive the terminal, a right-to-left override would show code in another order than it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ml_engineer.report.decoding import split_lines
from ml_engineer.report.schema import Absence, CommandRun, Evidence, Measurement, Place, Quote

MAX_SHOWN_LINES = 20

# C0 and C1 controls but tab and newline; zero-width and bidirectional marks; line separators; variation of tags;
# surrogates and non-characters, which neither UTF-8 nor XML can carry.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
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


def visible(text: str) -> str:
    r"""The text with each invisible or controlling character spelt out, as `\x1b` or `\u202e`. Newlines, tabs stay."""
    return _INVISIBLE.sub(_spell, text.replace("\r\n", "\n"))


def _spell(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def one_line(text: str) -> str:
    """Visible text on one line: every run of white space is one space."""
    return visible(" ".join(split_lines(text))).replace("\t", " ").replace("\n", " ").strip()


def spans(text: str) -> list[Span]:
    """One line cut at its `code` in backticks, so that each renderer can set it in its own way."""
    parts = _CODE.split(one_line(text))
    return [Span(part, index % 2 == 1) for index, part in enumerate(parts) if part]


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 finding`, `2 findings`, `3 queries` with `many` given."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def number(value: float) -> str:
    """A number without needless decimals: 3, 0.5, 12.35, 1.2e-05."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def joined(parts: Iterable[str]) -> str:
    """The parts that are not empty, set apart by a middle dot."""
    return " · ".join(part for part in parts if part)


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
