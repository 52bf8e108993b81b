"""A repository under git and a scripted model that turns its debugger off, for the interfaces that implement."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.support.review import make_prototype
from tests.support.script import Agent, Script, Turn, call

STEP = {"step": 5, "title": "Turn the debugger off", "changes": "app.py", "checks": ["! grep -q debug=True app.py"]}
EDIT = {"file_path": "app.py", "old_string": ", debug=True", "new_string": ""}


def git(target: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=target, check=True, capture_output=True, text=True).stdout


def make_repository(root: Path) -> Path:
    make_prototype(root)
    git(root, "init", "-q", "-b", "main", ".")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "Prototype")
    return root


def debugger_off(*, latency: float | None = None) -> Script:
    """A plan of one step, and the step: an edit, its check, a commit."""
    plan = call("propose_plan", summary="The debugger is turned off.", steps=[STEP])
    turns: list[Any] = [
        [call("Read", file_path="app.py")],
        [call("Edit", **EDIT)],
        [call("finish_step", summary="The debugger is off.")],
    ]
    read = [Turn.read(turn if latency is None else {"blocks": turn, "latency": latency}) for turn in turns]
    return Script([Agent([Turn.read([plan])], "# Plan the work"), Agent(read, "# Your step: 5 ")])
