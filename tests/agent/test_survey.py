"""The survey beside its process. Each case is a process of its own: a fork wants one without threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEGIN = """
import asyncio, json, os, sys, threading
from pathlib import Path
from ml_engineer.agent.survey import Survey
root = Path(sys.argv[1])
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "train.py").write_text("import pickle\nmodel = pickle.load(open('model.pkl', 'rb'))\n")
    return tmp_path / "target"


def python(program: str, target: Path, **environment: str) -> Any:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYDANTIC", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program, str(target)],
        cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_child_finds_what_this_process_would(target: Path) -> None:
    program = """
with Survey.start(root) as survey:
    child, found = survey.pid, asyncio.run(survey())
from ml_engineer.assessment.assess import assess
print(json.dumps([child is not None, survey.pid, found == assess(root), len(found.findings)]))
"""
    forked, left, same, findings = python(program, target)
    assert forked == sys.platform.startswith("linux")
    assert left is None
    assert same
    assert findings


def test_where_there_is_no_room_for_a_child_it_is_made_here(target: Path) -> None:
    program = """
def full():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = full
with Survey.start(root) as survey:
    print(json.dumps([survey.pid, len(asyncio.run(survey()).findings)]))
"""
    pid, findings = python(program, target)
    assert pid is None
    assert findings


def test_beside_threads_it_is_made_in_one(target: Path) -> None:
    program = """
wait = threading.Event()
threading.Thread(target=wait.wait).start()
try:
    survey = Survey.start(root)
    print(json.dumps([survey.pid, len(asyncio.run(survey()).findings)]))
finally:
    wait.set()
"""
    pid, findings = python(program, target)
    assert pid is None
    assert findings


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is no child")
def test_leaving_early_ends_the_child(target: Path) -> None:
    program = """
try:
    with Survey.start(root) as survey:
        child = survey.pid
        raise KeyError
except KeyError:
    pass
try:
    os.kill(child, 0)
    left = True
except ProcessLookupError:
    left = False
print(json.dumps([left, survey.pid, survey.pipe]))
"""
    assert python(program, target) == [False, None, None]


@pytest.mark.parametrize("plugins", [None, "logfire-plugin"])
def test_the_environment_stays_as_it_was(target: Path, plugins: str | None) -> None:
    given = {} if plugins is None else {"PYDANTIC_DISABLE_PLUGINS": plugins}
    program = """
Survey.start(root).cancel()
print(json.dumps(os.environ.get("PYDANTIC_DISABLE_PLUGINS")))
"""
    assert python(program, target, **given) == plugins
