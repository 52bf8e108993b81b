"""What a program imports and that it parses, without making its syntax tree: that is most of the time.

The compiler tells that the source is right; the import statements are found by their word, outside of
texts in triple quotes, and only these are parsed. Wherever that could be mistaken (an import behind a colon or a
semicolon, quotes among other quotes, source that does not compile) there is no answer, and the tree has to be asked.
"""

from __future__ import annotations

import ast
import re
import symtable
from bisect import bisect_right
from collections.abc import Iterator

_CLOSING = {
    '"""': re.compile(r'[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""', re.S),
    "'''": re.compile(r"[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''", re.S),
}
_WORD = re.compile(r"import\b")
# A statement to the end of its line, or of the line on which its bracket closes.
_STATEMENT = re.compile(r"[ \t\f]*((?:import|from)\b(?:[^\n\\#(]|\\\n)*(?:\([^)]*\))?[^\n]*)")


def imports_of(text: str, *, checked: bool = True) -> list[ast.Import | ast.ImportFrom] | None:
    """The import statements of a `.py` program in the order of their lines, or None where its tree must be asked.

    `lineno` is that of the whole program; columns mean nothing. Without `checked` the rest of the program may be wrong.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    code = _without_texts(text)
    found = _statements(code) if code is not None else None
    if code is None or found is None or (checked and not _parses(text)):
        return None
    starts, first = [], 1  # line of each statement in the program that is made of them alone
    for statement, _ in found:
        starts.append(first)
        first += statement.count("\n") + 1
    try:
        tree = ast.parse("\n".join(statement for statement, _ in found))
    except (SyntaxError, ValueError):
        return None
    imports: list[ast.Import | ast.ImportFrom] = []
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            return None
        at = bisect_right(starts, node.lineno) - 1
        node.lineno += found[at][1] - starts[at]
        imports.append(node)
    return imports


# What the compiler refuses as soon as the source is parsed: before it makes a table of symbols, which nobody asks for.
_REFUSED = "from __future__ import braces\n"
_REFUSAL = "not a chance"


def _parses(text: str) -> bool:
    """Whether the source is right, by the one look of the compiler that makes no objects of it."""
    try:
        symtable.symtable(_REFUSED + text, "<program>", "exec")
    except SyntaxError as error:
        return error.msg == _REFUSAL
    except (ValueError, RecursionError, MemoryError):
        return False
    return True


def _statements(code: str) -> list[tuple[str, int]] | None:
    """Import statements with their lines; None where one may hide in a line that begins with something else."""
    found: list[tuple[str, int]] = []
    number, at, end = 1, 0, 0
    for word in _WORD.finditer(code):
        if word.start() < end:
            continue
        start = code.rfind("\n", 0, word.start()) + 1
        before = code[start : word.start()]
        statement = _STATEMENT.match(code, start)
        if statement is None:
            if ":" in before or ";" in before:
                return None
            continue
        if code.endswith("\\\n", 0, start):
            return None
        number += code.count("\n", at, start)
        at, end = start, statement.end()
        found.append((statement[1], number))
    return found


def _without_texts(text: str) -> str | None:
    """The program with its texts in triple quotes left empty, line for line; None where a quote may not open one."""
    parts = list(_outside(text))
    return None if None in parts else "".join(part for part in parts if part is not None)


def _outside(text: str) -> Iterator[str | None]:
    position = 0
    nearest = {quote: text.find(quote) for quote in _CLOSING}
    while True:
        for quote, start in nearest.items():
            if 0 <= start < position:
                nearest[quote] = text.find(quote, position)
        opened = [(start, quote) for quote, start in nearest.items() if start >= 0]
        if not opened:
            yield text[position:]
            return
        start, quote = min(opened)
        before = text[max(position, text.rfind("\n", 0, start) + 1) : start]
        closing = _CLOSING[quote].match(text, start + 3)
        if closing is None or "#" in before or "'" in before or '"' in before:
            yield None
            return
        yield text[position : start + 3]
        yield "\n" * closing[0].count("\n") + quote
        position = closing.end()
