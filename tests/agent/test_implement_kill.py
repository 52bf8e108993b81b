"""SIGKILL at every moment of an implementation, then resume: the branch, the commits and the report are those of a run
that nobody disturbed, and no effect happened twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.killed import asking
from tests.support.messages_server import MessagesServer
from tests.support.review import make_prototype
from tests.support.script import Agent, Script, Turn, call

ONCE = "echo once >> effects.txt"
PLAN = {
    "summary": "The debugger goes, and what is left over is cleaned.",
    "steps": [
        {"step": 5, "title": "Turn the debugger off", "changes": "app.py", "checks": ["! grep -q debug=True app.py"]},
        {"step": 8, "title": "Never done", "changes": "ci.yml", "checks": ["test -f never"]},
    ],
    "verification": ["test -f app.py"],
}  # fmt: skip
EDIT = {"file_path": "app.py", "old_string": ", debug=True", "new_string": ""}
DONE = {
    "summary": "The debugger is off.",
    "claims": [
        {"field": "Rollback Strategy", "state": "proposed", "text": "Images by digest."},
        {"field": "API Endpoints", "state": "implemented", "text": "POST /predict without a debugger.",
         "path": "app.py", "line": 16, "quote": 'app.run(host="0.0.0.0")'},
    ],
}  # fmt: skip
SCRIPT = Script(
    [
        Agent([Turn.read([call("propose_plan", **PLAN)])], "# Plan the work"),
        Agent(
            [
                Turn.read([call("Read", file_path="app.py")]),
                Turn.read([call("Edit", **EDIT), call("Bash", command=ONCE)]),
                Turn.read([call("finish_step", **DONE)]),
            ],
            "# Your step: 5",
        ),
        Agent(
            [
                Turn.read([call("Write", file_path="ci.yml", content="on: push\n")]),
                *[Turn.read([call("finish_step", summary="Nothing works.")])] * 3,
            ],
            "# Your step: 8",
        ),
        Agent(
            [Turn.read([call("Read", file_path="train.py")]), Turn.read([call("answer", answer="It is as it is.")])],
            "You work beside an ML engineer",
        ),
    ]
)


# "some": about five moments around events. "events": all of them. "all": around each write and git command as well.
MOMENTS = os.environ.get("ML_ENGINEER_TEST_MOMENTS", "some")

Do = Callable[..., dict[str, Any]]


@pytest.fixture
def do(tmp_path: Path) -> Iterator[Do]:
    """Begins the implementation in a folder, or goes on with it, in a process that may be killed."""
    scratch = tmp_path / "scratch"
    with MessagesServer(SCRIPT) as server, asking("tests.support.implementer", scratch, quiet=True) as ask:

        def do(folder: Path, stop_at: int = 0) -> dict[str, Any]:
            job = {"home": str(folder / "home"), "target": str(folder / "prototype"), "url": server.url}
            return ask({**job, "stop_at": stop_at, "every": MOMENTS == "all"})

        yield do


def git(target: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=target, check=True, capture_output=True, text=True).stdout


def prepare(folder: Path) -> Path:
    target = make_prototype(folder / "prototype")
    git(target, "init", "-q", "-b", "main", ".")
    git(target, "add", "-A")
    git(target, "commit", "-qm", "Prototype")
    return folder


def outcome(folder: Path) -> dict[str, Any]:
    """All that matters of a finished run, without what differs between any two runs: ids, times, commit ids."""
    (run,) = (folder / "home" / "runs").iterdir()
    target, branch = folder / "prototype", f"ml-engineer/{run.name}"
    commits = git(target, "log", "--format=%T%n%B", f"main..{branch}").replace(run.name, "RUN")
    report = json.loads((run / "report.json").read_text().replace(run.name, "RUN"))
    report["run"] |= {"started": "", "finished": ""}
    report["repository"] |= {"revision": "", "path": ""}
    report["digest"] = ""
    report["usage"] = report["usage"]["turns"]
    for handoff in report["handoffs"]:
        handoff["reply"]["usage"] = handoff["reply"]["usage"]["turns"]
    for step in report["steps"]:
        step["usage"] = step["usage"]["turns"]
        step["changes"] = [change["path"] for change in step["changes"]]
    return {
        "commits": commits,
        "report": json.dumps(report, indent=1),
        "effects": git(target, "show", f"{branch}:effects.txt"),
        "left": git(run / "worktree" / run.name, "status", "--porcelain"),
        "rejected": (run / "step-08.rejected.patch").read_text(),
        "target": git(target, "status", "--porcelain"),
    }


def test_a_run_killed_at_any_moment_comes_to_the_same(do: Do, tmp_path: Path) -> None:
    whole = prepare(tmp_path / "whole")
    ended = do(whole)
    assert ended["exit"] == 0
    expected = outcome(whole)
    assert expected["effects"] == "once\n"
    assert "ci.yml" in expected["rejected"]
    assert expected["report"].count('"answer": "It is as it is."') > 2
    assert expected["left"] == ""
    stride = ended["moments"] // 4 | 1 if MOMENTS == "some" else 1  # odd: before an event, then after another
    for stop_at in range(1, ended["moments"] + 1, stride):
        folder = prepare(tmp_path / f"moment-{stop_at}")
        assert do(folder, stop_at)["exit"] == -signal.SIGKILL, f"moment {stop_at}"
        assert do(folder)["exit"] == 0, f"moment {stop_at}"
        assert outcome(folder) == expected, f"moment {stop_at}"
        shutil.rmtree(folder)
