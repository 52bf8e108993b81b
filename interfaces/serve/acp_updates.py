"""What ACP shows of a tool call: its kind, a title, the files, and a diff for a change.

begun(call_id, name, input, root)            a `tool_call` update, also asked about in a permission request
ended(call_id, is_error, text)               its `tool_call_update`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from acp import start_tool_call, text_block, tool_content, tool_diff_content, update_tool_call
from acp.schema import (
    AgentPlanUpdate,
    FileEditToolCallContent,
    PlanEntry,
    PlanEntryStatus,
    ToolCallLocation,
    ToolCallProgress,
    ToolCallStart,
    ToolKind,
)

from ml_engineer.report.text import one_line

MAX_OLD = 1 << 20  # bytes of a file that is read to show what `Write` replaces
MAX_TEXT = 20_000  # characters of a result that are shown
_KINDS: dict[str, ToolKind] = {
    "Read": "read", "LS": "read", "Grep": "search", "Glob": "search", "Edit": "edit", "MultiEdit": "edit",
    "Write": "edit", "Bash": "execute", "BashOutput": "execute", "KillShell": "execute", "Delegate": "think",
    "UpdatePlan": "think",
}  # fmt: skip
_SUBJECTS = ("file_path", "command", "pattern", "path", "peer", "label")
PlanState = Literal["pending", "active", "done", "failed"]
_STATES: dict[PlanState, PlanEntryStatus] = {
    "pending": "pending", "active": "in_progress", "done": "completed", "failed": "completed",
}  # fmt: skip


def begun(call_id: str, name: str, given: dict[str, Any], root: Path) -> ToolCallStart:
    """The call as it is about to run."""
    subject = next((str(given[key]) for key in _SUBJECTS if given.get(key)), "")
    title = f"{name}: {one_line(subject)[:160]}" if subject else name
    path = given.get("file_path") or given.get("path")
    return start_tool_call(
        call_id,
        title,
        kind=_KINDS.get(name, "other"),
        status="in_progress",
        content=diffs(name, given, root) or None,
        locations=[ToolCallLocation(path=str(root / str(path)))] if path else None,
        raw_input=given,
    )


def ended(call_id: str, is_error: bool, text: str) -> ToolCallProgress:
    """The call with its result."""
    shown = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n[{len(text) - MAX_TEXT:,} characters more]"
    content = [tool_content(text_block(shown))] if is_error else None  # a diff that was made stays what is shown
    return update_tool_call(call_id, status="failed" if is_error else "completed", content=content, raw_output=shown)


def diffs(name: str, given: dict[str, Any], root: Path) -> list[FileEditToolCallContent]:
    """What a call would change, as far as its input says; empty for calls that change no file, or cannot be read."""
    path = given.get("file_path")
    if not isinstance(path, str):
        return []
    place = root / path
    if name == "Write" and isinstance(given.get("content"), str):
        return [tool_diff_content(str(place), given["content"], _old(place, root))]
    edits = given.get("edits") if name == "MultiEdit" else [given] if name == "Edit" else []
    found = []
    for edit in edits if isinstance(edits, list) else []:
        old, new = (edit.get(key) if isinstance(edit, dict) else None for key in ("old_string", "new_string"))
        if isinstance(old, str) and isinstance(new, str):
            found.append(tool_diff_content(str(place), new, old))
    return found


def _old(place: Path, root: Path) -> str | None:
    """The file's text before; None for a new file, one elsewhere, or one that is no text of a size to show."""
    if not place.resolve().is_relative_to(root):
        return None
    try:
        if place.stat().st_size > MAX_OLD:
            return None
        return place.read_text("utf-8")
    except (OSError, ValueError):
        return None


def plan(parts: list[tuple[str, PlanState]]) -> AgentPlanUpdate:
    """The whole plan; ACP has no word for what was given up, so that its text says it."""
    entries = [
        PlanEntry(content=text if state != "failed" else f"{text} (given up)", priority="medium", status=_STATES[state])
        for text, state in parts
    ]
    return AgentPlanUpdate(session_update="plan", entries=entries)
