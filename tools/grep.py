"""Grep: lines, files or counts for a regular expression."""

from __future__ import annotations

import asyncio
import difflib
import itertools

from pydantic import Field

from ml_engineer.tools.base import Tool, ToolError, ToolInput, ToolResult
from ml_engineer.tools.context import Context
from ml_engineer.tools.search import TYPES, Hits, Line, Mode, Query, find
from ml_engineer.tools.textfile import shown
from ml_engineer.tools.truncate import clip_line, head

DEFAULT_HEAD_LIMIT = 250
_MAX_LINE = 500

DESCRIPTION = """Searches file contents with a regular expression (ripgrep's: no look-around). What .gitignore names and
binary files are left out. output_mode: files_with_matches (paths), content (lines, with -A, -B, -C), count."""


class GrepInput(ToolInput):
    pattern: str = Field(min_length=1, description="The regular expression.")
    path: str = Field(".", description="File or folder; the workspace root by default.")
    glob: str | None = Field(None, description='Only these files: "*.py", "src/**/*.yml"; "!*.min.js" leaves out.')
    type: str | None = Field(None, description="Only files of this kind: py, md, yaml, js, docker, …")
    output_mode: Mode = Field("files_with_matches", description="What to give.")
    before: int = Field(0, alias="-B", ge=0, le=50, description="Lines before each match.")
    after: int = Field(0, alias="-A", ge=0, le=50, description="Lines after each match.")
    around: int = Field(0, alias="-C", ge=0, le=50, description="Lines around each match.")
    numbers: bool = Field(True, alias="-n", description="Line numbers.")
    ignore_case: bool = Field(False, alias="-i", description="Ignore case.")
    multiline: bool = Field(False, description="Match across lines, the dot too.")
    head_limit: int = Field(DEFAULT_HEAD_LIMIT, ge=1, description="Results to give.")
    offset: int = Field(0, ge=0, description="Results to leave out first.")


async def run(context: Context, call: GrepInput) -> ToolResult:
    if call.type is not None and call.type not in TYPES:
        near = difflib.get_close_matches(call.type, TYPES, n=1)
        hint = f" Did you mean {near[0]}?" if near else " Use glob instead, such as *.ext."
        raise ToolError(f"There is no type {call.type}.{hint} Types: {', '.join(TYPES)}.")
    with context.workspace.locate(call.path or ".") as place:
        path = place.path
    query = Query(
        pattern=call.pattern,
        path=path,
        glob=call.glob,
        names=TYPES[call.type] if call.type else (),
        mode=call.output_mode,
        before=max(call.before, call.around),
        after=max(call.after, call.around),
        ignore_case=call.ignore_case,
        multiline=call.multiline,
    )
    hits = await asyncio.to_thread(find, context.workspace, query)
    return _result(call, query, hits)


def _result(call: GrepInput, query: Query, hits: Hits) -> ToolResult:
    noun = "line" if call.output_mode == "content" else "file"
    total = sum(map(len, hits.lines.values())) if call.output_mode == "content" else len(hits.files)
    data = {"pattern": call.pattern, "mode": call.output_mode, "total": total, "files": hits.files}
    if not total:
        return ToolResult(f"No match for {call.pattern} in {_where(call)}.", data | {"shown": 0})
    if call.offset >= total:
        raise ToolError(f"Only {_count(total, noun)} found; offset {call.offset} is past the end. Use a smaller one.")
    match call.output_mode:
        case "files_with_matches":
            page = hits.files[call.offset : call.offset + call.head_limit]
        case "count":
            counts = itertools.islice(hits.counts.items(), call.offset, call.offset + call.head_limit)
            page = [f"{path}:{count}" for path, count in counts]
        case "content":
            page = _lines(call, query, hits)
    kept, _ = head(page)
    end = call.offset + len(kept)
    notes: list[str] = []
    if end < total or call.offset:
        notes.append(f"{noun}s {call.offset + 1:,}-{end:,} of {total:,}")
    if end < total:
        notes.append(f"go on with offset {end}, or narrow the pattern, path or glob")
    if call.output_mode == "count":
        notes.insert(0, f"{sum(hits.counts.values()):,} matching lines in {_count(len(hits.counts), 'file')}")
    if hits.incomplete:
        notes.append(f"incomplete: {hits.incomplete}; narrow the search")
    text = "\n".join([*kept, *([f"[{'; '.join(notes)}]"] if notes else [])])
    return ToolResult(text, data | {"shown": len(kept), "incomplete": hits.incomplete})


def _lines(call: GrepInput, query: Query, hits: Hits) -> list[str]:
    """A page as grep writes it: path:line:text for a match, path-line-text for context, -- before each new group.

    Each item is one line, with the separator before it where there is one.
    """
    every = ((path, raw) for path, lines in hits.lines.items() for raw in lines)
    out: list[str] = []
    last: tuple[str, int] | None = None
    for path, raw in itertools.islice(every, call.offset, call.offset + call.head_limit):
        line = Line.parse(raw)
        mark = ":" if line.is_match else "-"
        number = f"{line.number}{mark}" if call.numbers else ""
        group = "--\n" if last and (query.before or query.after) and last != (path, line.number - 1) else ""
        out.append(f"{group}{shown(path)}{mark}{number}{clip_line(shown(line.text), _MAX_LINE)}")
        last = (path, line.number)
    return out


def _where(call: GrepInput) -> str:
    parts = ["the workspace" if call.path in (".", "") else call.path]
    parts += [f"files matching {call.glob}"] if call.glob else []
    parts += [f"{call.type} files"] if call.type else []
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


GREP = Tool("Grep", DESCRIPTION, GrepInput, run, read_only=True)
