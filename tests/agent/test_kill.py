"""SIGKILL at every event of a loop that changes files, in a process of its own; then a new process goes on.

The child stops itself at the event whose number it is given, so every boundary is met exactly, and in the middle of an
edit as well: between the intent in the ledger and the change, and between the change and the result.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.messages_server import MessagesServer
from tests.support.script import call, text

ROOT = Path(__file__).resolve().parents[2]
TURNS: list[Any] = [
    [text("I read."), call("Read", file_path="model.py"), call("Read", file_path="other.py")],
    [call("Edit", file_path="model.py", old_string="a = 1", new_string="a = 2")],
    [call("Write", file_path="new.py", content="b = 1\n"), call("Bash", command="echo line >> log.txt")],
    [call("Edit", file_path="model.py", old_string="a = 2", new_string="a = 3"), call("Bash", command="cat log.txt")],
    [text("Done.")],
]
CHILD = '''
import asyncio, os, signal, sys
from pathlib import Path
from ml_engineer.agent.client import find_settings, open_client
from ml_engineer.agent.ledger import Ledger
from ml_engineer.agent.toolbox import RepositoryTools
from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Transcript
from ml_engineer.tools.context import open_context

repository, run, stop_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
count = 0

def step(kind, **data):
    global count
    if kind in ("text", "thinking", "tool_call"):
        return
    count += 1
    if count == stop_at:
        os.kill(os.getpid(), signal.SIGKILL)

class Tools(RepositoryTools):
    async def run(self, call):
        step("before")
        outcome = await super().run(call)
        step("after")
        return outcome

async def main():
    client = open_client(find_settings())
    async with open_context(repository, run, fsync=False) as context:
        for path in ("model.py", "other.py"):
            context.ledger.shown(path, (repository / path).read_bytes(), 1, 1, 1)  # what a resumed run must read again
        loop = ToolLoop(client, Transcript(run / "step.jsonl"), Tools(context), ["be brief"],
                        ledger=Ledger(run / "effects.jsonl"), notify=step)
        ending = await loop.run("the brief")
    print(ending.why.value, count)

asyncio.run(main())
'''


def child(url: str, folder: Path, stop_at: int) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "ANTHROPIC_BASE_URL": url, "ML_ENGINEER_MODEL": "scripted", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CHILD, str(folder / "repository"), str(folder / "run"), str(stop_at)]
    return subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=120)


def prepare(folder: Path) -> None:
    (folder / "repository").mkdir(parents=True)
    (folder / "run").mkdir()
    (folder / "repository" / "model.py").write_text("a = 1\n")
    (folder / "repository" / "other.py").write_text("c = 1\n")


def tree(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "repository").iterdir() if path.is_file()}


def effects(folder: Path) -> list[str]:
    """Keys of effects that are done, in order."""
    lines = (folder / "run" / "effects.jsonl").read_text().splitlines()
    return [entry["effect"] for entry in map(json.loads, lines) if "done" in entry]


def test_a_killed_loop_goes_on_and_does_nothing_twice(serve: Callable[..., MessagesServer], tmp_path: Path) -> None:
    server = serve(TURNS)
    whole = tmp_path / "whole"
    prepare(whole)
    done = child(server.url, whole, 0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("answered")
    events = int(done.stdout.split()[1])
    assert events >= 30
    assert tree(whole) == {"model.py": "a = 3\n", "other.py": "c = 1\n", "new.py": "b = 1\n", "log.txt": "line\n"}

    # Each child takes a second of start-up, so these are the boundaries of the second and third turn: an edit, a new
    # file and a command, before, within and after each.
    for stop_at in range(8, 22):
        folder = tmp_path / str(stop_at)
        prepare(folder)
        killed = child(server.url, folder, stop_at)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        resumed = child(server.url, folder, 0)
        assert resumed.returncode == 0, f"{stop_at}: {resumed.stderr}"
        assert resumed.stdout.startswith("answered"), f"{stop_at}: {resumed.stdout}"
        assert tree(folder) == tree(whole), f"killed at event {stop_at}"
        assert effects(folder) == effects(whole), f"killed at event {stop_at}"


def test_a_command_that_was_under_way_is_reported_as_unknown_and_not_repeated(
    serve: Callable[..., MessagesServer], tmp_path: Path
) -> None:
    server = serve([[call("Bash", command="echo line >> log.txt; sleep 0.05; kill -9 $PPID; sleep 1")], [text("Done.")]])
    prepare(tmp_path)
    killed = child(server.url, tmp_path, 0)
    if killed.returncode != -signal.SIGKILL:
        pytest.skip("the command's parent is not the loop's process here")
    assert child(server.url, tmp_path, 0).returncode == 0
    assert tree(tmp_path)["log.txt"] == "line\n"
    assert "outcome is unknown" in (tmp_path / "run" / "step.jsonl").read_text()
