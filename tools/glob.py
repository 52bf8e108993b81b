"""Glob: files by name, the newest first."""

from __future__ import annotations

import asyncio

from pydantic import Field

from ml_engineer.tools.base import Tool, ToolInput, ToolResult
from ml_engineer.tools.context import Context
from ml_engineer.tools.search import list_files
from ml_engineer.tools.textfile import shown
from ml_engineer.tools.workspace import Workspace

CAP = 100

DESCRIPTION = f"""Finds files by name, the latest changed first, at most {CAP}. "*.py" matches at any depth, "src/*.py"
only there, "**/" any folders, {{a,b}} either. What .gitignore names is left out."""


class GlobInput(ToolInput):
    pattern: str = Field(min_length=1, description='Such as "src/**/*.py" or "Dockerfile*".')
    path: str = Field(".", description="Folder to search; the workspace root by default.")


async def run(context: Context, call: GlobInput) -> ToolResult:
    with context.workspace.locate(call.path or ".") as place:
        path = place.path
    pattern = _inside(context.workspace, call.pattern)
    listing = await asyncio.to_thread(list_files, context.workspace, path, pattern)
    files = listing.files
    data = {"pattern": call.pattern, "files": files[:CAP], "total": len(files), "incomplete": listing.incomplete}
    if not files:
        where = "the workspace" if path == "." else path
        return ToolResult(
            f"No file matches {call.pattern} in {where}. Ignored files are not searched; LS shows them.", data
        )
    notes = []
    if len(files) > CAP:
        notes.append(f"the {CAP} newest of {len(files):,} files; narrow the pattern or path to see others")
    if listing.incomplete:
        notes.append(f"incomplete: {listing.incomplete}")
    return ToolResult("\n".join([*map(shown, files[:CAP]), *([f"[{'; '.join(notes)}]"] if notes else [])]), data)


def _inside(workspace: Workspace, pattern: str) -> str:
    """An absolute pattern inside the workspace, as one relative to its root; others are taken as they are."""
    root = f"{workspace.root}/"
    return pattern.removeprefix(root) if pattern.startswith(root) else pattern


GLOB = Tool("Glob", DESCRIPTION, GlobInput, run, read_only=True)
