"""SIGKILL at every event of a turn: who comes back finds the conversation, the plan, and every change to take back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_engineer.assessment.assess import assess
from tests.support.conversation import APP, DEBUG_OFF, make_repository
from tests.support.killed import asking
from tests.support.messages_server import MessagesServer
from tests.support.script import call, text

PLAN = [{"text": "Turn it off", "state": "active"}]
TURNS: list[Any] = [
    [call("Read", file_path="app.py"), call("UpdatePlan", items=PLAN)],
    [call("Edit", **DEBUG_OFF)],
    [call("Bash", command="echo line >> log.txt; rm -f src/train.py")],
    [text("Done.")],
    *[[text(f"Answer {number}.")] for number in range(3)],
]
Do = Callable[..., dict[str, Any]]


@contextmanager
def talker(url: str, survey: Path) -> Iterator[Do]:
    """Gives a function that runs one job in a process that may be killed."""
    with asking("tests.support.talker", survey) as ask:

        def do(folder: Path, words: str, stop_at: int = 0, **more: Any) -> dict[str, Any]:
            job = {"home": str(folder / "home"), "root": str(folder / "repository"), "url": url, "words": words}
            return ask({**job, "stop_at": stop_at, **more})

        yield do


def prepare(folder: Path) -> Path:
    make_repository(folder / "repository")
    (folder / "home" / "runs").mkdir(parents=True)
    return folder


def tree(folder: Path) -> dict[str, str]:
    root = folder / "repository"
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_a_conversation_killed_at_any_event_comes_back_whole(
    serve: Callable[..., MessagesServer], tmp_path: Path
) -> None:
    original = {"app.py": APP, "src/train.py": "a = 1\n"}
    changed = {"app.py": APP.replace("debug=True", "debug=False"), "log.txt": "line\n"}
    whole = prepare(tmp_path / "whole")
    survey = tmp_path / "survey.json"
    survey.write_text(assess(whole / "repository").model_dump_json())
    with talker(serve(TURNS).url, survey) as do:
        said = do(whole, "Turn the debugger off")
        assert (said["exit"], said["why"], said["text"], tree(whole)) == (0, "answered", "Done.", changed)
        for stop_at in range(1, said["events"] + 1, 1 if os.environ.get("ML_ENGINEER_TEST_MOMENTS") else 3):
            folder = prepare(tmp_path / str(stop_at))
            killed = do(folder, "Turn the debugger off", stop_at)
            assert killed["exit"] == -signal.SIGKILL
            left = tree(folder)
            resumed = do(folder, "Go on", undo=True)
            at = f"killed at event {stop_at}"
            assert (resumed["exit"], resumed["why"]) == (0, "answered"), at
            assert resumed["replayed"] == ["Turn the debugger off"], at
            assert resumed["plan"] in ([], ["active"]), at
            assert (resumed["diff"], tree(folder)) == ("", original), f"{at}, which left {left}"
