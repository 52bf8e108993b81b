"""Python of its early years read as Python 3, line for line: such a file is reviewed, not only called unreadable.

    text = as_python3(text)          None where nothing of Python 2 was found

Only what stops the parser is rewritten: the print, exec and raise statements, `except X, e`, backquotes, `<>`, octal
and long numbers, unpacked arguments, tabs beside spaces, `async` as a name. Lines keep their numbers. Whether the
outcome parses is for the caller to see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"(?P<text>[bBuUrR]{0,2}(?:'''(?:\\.|(?!''').)*'''|\"\"\"(?:\\.|(?!\"\"\").)*\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"))"
    r"|(?P<comment>#[^\n]*)|(?P<join>\\\n)|(?P<end>\n)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<part>[;:])|(?P<quote>`)"
    r"|(?P<unequal><>)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[lLjJ]?)|(?P<word>\w+)|(?P<other>.)",
    re.S,
)
_STATEMENT = re.compile(r"(?P<word>print|exec)\b(?P<gap>[ \t]*)(?![ \t]*(?:[=,.)\]:;]|[-+*/%|&^]=|$))", re.M)
_RAISE = re.compile(r"raise\s+(?P<name>[\w.]+)\s*,\s*(?P<rest>.+)$", re.S)
_EXCEPT = re.compile(r"(?P<kinds>except\s+.*\S)\s*,\s*(?P<name>[a-z_]\w*)\s*$", re.S)
_LAMBDA = re.compile(r"\blambda\s*\(([\w\s,]+)\)\s*:")
_UNPACKED = re.compile(r"([(,]\s*)\(([\w\s,]+)\)")
_GIVEN = re.compile(" *=")
_HEADS = re.compile(r"(?:if|elif|else|while|for|try|except|finally|with|def|class)\b")


class _Piece(NamedTuple):
    kind: str
    text: str


def as_python3(text: str) -> str | None:
    """The text with its Python 2 statements in the words of Python 3; None where there are none."""
    if "\t" in text:
        text = "\n".join(_without_tabs(line) for line in text.split("\n"))
    written = _LAMBDA.sub(r"lambda \1:", "".join(_rewritten(text)))
    return written if written != text or "\t" not in text else None


def _without_tabs(line: str) -> str:
    """A tab leads to the next multiple of eight columns, as Python 2 reads it."""
    indent = len(line) - len(line.lstrip(" \t"))
    return line[:indent].expandtabs(8) + line[indent:]


def _rewritten(text: str) -> Iterator[str]:
    for statement in _statements(text):
        yield _as_python3(statement)


def _statements(text: str) -> Iterator[list[_Piece]]:
    """Simple statements and the heads of compound ones, each with what parts it from the next."""
    depth = 0
    backquoted = False
    head: bool | None = None  # whether a colon ends what was begun
    pieces: list[_Piece] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        word = match[0]
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "quote":
            backquoted = not backquoted
            word = "repr(" if backquoted else ")"
        elif kind == "unequal":
            word = "!="
        elif kind == "number":
            word = _number(word)
        elif word == "async" and _GIVEN.match(text, match.end()):
            word = "async_"  # a keyword of calls until Python 3.7: `.cuda(async=True)`
        pieces.append(_Piece(kind, word))
        if head is None and word.strip():
            head = bool(_HEADS.fullmatch(word))
        elif word == "lambda":  # a colon ends its arguments
            head = False
        if depth == 0 and (kind == "end" or (kind == "part" and (word == ";" or head))):
            yield pieces
            pieces, backquoted, head = [], False, None
    if pieces:
        yield pieces


def _number(word: str) -> str:
    plain = word.rstrip("lL")
    return f"0o{plain[1:]}" if len(plain) > 1 and plain[0] == "0" and plain.strip("01234567") == "" else plain


def _as_python3(pieces: list[_Piece]) -> str:
    """One statement. What leads up to it and what follows it (comment, line end) stays as it is."""
    first = next((n for n, piece in enumerate(pieces) if piece.text.strip() and piece.kind != "comment"), len(pieces))
    last = len(pieces)
    while last > first and (pieces[last - 1].kind in ("end", "comment", "part") or not pieces[last - 1].text.strip()):
        last -= 1
    before, code, after = (
        "".join(p.text for p in part) for part in (pieces[:first], pieces[first:last], pieces[last:])
    )
    if code.startswith("def "):
        code = _UNPACKED.sub(r"\1\2", code)
    call = _STATEMENT.match(code)
    if call and not _is_call(pieces[first:last]):
        code = f"{call['word']}({code[call.end() :]})"
    elif raised := _RAISE.match(code):
        code = f"raise {raised['name']}({raised['rest']})"
    elif after.lstrip().startswith(":") and (caught := _EXCEPT.match(code)):
        code = f"{caught['kinds']} as {caught['name']}"
    return before + code + after


def _is_call(pieces: list[_Piece]) -> bool:
    """Whether the word is followed by one pair of brackets and nothing else, or by what Python 3 reads as well."""
    rest = [piece for piece in pieces[1:] if piece.text.strip()]
    if not rest or rest[0].text != "(":
        return bool(rest) and rest[0].text == ">" and len(rest) > 1 and rest[1].text == ">"
    depth = 0
    for number, piece in enumerate(rest):
        depth += (piece.kind == "open") - (piece.kind == "close")
        if depth == 0:
            return number == len(rest) - 1 or rest[number + 1].text in "%+,."
    return False
