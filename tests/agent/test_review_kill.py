"""SIGKILL during a review with a model and with peers in this process, then resume: the report is that of a run that
nobody disturbed, what was answered is kept, and nobody is asked a third time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.delegation.desk import Entry
from tests.support.killed import asking
from tests.support.messages_server import MessagesServer
from tests.support.review import finish, make_prototype
from tests.support.script import Agent, Script, Turn, call

QUOTE = {"path": "train.py", "line": 9, "quote": 'print("accuracy", model.score(frame[["a", "b"]], frame["y"]))'}
CLAIMS = [
    {"text": "The model is scored on its own rows", "state": "present", **QUOTE},
    {"text": "Model Drift: PSI of each feature, every day", "state": "proposed"},
]
ASKED = {"peer": "data-scientist", "question": "Does 0.97 hold?"}
# The data scientist answers at once, the others not before they have read something.
SCRIPT = Script(
    [
        Agent([Turn.read([call("answer", answer="No.", claims=CLAIMS)])], "You are a data scientist."),
        Agent(
            [
                Turn.read([call("Read", file_path="app.py")]),
                Turn.read({"blocks": [call("answer", answer="It is as it is.")], "latency": 0.8}),
            ],
            "You work beside an ML engineer",
        ),
        Agent([Turn.read([call("Delegate", **ASKED)]), Turn.read([finish(summary="It does not.")])], "# Your step: 4 "),
        Agent([Turn.read([call("Grep", pattern="debug")]), Turn.read([finish()])]),
    ]
)
MOMENTS = os.environ.get("ML_ENGINEER_TEST_MOMENTS", "some")  # "some": about three moments; "events": all of them
Do = Callable[..., dict[str, Any]]


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with MessagesServer(SCRIPT) as one:
        yield one


@pytest.fixture
def do(server: MessagesServer, tmp_path: Path) -> Iterator[Do]:
    """Begins the review in a folder, or goes on with it, in a process that may be killed."""
    with asking("tests.support.implementer", tmp_path / "scratch", quiet=True) as ask:

        def do(folder: Path, stop_at: int = 0, **stop_on: Any) -> dict[str, Any]:
            if not (folder / "prototype").exists():
                make_prototype(folder / "prototype")
            job = {"home": str(folder / "home"), "target": str(folder / "prototype"), "url": server.url}
            return ask({**job, "mode": "review", "stop_at": stop_at, "stop_on": stop_on, "every": False})

        yield do


def the_run(folder: Path) -> Path:
    (run,) = (folder / "home" / "runs").iterdir()
    return run


def outcome(folder: Path) -> Any:
    """The report without what differs between any two runs: ids, times, places, and the tokens of longer paths."""
    run = the_run(folder)
    report = json.loads((run / "report.json").read_text().replace(run.name, "RUN"))
    report["run"] |= {"started": "", "finished": ""}
    report["repository"] |= {"path": ""}
    report["digest"] = ""
    report["usage"] = report["usage"]["turns"]
    for step in report["steps"]:
        step["usage"] = step["usage"]["turns"]
    for handoff in [*report["handoffs"], *(one for step in report["steps"] for one in step["handoffs"])]:
        handoff["reply"]["usage"] = handoff["reply"]["usage"]["turns"]
    return report


def ledgers(folder: Path) -> dict[str, Entry]:
    """By peer; what a step has asked is left out."""
    entries = [Entry.model_validate_json(one.read_bytes()) for one in (the_run(folder) / "handoffs").glob("*.json")]
    return {one.handoff.peer: one for one in entries if not one.handoff.cue.startswith("asked by")}


def turns_of_peers(server: MessagesServer, since: int) -> Counter[tuple[str, int]]:
    """How often each turn of each hand-off was asked for."""
    asked: Counter[tuple[str, int]] = Counter()
    for one in server.requests[since:]:
        found = re.search(r"Hand-off `([\w-]+)`", str(one.body["messages"][0]))
        if found:
            asked[found[1], len(one.body["messages"])] += 1
    return asked


def test_a_review_killed_at_any_moment_comes_to_the_same(do: Do, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    ended = do(whole)
    assert ended["exit"] == 0
    expected = outcome(whole)
    assert [one["question"] for one in expected["steps"][3]["handoffs"]] == ["Does 0.97 hold?"]
    assert {one["state"] for one in expected["handoffs"]} == {"answered"}
    stride = ended["moments"] // 3 | 1 if MOMENTS == "some" else 1  # odd: before an event, then after another
    for stop_at in range(1, ended["moments"], stride):
        folder = tmp_path / f"moment-{stop_at}"
        assert do(folder, stop_at)["exit"] == -signal.SIGKILL, f"moment {stop_at}"
        assert do(folder)["exit"] == 0, f"moment {stop_at}"
        assert outcome(folder) == expected, f"moment {stop_at}"
        shutil.rmtree(folder)


def test_killed_while_peers_are_at_work_the_answered_is_kept_and_the_others_go_on_where_they_were(
    do: Do, server: MessagesServer, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    answered = {"peer": "aiops-specialist", "state": "answered"}  # the first of those that work side by side to end
    assert do(folder, **answered)["exit"] == -signal.SIGKILL
    before = ledgers(folder)
    running = {name for name, entry in before.items() if not entry.ended}
    assert len(running) >= 1
    assert before["data-scientist"].ended
    killed = len(server.requests)
    assert do(folder)["exit"] == 0
    after = ledgers(folder)
    errors = [entry.handoff.reply.error for entry in after.values() if entry.handoff.reply]
    assert errors == [None] * len(after)
    assert {name: entry.begun for name, entry in after.items() if name in before} == {
        name: 2 if name in running else 1 for name in before
    }
    again = turns_of_peers(server, killed)
    asked_again = {id.rpartition("-")[0] for id, _ in again}
    assert not asked_again & {name for name, entry in before.items() if entry.ended}
    repeated = turns_of_peers(server, 0)
    assert max(repeated.values()) <= 2, "no turn is asked for a third time"
    for name in running:
        first_turn = [count for (id, messages), count in again.items() if id.startswith(name) and messages == 1]
        assert first_turn in ([], [1]), "a turn that was answered is not paid again"
