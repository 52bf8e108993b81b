"""What a call would do, before it does it: the command in full, or the change to a file as a unified diff.

    preview(call_name, call_input, root) -> Preview(kind, text)       # kind: command, diff or text

The change is made on a copy of the text, with the functions the tools themselves use, so that what is approved is what
is done; where it cannot be made, the preview says why (and the tool will fail in the same way).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ml_engineer.report.visible import one_line

_LARGEST = 4 << 20  # bytes of a file that is compared


@dataclass(frozen=True)
class Preview:
    """`path` is set for a change of a file."""

    kind: Literal["command", "diff", "text"]
    text: str
    path: str = ""


def preview(name: str, call: Mapping[str, Any], root: Path) -> Preview:
    """What this call would do. Never raises: a call that makes no sense is shown as it is."""
    if name == "Bash" and isinstance(call.get("command"), str):
        return Preview("command", call["command"])
    path = call.get("file_path")
    if name not in ("Edit", "MultiEdit", "Write") or not isinstance(path, str):
        return Preview("text", json.dumps(call, ensure_ascii=False, indent=1, default=str))
    try:
        return Preview("diff", _diff(name, call, root, path), path)
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Preview("text", f"{name} {path}: {reason or 'it cannot be compared'}", path)


def _diff(name: str, call: Mapping[str, Any], root: Path, path: str) -> str:
    from ml_engineer.tools.textfile import decode

    place = root / path
    raw = b""
    if place.is_file():
        if place.stat().st_size > _LARGEST:
            raise ValueError("the file is too large to be compared here")
        raw = place.read_bytes()
    file = decode(raw)
    if file is None:
        raise ValueError("the file is binary")
    before = file.text
    after = str(call.get("content", "")) if name == "Write" else _edited(before, name, call)
    old = [] if name == "Write" and not raw else before.splitlines()
    lines = difflib.unified_diff(old, after.splitlines(), f"a/{path}" if old else "/dev/null", f"b/{path}", lineterm="")
    return "\n".join(lines) or "(no line changes)"


def _edited(text: str, name: str, call: Mapping[str, Any]) -> str:
    from ml_engineer.tools.replace import ManyMatches, NoMatch, replace

    edits = call.get("edits") if name == "MultiEdit" else [call]
    if not isinstance(edits, list) or not all(isinstance(edit, Mapping) for edit in edits):
        raise ValueError("the call has no edits")
    for edit in edits:
        old, new = edit.get("old_string"), edit.get("new_string")
        if not isinstance(old, str) or not isinstance(new, str) or not old:
            raise ValueError("the call does not say what to replace")
        try:
            text = replace(text, old, new, replace_all=bool(edit.get("replace_all"))).text
        except NoMatch:
            raise ValueError(f"the text to replace is not in the file: {one_line(old)[:60]}") from None
        except ManyMatches as error:
            raise ValueError(f"the text to replace is there {len(error.lines)} times") from None
    return text
