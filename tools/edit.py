"""Edit: replaces one exact piece of text. The work on text is `apply`, which MultiEdit shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pydantic import Field

from ml_engineer.tools import notebook
from ml_engineer.tools.base import Tool, ToolError, ToolInput, ToolResult
from ml_engineer.tools.change import Written, change_file
from ml_engineer.tools.context import Context
from ml_engineer.tools.ledger import short_hash
from ml_engineer.tools.nomatch import explain
from ml_engineer.tools.replace import ManyMatches, NoMatch, replace
from ml_engineer.tools.textfile import TextFile, decode, shown
from ml_engineer.tools.truncate import clip_line
from ml_engineer.tools.write import encode

DESCRIPTION = """Replaces a piece of text in a file that was read before.

- old_string must be exactly the file's text, white space included, without Read's line numbers; \\n stands for the
  file's own line ending. It must occur once: add lines around it until it does, or set replace_all.
- Several changes to one file: MultiEdit. A new file: Write."""

_AROUND = 3  # lines shown before and after
_SHOWN = 30


class EditInput(ToolInput):
    file_path: str = Field(min_length=1, description="Path from the workspace root.")
    old_string: str = Field(description="The text to replace.")
    new_string: str = Field(description="What to put in its place; empty to delete.")
    replace_all: bool = Field(False, description="Replace every occurrence.")
    cell: int | None = Field(None, ge=0, description="In a notebook: index of the cell.")


class Change(Protocol):
    """One replacement, as Edit and MultiEdit name its parts."""

    @property
    def old_string(self) -> str: ...
    @property
    def new_string(self) -> str: ...
    @property
    def replace_all(self) -> bool: ...
    @property
    def cell(self) -> int | None: ...


@dataclass(frozen=True)
class Applied:
    """The text after a change; `where` are the (start, end) of the replaced pieces in `before`, in a cell's source."""

    text: str
    before: str
    after: str
    where: list[tuple[int, int]]


async def run(context: Context, call: EditInput) -> ToolResult:
    applied: list[Applied] = []

    def compute(old: bytes | None) -> bytes:
        file = text_of(old, call.file_path)
        applied.append(apply(file.text, call, call.file_path))
        return encode(file, applied[-1].text, call.file_path)

    written = change_file(context, "Edit", call.file_path, compute)
    return report(written, applied, [call])


def text_of(raw: bytes | None, path: str) -> TextFile:
    """Raises ToolError for a binary file."""
    file = decode(raw or b"")
    if file is None:
        raise ToolError(f"{path} is binary and cannot be edited as text. Change it with the program that made it.")
    return file


def apply(text: str, change: Change, path: str) -> Applied:
    """Makes one replacement. Raises ToolError that says why it cannot be made and what to send instead."""
    if change.old_string == "":
        raise ToolError("old_string is empty. Give the text to replace; to make a new file or a whole one use Write.")
    if change.old_string == change.new_string:
        raise ToolError("old_string and new_string are the same: there is nothing to change.")
    is_notebook = path.endswith(".ipynb")
    if change.cell is not None and not is_notebook:
        raise ToolError(f"cell is for notebooks, and {path} is none. Leave cell out.")
    if not is_notebook:
        after, spans = _replace(text, change, path)
        return Applied(after, text, after, spans)
    cell = _cell(text, change, path)
    after, spans = _replace(cell.source, change, f"cell {cell.index} of {path}")
    return Applied(notebook.with_source(text, cell, after), cell.source, after, spans)


def _cell(text: str, change: Change, path: str) -> notebook.Cell:
    cells = notebook.cells(text, path)
    if change.cell is None:
        holders = [str(cell.index) for cell in cells if change.old_string in cell.source]
        hint = f" old_string occurs in cell {', '.join(holders)}." if holders else " Read shows the cells."
        raise ToolError(f"{path} is a notebook: say with cell which one to edit.{hint}")
    if change.cell >= len(cells):
        raise ToolError(f"{path} has {len(cells)} cells, from 0 to {len(cells) - 1}; there is no cell {change.cell}.")
    return cells[change.cell]


def _replace(text: str, change: Change, where: str) -> tuple[str, list[tuple[int, int]]]:
    try:
        done = replace(text, change.old_string, change.new_string, replace_all=change.replace_all)
    except NoMatch:
        why = explain(text, change.old_string, change.new_string)
        raise ToolError(f"old_string was not found in {where}. {why}") from None
    except ManyMatches as error:
        shown_lines = ", ".join(map(str, error.lines[:20])) + (" …" if len(error.lines) > 20 else "")
        raise ToolError(
            f"old_string occurs {len(error.lines)} times in {where}, at lines {shown_lines}. "
            "Add lines around it until it is unique, or set replace_all to change all of them."
        ) from None
    return done.text, done.spans


def report(written: Written, applied: list[Applied], changes: list[Change]) -> ToolResult:
    """What was changed, with the new lines around the first place of each change."""
    count = sum(len(one.where) for one in applied)
    blocks = [snippet(one) for one in applied]
    noun = "replacement" if count == 1 else "replacements"
    text = f"Edited {written.path}: {count} {noun}, sha256 {short_hash(written.after)}.\n" + "\n…\n".join(blocks)
    cells = sorted({change.cell for change in changes if change.cell is not None})
    return ToolResult(text, written.data() | {"replacements": count} | ({"cells": cells} if cells else {}))


def snippet(applied: Applied) -> str:
    """The lines around the first replaced piece, numbered as they are now."""
    start, end = applied.where[0]
    if len(applied.where) == 1:
        stop = end + len(applied.after) - len(applied.before)
    else:
        stop = start
    first_line = applied.after.count("\n", 0, start)
    last_line = first_line + applied.after.count("\n", start, stop)
    begin = start
    for _ in range(_AROUND + 1):
        begin = applied.after.rfind("\n", 0, max(begin, 0))
    lines = applied.after[begin + 1 : _line_end(applied.after, stop, _AROUND + 1)].replace("\r\n", "\n").split("\n")
    first = max(0, first_line - _AROUND)
    if lines[-1] == "" and last_line + 1 < first + len(lines):
        lines.pop()  # what follows the last line end is no line
    wanted = last_line - first + _AROUND + 1
    numbered = [f"{first + n}\t{clip_line(shown(line), 300)}" for n, line in enumerate(lines[:wanted], 1)]
    if len(numbered) > _SHOWN:
        middle = f"     …\t({len(numbered) - _SHOWN} lines)"
        numbered = [*numbered[: _SHOWN // 2], middle, *numbered[-_SHOWN // 2 :]]
    return "\n".join(numbered)


def _line_end(text: str, at: int, lines: int) -> int:
    for _ in range(lines):
        at = text.find("\n", at) + 1
        if at == 0:
            return len(text)
    return at - 1


EDIT = Tool("Edit", DESCRIPTION, EditInput, run, read_only=False)
