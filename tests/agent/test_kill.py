"""SIGKILL at every event of a loop that changes files and runs commands, in a process of its own; another goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.killed import asking
from tests.support.messages_server import MessagesServer
from tests.support.script import call, text

STRIDE = 1 if os.environ.get("ML_ENGINEER_TEST_MOMENTS") else 3  # odd: before an event, then after another
TURNS: list[Any] = [
    [text("I read."), call("Read", file_path="model.py"), call("Read", file_path="other.py")],
    [call("Edit", file_path="model.py", old_string="a = 1", new_string="a = 2")],
    [call("Write", file_path="new.py", content="b = 1\n"), call("Bash", command="echo line >> log.txt")],
    [call("Edit", file_path="model.py", old_string="a = 2", new_string="a = 3")],
    [text("Done.")],
]
FINAL = {"model.py": "a = 3\n", "other.py": "c = 1\n", "new.py": "b = 1\n", "log.txt": "line\n"}

Do = Callable[..., dict[str, Any]]


@contextmanager
def workshop(url: str) -> Iterator[Do]:
    """Gives a function that runs one job in a process that may be killed."""
    with asking("tests.support.workshop") as ask:
        yield lambda folder, stop_at=0: ask({"folder": str(folder), "url": url, "stop_at": stop_at})


def prepare(folder: Path) -> Path:
    (folder / "repository").mkdir(parents=True)
    (folder / "run").mkdir()
    (folder / "repository" / "model.py").write_text("a = 1\n")
    (folder / "repository" / "other.py").write_text("c = 1\n")
    return folder


def tree(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "repository").iterdir() if path.is_file()}


def effects(folder: Path) -> list[str]:
    """Keys of effects that are done, in order."""
    lines = (folder / "run" / "effects.jsonl").read_text().splitlines()
    return [entry["effect"] for entry in map(json.loads, lines) if "done" in entry]


def test_a_loop_killed_at_any_event_goes_on_and_does_nothing_twice(
    serve: Callable[..., MessagesServer], tmp_path: Path
) -> None:
    with workshop(serve(TURNS).url) as do:
        whole = prepare(tmp_path / "whole")
        said = do(whole)
        assert (said["exit"], said["why"], tree(whole)) == (0, "answered", FINAL)
        for stop_at in range(1, said["events"] + 1, STRIDE):
            folder = prepare(tmp_path / str(stop_at))
            assert do(folder, stop_at)["exit"] == -signal.SIGKILL
            resumed = do(folder)
            assert (resumed["exit"], resumed["why"]) == (0, "answered"), f"killed at event {stop_at}"
            assert tree(folder) == FINAL, f"killed at event {stop_at}"
            known = [key for key in effects(whole) if key in effects(folder)]
            assert effects(folder) == known, f"killed at event {stop_at}: an effect out of order, or twice"
            # Only of a command can it be unknown what became of it; it is said, and the command is not run again.
            assert len(effects(whole)) - len(known) == unknown(folder) <= 1


def unknown(folder: Path) -> int:
    return (folder / "run" / "step.jsonl").read_text().count("outcome is unknown")


def test_a_killed_loop_repeats_no_command_whose_outcome_is_unknown(
    serve: Callable[..., MessagesServer], tmp_path: Path
) -> None:
    turns = [[call("Bash", command="echo line >> log.txt")], [text("Done.")]]
    with workshop(serve(turns).url) as do:
        folder = prepare(tmp_path)
        after_the_effect = 4  # turn, tool_start, before, after
        assert do(folder, after_the_effect)["exit"] == -signal.SIGKILL
        assert tree(folder)["log.txt"] == "line\n"
        assert do(folder)["why"] == "answered"
    assert tree(folder)["log.txt"] == "line\n"
    assert unknown(folder) == 1
