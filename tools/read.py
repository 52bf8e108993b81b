"""Read: a file's lines with their numbers, or a notebook's cells."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from ml_engineer.tools import notebook
from ml_engineer.tools.base import Tool, ToolError, ToolInput, ToolResult
from ml_engineer.tools.context import Context
from ml_engineer.tools.ledger import content_hash
from ml_engineer.tools.textfile import decode, shown
from ml_engineer.tools.truncate import MAX_CHARS, clip_line, head

DEFAULT_LIMIT = 2_000
_OUTPUT_SHOWN = 800  # characters of one cell's output

DESCRIPTION = f"""Reads a text file; each line comes as its number, a tab, and the line.

- At most {MAX_CHARS:,} characters at once; offset and limit choose a part. Long lines are clipped.
- A file must be read before it may be changed, and again when it has changed since.
- Notebooks come cell by cell, with the index that Edit wants."""

# What the first bytes say of a file that is no text, and what can be done with it.
_SIGNATURES = (
    (b"%PDF", "a PDF document", "Extract its text with Bash (pdftotext FILE -), or ask for a text version."),
    (b"\x89PNG", "a PNG image", "Images cannot be shown here; Bash can tell its size (file FILE)."),
    (b"\xff\xd8\xff", "a JPEG image", "Images cannot be shown here; Bash can tell its size (file FILE)."),
    (b"GIF8", "a GIF image", "Images cannot be shown here; Bash can tell its size (file FILE)."),
    (
        b"PK\x03\x04",
        "a zip archive (also .npz, .pt, .keras, .whl, .docx)",
        "List it with Bash (python -m zipfile -l FILE).",
    ),
    (b"\x1f\x8b", "gzip-compressed", "See its text with Bash (gzip -cd FILE | head)."),
    (b"PAR1", "a Parquet file", "Describe it with Bash and the project's own pandas or pyarrow."),
    (b"\x93NUMPY", "a NumPy array", "Describe it with Bash (numpy.load with mmap_mode and allow_pickle=False)."),
    (b"\x89HDF", "an HDF5 file", "List it with Bash (h5ls FILE, or h5py)."),
    (b"SQLite format 3", "an SQLite database", "Query it with Bash (sqlite3 FILE .schema)."),
    (b"\x80", "a pickle", "Never load it: that runs code. Bash can disassemble it (python -m pickletools FILE)."),
)


class ReadInput(ToolInput):
    file_path: str = Field(min_length=1, description="Path from the workspace root.")
    offset: int = Field(1, ge=0, description="First line, from 1 (notebook: first cell, from 0).")
    limit: int = Field(DEFAULT_LIMIT, ge=1, description="Lines (or cells) to show.")


async def run(context: Context, call: ReadInput) -> ToolResult:
    with context.workspace.locate(call.file_path) as place:
        path = place.path
    raw = context.workspace.read(path)
    file = decode(raw)
    if file is None:
        raise ToolError(_what_binary(call.file_path, raw))
    if path.endswith(".ipynb") and raw.strip():
        return _cells(context, call, path, raw, file.text)
    lines = file.text.replace("\r\n", "\n").split("\n")
    ends_with_newline = lines[-1] == ""
    if ends_with_newline:
        lines.pop()
    start = max(0, call.offset - 1)
    if start >= len(lines) and lines:
        raise ToolError(f"{call.file_path} has {len(lines):,} lines; offset {call.offset:,} is past its end.")
    numbered = [f"{start + n}\t{clip_line(shown(line))}" for n, line in enumerate(lines[start : start + call.limit], 1)]
    kept, left_out = head(numbered)
    end = start + len(kept)
    context.ledger.shown(path, raw, start + 1, end, len(lines))
    facts = [_extent(start, end, len(lines))]
    facts += [file.label] if file.label else []
    facts += ["mixed line endings"] if file.mixed_newlines else ["CRLF line endings"] if file.newline == "\r\n" else []
    facts += ["no newline at the end"] if lines and not ends_with_newline else []
    if end < len(lines):
        facts.append(f"go on with offset {end + 1}")
    data: dict[str, Any] = {"path": path, "sha256": content_hash(raw), "lines": len(lines)}
    data |= {"first": start + 1, "last": end, "encoding": file.encoding, "truncated": left_out > 0}
    return ToolResult("\n".join([*kept, f"[{', '.join(facts)}]"]), data)


def _extent(start: int, end: int, total: int) -> str:
    """How much of the file is shown."""
    if end - start < total:
        return f"lines {start + 1:,}-{end:,} of {total:,}"
    return "empty file" if not total else f"{total:,} line{'s' if total > 1 else ''}"


def _cells(context: Context, call: ReadInput, path: str, raw: bytes, text: str) -> ToolResult:
    cells = notebook.cells(text, call.file_path)
    start = call.offset if "offset" in call.model_fields_set else 0
    if start >= len(cells) and cells:
        raise ToolError(f"{call.file_path} has {len(cells):,} cells, from 0; offset {start:,} is past its end.")
    blocks = ["\n".join(_cell_lines(cell)) for cell in cells[start : start + call.limit]]
    kept, _ = head(blocks)
    end = start + len(kept)
    context.ledger.shown(path, raw, start + 1, end, len(cells))
    facts = [f"cells {start}-{end - 1} of {len(cells)}" if kept else "no cells"]
    if end < len(cells):
        facts.append(f"go on with offset {end}")
    data = {"path": path, "sha256": content_hash(raw), "cells": len(cells), "first": start, "last": end - 1}
    return ToolResult("\n".join([*kept, f"[{', '.join(facts)}]"]), data)


def _cell_lines(cell: notebook.Cell) -> list[str]:
    lines = [f"--- cell {cell.index} ({cell.kind}) ---"]
    source = cell.source.split("\n") if cell.source else []
    lines += [f"{number}\t{clip_line(shown(line))}" for number, line in enumerate(source, 1)]
    for output in cell.outputs:
        text = _output_text(output)
        if text:
            lines.append(f"  output: {text}")
    return lines


def _output_text(output: Any) -> str:
    """One output in short: its text, or what kind of thing it is."""
    if not isinstance(output, dict):
        return ""
    if output.get("output_type") == "error":
        text: Any = f"{output.get('ename')}: {output.get('evalue')}"
    else:
        bundle = output.get("data", {})
        text = output.get("text", bundle.get("text/plain") if isinstance(bundle, dict) else None)
        if text is None:
            return f"({', '.join(bundle) if isinstance(bundle, dict) else output.get('output_type')})"
    if not isinstance(text, str):
        text = "".join(text) if all(isinstance(part, str) for part in text) else json.dumps(text)
    return clip_line(shown(text.rstrip("\n")), _OUTPUT_SHOWN)


def _what_binary(path: str, raw: bytes) -> str:
    for signature, kind, advice in _SIGNATURES:
        if raw.startswith(signature):
            return f"{path} is {kind}, {len(raw):,} bytes, and not text. {advice}"
    return f"{path} is binary, {len(raw):,} bytes, and not text. Look at it with Bash (file FILE, or xxd FILE | head)."


READ = Tool("Read", DESCRIPTION, ReadInput, run, read_only=True)
