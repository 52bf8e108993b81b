"""A unit of Python source: a `.py` file, or a notebook whose code cells are read as one program.

`parse(file)` gives the syntax tree and what could not be parsed; nothing is imported or executed. In a notebook the
lines of all code cells follow one another in one text, IPython magics and shell lines become `pass`, and every line of
that text maps back to its cell and the line inside it.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ml_engineer.assessment.files import MAX_QUOTE_LINES, File, clip_quote
from ml_engineer.assessment.rule import Site
from ml_engineer.report.decoding import cell_source, split_lines

MAX_DEPTH = 200  # brackets that may be open at once; deeper source is not written by hand
# `pip install x` at the start of a line runs without a sign before it.
_MAGIC = re.compile(r"^(\s*)(%|!|\?|(?:pip|conda|mamba) install\b)|^(\s*)[\w.]+\?{1,2}\s*$")
_CELL_MAGIC = re.compile(r"^\s*%%(\w+)")
_PYTHON_CELL_MAGICS = frozenset({"time", "timeit", "capture", "prun", "memit", "python", "python3"})
_AUTOMAGIC = re.compile(r"^(ls|cd|pwd|cp|mv|rm|mkdir|rmdir|cat|less|more|man|ll)(\s+[^\s=(\[.,].*)?$")
_ASSIGNED_MAGIC = re.compile(r"^(\s*[\w,][\w, ]*=\s*)[!%].*$")


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell of a notebook."""

    index: int  # 0-based, over all cells
    execution_count: int | None
    source: str
    outputs: list[dict[str, Any]]
    first_line: int  # 1-based, in the program's text


class ParseError(NamedTuple):
    """Why some source could not be parsed. `line` is 1-based in the program's text."""

    line: int
    message: str


@dataclass(eq=False)
class Source:
    """Text, tree and line map of a unit of Python source."""

    file: File
    lines: list[str]
    tree: ast.Module
    errors: list[ParseError] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    magics: list[tuple[int, str]] = field(default_factory=list)  # line in the text, what stood there

    @property
    def is_notebook(self) -> bool:
        return self.file.suffix == ".ipynb"

    def cell_at(self, line: int) -> Cell | None:
        """The cell that holds a line of the program's text; None in a `.py` file."""
        found = None
        for cell in self.cells:
            if cell.first_line > line:
                break
            found = cell
        return found

    def site(self, node: ast.AST | int, *, anchor: str = "", note: str | None = None) -> Site:
        """The place of a node, or of a line of the program's text, with the text that stands there."""
        if isinstance(node, int):
            line = line_end = node
        else:
            line = getattr(node, "lineno", 1)
            line_end = getattr(node, "end_lineno", None) or line
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            line_end = line  # the heading says which; the body would drown it
        if not self.is_notebook:
            return self.file.site(line, line_end, anchor=anchor, note=note)
        cell = self.cell_at(line)
        if cell is None:
            return Site(self.file.path, 1, 1, "", 0, anchor, note)
        own = split_lines(cell.source)
        first = line - cell.first_line + 1
        last = min(line_end - cell.first_line + 1, len(own), first + MAX_QUOTE_LINES - 1)
        return Site(
            self.file.path, first, max(first, last), clip_quote(own[first - 1 : last]), cell.index, anchor, note
        )


def parse(file: File) -> Source:
    """Parse a `.py` file or a notebook. What cannot be parsed is in `errors`, and the tree holds the rest: also of a
    script with the magics of a notebook, which some platforms run as it is."""
    if file.suffix == ".ipynb":
        return _parse_notebook(file)
    tree, error = _parse_text(file.text)
    source = Source(file, file.lines, tree, [error] if error else [])
    magical = error and not tree.body and any(_MAGIC.match(line) for line in file.lines)
    if magical:  # the rest of it is Python all the same; what Python 2 reads may have a line that starts with %
        source.tree = _parse_text("\n".join(_plain_python(file.lines, 1, source.magics)))[0]
    return source


def _parse_text(text: str) -> tuple[ast.Module, ParseError | None]:
    try:
        return _parsed(text), None
    except SyntaxError as error:
        return _of_python2(text), ParseError(max(1, error.lineno or 1), error.msg)
    except ValueError as error:
        return _empty(), ParseError(1, str(error))
    except (RecursionError, MemoryError):
        return _empty(), ParseError(1, "nested too deeply to be parsed")


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _of_python2(text: str) -> ast.Module:
    """The tree of what an older Python accepts, so that the other rules see the code; empty where it is none."""
    from ml_engineer.assessment.python2 import as_python3

    older = as_python3(text)
    try:
        return _parsed(older) if older is not None else _empty()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _empty()


def _empty() -> ast.Module:
    return ast.Module(body=[], type_ignores=[])


def _parse_notebook(file: File) -> Source:
    source = Source(file, [], _empty())
    try:
        notebook = json.loads(file.text) if file.text.strip() else {}
    except (ValueError, RecursionError) as error:
        source.errors.append(ParseError(1, f"not a valid notebook: {error}"))
        return source
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if cells is None and isinstance(notebook, dict):  # nbformat 3 keeps them in worksheets
        sheets = notebook.get("worksheets")
        cells = sheets[0].get("cells") if isinstance(sheets, list) and sheets and isinstance(sheets[0], dict) else None
    if not isinstance(cells, list):
        source.errors.append(ParseError(1, "not a valid notebook: it has no list of cells"))
        return source
    if not _is_python(notebook):
        return source
    for index, cell in enumerate(cells):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            _add_cell(source, index, cell)
    tree, broken = _parse_text("\n".join(source.lines))
    if broken:  # one broken cell must not hide the others
        tree = _parse_cells(source)
    source.tree = tree
    return source


def _is_python(notebook: dict[str, Any]) -> bool:
    metadata = notebook.get("metadata")
    language = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = language.get("name") if isinstance(language, dict) else None
    return not isinstance(name, str) or "python" in name.lower()


def _add_cell(source: Source, index: int, cell: dict[str, Any]) -> None:
    text = cell_source(cell) or (cell.get("input") if isinstance(cell.get("input"), str) else "") or ""
    count = cell.get("execution_count", cell.get("prompt_number"))
    outputs = cell.get("outputs")
    first_line = len(source.lines) + 1
    source.cells.append(
        Cell(
            index,
            count if isinstance(count, int) else None,
            text,
            [o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else [],
            first_line,
        )
    )
    source.lines.extend(_plain_python(split_lines(text) or [""], first_line, source.magics))


def _plain_python(lines: list[str], first_line: int, magics: list[tuple[int, str]]) -> list[str]:
    """The lines of a cell with IPython's own syntax made harmless, one line for one line."""
    cell_magic = _CELL_MAGIC.match(lines[0])
    if cell_magic:
        magics.append((first_line, lines[0].strip()))
        if cell_magic[1] not in _PYTHON_CELL_MAGICS:
            for number, line in enumerate(lines[1:], 1):
                _keep_magic(magics, first_line + number, line, lines[number - 1].rstrip().endswith("\\"))
            return [""] * len(lines)
        lines = ["", *lines[1:]]
    if any(_MAGIC.match(line) for line in lines) and _parse_text("\n".join(lines))[1] is None:
        return lines  # Python after all: `% (a, b)` below a text in brackets is no magic
    plain = []
    continued = False
    for number, line in enumerate(lines):
        if continued:
            _keep_magic(magics, first_line + number, line, True)
            plain.append("")
            continued = line.rstrip().endswith("\\")
            continue
        magic = _MAGIC.match(line)
        assigned = _ASSIGNED_MAGIC.match(line)
        if magic:
            magics.append((first_line + number, line.strip()))
            continued = line.rstrip().endswith("\\")
            line = f"{magic[1] or magic[3] or ''}pass"
        elif assigned:
            magics.append((first_line + number, line.strip()))
            line = f"{assigned[1]}None"
        plain.append(line)
    if any(_AUTOMAGIC.match(line) for line in plain) and _parse_text("\n".join(plain))[1] is not None:
        for number, line in enumerate(plain):
            if _AUTOMAGIC.match(line):
                magics.append((first_line + number, line.strip()))
                plain[number] = "pass"
    return plain


def _keep_magic(magics: list[tuple[int, str]], number: int, line: str, continued: bool) -> None:
    """Note a line that is not Python; one that goes on from the line above is part of that."""
    if continued and magics:
        start, before = magics[-1]
        magics[-1] = (start, f"{before.rstrip().removesuffix(chr(92))} {line.strip()}")
    else:
        magics.append((number, line.strip()))


def _parse_cells(source: Source) -> ast.Module:
    module = _empty()
    bounds = [*(cell.first_line for cell in source.cells), len(source.lines) + 1]
    for cell, end in zip(source.cells, bounds[1:], strict=True):
        body = source.lines[cell.first_line - 1 : end - 1]
        tree, error = _parse_text("\n" * (cell.first_line - 1) + "\n".join(body))
        if error:
            source.errors.append(error)
        module.body.extend(tree.body)
    return module
