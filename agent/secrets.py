"""Secrets that the engine has found, kept out of what a model writes into the report.

The engine quotes such a line only up to the secret. What follows there is the secret: it is cut from the quotes of a
model and hidden in its texts. The values are held in memory and written nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ml_engineer.report.decoding import decode, split_lines
from ml_engineer.report.reread import Texts, Unreadable
from ml_engineer.report.schema import Finding, Quote

RULES = frozenset({"MLE0908", "MLE1010"})
HIDDEN = "[secret]"
_VALUE = re.compile(r"""["']?([^"'\s,;]{4,})""")


@dataclass(frozen=True)
class Secrets:
    """`values` are the secrets, longest first."""

    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding], root: Path) -> Secrets:
        """The secrets that these findings point at."""
        files = Texts(root)
        values: set[str] = set()
        for finding in findings:
            if finding.rule in RULES:
                quotes = [one for one in finding.evidence if isinstance(one, Quote) and one.quote]
                values.update(filter(None, (_value(files, quote) for quote in quotes)))
        return cls(tuple(sorted(values, key=len, reverse=True)))

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for value in self.values:
            text = text.replace(value, HIDDEN)
        return text

    def cut(self, quote: Quote) -> str:
        """The quote up to its first secret, so that it still stands in the file; empty where nothing is left of it."""
        places = [at for value in self.values if (at := quote.quote.find(value)) >= 0]
        return quote.quote[: min(places)].rstrip() if places else quote.quote


def _value(files: Texts, quote: Quote) -> str | None:
    """What stands behind the quoted part of the line."""
    if quote.cell is not None:
        return None
    try:
        data = files.find(quote.path).data
    except Unreadable:
        return None
    lines = split_lines(decode(data)) if data is not None else []
    line = lines[quote.line_start - 1] if quote.line_start <= len(lines) else ""
    _, found, rest = line.partition(quote.quote.split("\n")[0].strip())
    value = _VALUE.match(rest.strip()) if found else None
    return value[1] if value else None
