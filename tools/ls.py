"""LS: the entries of one folder."""

from __future__ import annotations

import fnmatch
import os
import stat

from pydantic import Field

from ml_engineer.tools.base import Tool, ToolInput, ToolResult
from ml_engineer.tools.context import Context
from ml_engineer.tools.terminal import neutralise

MAX_ENTRIES = 1_000

DESCRIPTION = """Lists one folder: folders first, then files with their sizes, hidden ones too."""


class LSInput(ToolInput):
    path: str = Field(".", description="The folder; the workspace root by default.")
    ignore: list[str] = Field([], description='Names to leave out, such as "*.pyc".')


async def run(context: Context, call: LSInput) -> ToolResult:
    path = call.path or "."
    entries = [
        (name, info)
        for name, info in context.workspace.list(path)
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in call.ignore)
    ]
    entries.sort(key=lambda entry: (not stat.S_ISDIR(entry[1].st_mode), entry[0]))
    shown = entries[:MAX_ENTRIES]
    with context.workspace.directory(path) as fd:
        lines = [_line(fd, name, info) for name, info in shown]
    total = f"{len(entries):,} entries" if len(entries) != 1 else "1 entry"
    if len(entries) > len(shown):
        total += f", the first {len(shown):,} shown; use Glob with a pattern to see others"
    data = {
        "path": context.workspace.relative(path),
        "entries": [{"name": name, "kind": _kind(info), "size": info.st_size} for name, info in shown],
        "total": len(entries),
    }
    return ToolResult("\n".join([*lines, f"[{total}]"]), data)


def _line(fd: int, name: str, info: os.stat_result) -> str:
    safe = neutralise(name).replace("\n", "\\n")
    match _kind(info):
        case "folder":
            return f"{safe}/"
        case "link":
            return f"{safe} -> {neutralise(os.readlink(name, dir_fd=fd))}"
        case "file":
            return f"{safe}  ({info.st_size:,} bytes)"
        case kind:
            return f"{safe}  ({kind})"


def _kind(info: os.stat_result) -> str:
    for test, kind in ((stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link"), (stat.S_ISREG, "file")):
        if test(info.st_mode):
            return kind
    return "special"


LS = Tool("LS", DESCRIPTION, LSInput, run, read_only=True)
