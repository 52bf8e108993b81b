"""The one way in which a tool changes a file: compared with what was read, kept in a checkpoint, replaced, recorded.

written = change_file(context, "Edit", path, compute)     # compute(old bytes, or None for a new file) -> new bytes
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ml_engineer.tools.base import ToolError
from ml_engineer.tools.checkpoints import ABSENT
from ml_engineer.tools.context import Context
from ml_engineer.tools.ledger import content_hash
from ml_engineer.tools.workspace import MissingFolder


@dataclass(frozen=True)
class Written:
    """What was written where. The hashes are SHA-256 of the whole file; `before` is None for a new one."""

    path: str
    checkpoint: int
    before: str | None
    after: str

    def data(self) -> dict[str, Any]:
        """For `ToolResult.data`."""
        hashes = {"sha256_before": self.before, "sha256": self.after}
        return {"path": self.path, "checkpoint": self.checkpoint, **hashes}


def change_file(
    context: Context, tool: str, path: str, compute: Callable[[bytes | None], bytes], *, whole: bool = False
) -> Written:
    """Writes what `compute` makes of the file's bytes.

    `whole`: the caller gave the entire content; it may make a new file, and must have seen all of one that it replaces.
    Raises ToolError, with the file untouched, when it was not read or has changed since, when `compute` raises, or when
    no checkpoint can be made.
    """
    resolved, old = _resolve(context, path)
    if old is None and not whole:
        raise context.workspace.missing(path)
    if old is not None:
        seen = context.ledger.check(resolved, old)
        if whole and not seen.complete:
            raise ToolError(
                f"{path} was read only in part, and {tool} would replace all of it. "
                "Read the rest first, or use Edit to change a part."
            )
    new = compute(old)
    checkpoint, before = context.checkpoints.begin(tool, resolved, step=context.step)
    try:
        if before.get("sha256") != (None if old is None else content_hash(old)) or (old is None) != (before == ABSENT):
            raise ToolError(f"{path} changed while it was being edited; it was left alone. Read it again, then repeat.")
        mode = _write(context, resolved, new, make_parents=old is None)
    except (OSError, ToolError):
        context.checkpoints.cancel(checkpoint)
        raise
    after = content_hash(new)
    context.checkpoints.finish(checkpoint, {"kind": "file", "sha256": after, "mode": mode})
    context.ledger.changed(resolved, new, whole=whole)
    return Written(resolved, checkpoint, before.get("sha256"), after)


def _resolve(context: Context, path: str) -> tuple[str, bytes | None]:
    """The path with links walked, checked for writing, and the bytes that are there."""
    workspace = context.workspace
    try:
        with workspace.locate(path) as place:
            workspace.check_writable(place)
            there = place.lstat() is not None
            resolved = place.path
    except MissingFolder:
        resolved = workspace.relative(path)
        workspace.check_path(resolved)
        return resolved, None
    return resolved, workspace.read(resolved) if there else None


def _write(context: Context, path: str, new: bytes, *, make_parents: bool) -> int:
    with context.workspace.locate(path, make_parents=make_parents) as place:
        context.workspace.replace(place, new)
        return stat.S_IMODE(place.stat().st_mode)
