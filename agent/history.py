"""What a conversation has changed in the repository: taking it back turn by turn, and showing it as a diff.

    undone = undo(checkpoints, log)          the last turn's changes, or None where nothing is left
    text = diff(checkpoints, workspace)      unified, from before the conversation to what is there now

What somebody else has changed since is never overwritten unasked: it is named as a conflict and left alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from ml_engineer.agent.prompts import quoted
from ml_engineer.agent.session_log import SessionLog
from ml_engineer.report.text import one_line
from ml_engineer.tools.base import ToolError
from ml_engineer.tools.checkpoints import ABSENT, Checkpoints, Restored, State
from ml_engineer.tools.textfile import decode
from ml_engineer.tools.workspace import Workspace

MAX_DIFF = 4 << 20  # bytes of one file that is compared line by line


@dataclass(frozen=True)
class Undone:
    """What was taken back, and of which turn."""

    title: str
    restored: Restored

    def text(self) -> str:
        """For the user."""
        done = "Taken back" if self.restored.paths else "Nothing was taken back"
        lines = [f"{done}: {one_line(self.title)[:200]}"]
        lines += [f"  {path} is as it was before" for path in self.restored.paths]
        lines += [f"  {path} was changed by somebody else since and was left alone" for path in self.restored.conflicts]
        lines += [f"  {path} cannot be restored: its old content was not kept" for path in self.restored.lost]
        if self.restored.conflicts:
            lines.append("/undo force puts back those that were left alone, too. /undo goes on with the turn before.")
        return "\n".join(lines)

    def note(self) -> str:
        """For the model, which remembers its own version of the files."""
        paths = quoted("undo", "\n".join(self.restored.paths))
        return f"[The user has taken back changes: these files are as before that turn. Read before you edit.]\n{paths}"


def undo(checkpoints: Checkpoints, log: SessionLog, *, force: bool = False) -> Undone | None:
    """Take back the last turn that still stands, whole. `force` begins with what was left alone before, and overwrites
    what somebody else has changed since."""
    steps = dict.fromkeys(change.step for change in reversed(checkpoints.standing()))
    step = next((one for one in steps if force or one not in log.passed), None)
    if step is None:
        return None
    turn = log.turn_of(step)
    restored = checkpoints.restore_step(step, force=force)
    log.pass_by(step)
    return Undone(turn.title if turn else step, restored)


def diff(checkpoints: Checkpoints, workspace: Workspace, path: str | None = None) -> str:
    """What is different from before the conversation, file by file; empty where nothing is."""
    wanted = None if path is None else workspace.relative(path)
    parts: list[str] = []
    for name, before in sorted(checkpoints.originals().items()):
        now = checkpoints.state_of(name)
        if now != before and (wanted is None or name == wanted or name.startswith(f"{wanted}/")):
            parts += _of_file(checkpoints, workspace, name, before, now)
    return "\n".join(parts) + ("\n" if parts else "")


def _of_file(checkpoints: Checkpoints, workspace: Workspace, name: str, before: State, now: State) -> Iterator[str]:
    old = b"" if before == ABSENT else checkpoints.content(before)
    new = b"" if now == ABSENT else _read(workspace, name) if now["kind"] == "file" else None
    left, right = (_lines(one) for one in (old, new))
    if left is None or right is None:
        yield f"{name}: {_what(before)} before, {_what(now)} now"
        return
    labels = ("/dev/null" if before == ABSENT else f"a/{name}", "/dev/null" if now == ABSENT else f"b/{name}")
    found = list(difflib.unified_diff(left, right, *labels, lineterm=""))
    yield from found or [f"{name}: {_what(before)} before, {_what(now)} now"]


def _read(workspace: Workspace, name: str) -> bytes | None:
    try:
        return workspace.read(name, limit=MAX_DIFF)
    except ToolError:
        return None  # too large, or gone in this moment


def _lines(raw: bytes | None) -> list[str] | None:
    """Lines of text; None for what cannot be compared as text."""
    if raw is None or len(raw) > MAX_DIFF:
        return None
    file = decode(raw) if raw else None
    if raw and file is None:
        return None
    text = file.text.replace("\r\n", "\n") if file else ""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    else:
        lines[-1] += "\n\\ No newline at end of file"
    return lines


def _what(state: State) -> str:
    match state["kind"]:
        case "absent":
            return "not there"
        case "link":
            return f"a link to {state['target']}"
        case "file":
            return f"{state['mode']:o} {state['sha256'][:12]}"
        case kind:
            return str(kind)
