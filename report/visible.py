"""Text that may be shown: control characters made visible, one line, plurals. Imports no schema, so that it is quick.

What stands in a report was partly written by the repository's authors, so no renderer may pass it on as it is: an
escape sequence would drive the terminal, a right-to-left override would show code in another order than it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ml_engineer.report.decoding import split_lines

# C0 and C1 controls but tab and newline; zero-width and bidirectional marks; line separators; variation of tags;
# surrogates and non-characters, which neither UTF-8 nor XML can carry.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""The text with each invisible or controlling character spelt out, as `\x1b` or `\u202e`. Newlines, tabs stay."""
    if text.isprintable():  # nearly always, and told much faster than by the expression
        return text
    return _INVISIBLE.sub(_spell, text.replace("\r\n", "\n"))


def _spell(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def visible_json(text: str) -> str:
    r"""JSON of the same data with each such character as an escape, `\u202e`: it may be looked at on a terminal."""
    if text.isascii() and "\x7f" not in text:  # the other controls below it are escaped in any JSON
        return text
    return _INVISIBLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    """As JSON has it: by the units of UTF-16."""
    units = match.group().encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def one_line(text: str) -> str:
    """Visible text on one line: every run of white space is one space."""
    if text.isprintable():
        return text.strip()
    return visible(" ".join(split_lines(text))).replace("\t", " ").replace("\n", " ").strip()


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 finding`, `2 findings`, `3 queries` with `many` given."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def number(value: float) -> str:
    """A number without needless decimals: 3, 0.5, 12.35, 1.2e-05."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def joined(parts: Iterable[str]) -> str:
    """The parts that are not empty, set apart by a middle dot."""
    return " · ".join(part for part in parts if part)
