"""How bytes of the target become text and lines: one way, for the assessment that quotes and the check that re-reads.

A line ends at LF, CRLF or CR, as in Python's own tokenizer; form feeds and Unicode separators do not end a line.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(r"\r\n|\r|\n")


def decode(data: bytes) -> str:
    """UTF-8 with or without a byte order mark, UTF-16 with one, and Latin-1 for everything else: never fails."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            pass
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def split_lines(text: str) -> list[str]:
    """Lines without their endings. An empty text has no line; a final line ending opens no further line."""
    lines = _LINE_END.split(text) if "\r" in text else text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return lines


def cell_source(cell: object) -> str:
    """The source of a notebook cell, which the format allows to be a string or a list of strings."""
    source = cell.get("source", "") if isinstance(cell, dict) else ""
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""
