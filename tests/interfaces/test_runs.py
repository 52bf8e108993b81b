"""Runs: listed, shown, reported again, resumed after a kill, in memory where the disk gives no room."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ml_engineer.report.schema import Report
from tests.support.console import SCRIPT


def only_run(home: Path) -> Path:
    (folder,) = (home / "runs").iterdir()
    return folder


def without_times(report: str) -> dict[str, object]:
    data = json.loads(report)
    data["run"] = {key: value for key, value in data["run"].items() if key not in ("id", "started", "finished")}
    data["digest"] = None
    return data


def test_a_finished_run_can_be_listed_shown_and_rendered_again(run, prototype, home):
    first = run("review", prototype, "--format", "json").stdout
    run_id = only_run(home).name
    assert run("runs", "list").stdout.split()[:3] == [run_id, "finished", "review"]
    shown = run("runs", "show", run_id[:10]).stdout
    assert "node=seal" in shown
    assert "steps    1, 2, 3," in shown
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d  started ", shown, re.M), "a time to read"
    assert run("runs", "report", run_id, "--format", "json").stdout == first
    assert run("runs", "report", run_id, "--format", "md").stdout.startswith("## ML Production")
    assert run("runs", "discard", run_id).returncode == 0
    assert run("runs", "list").stdout == ""


@pytest.mark.parametrize("wrong", ["nonsense!", "ffffffff", "../../etc"])
def test_a_run_that_is_not_there_is_a_message(run, wrong):
    result = run("runs", "show", wrong)
    assert result.returncode == 2
    assert "runs list" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_run_s_folder_is_outside_of_the_target_and_the_target_is_untouched(run, prototype, home):
    before = {path: path.stat().st_mtime_ns for path in prototype.rglob("*")}
    run("review", prototype)
    assert {path: path.stat().st_mtime_ns for path in prototype.rglob("*")} == before
    assert (only_run(home) / "events.jsonl").exists()


NODES = ["survey.json", "step-01.json", "step-02.json", "step-07.json", "draft.json", "checked.json"]


def test_a_run_killed_at_any_node_is_resumed_to_the_same_report(run, environment, prototype, home):
    whole = run("review", prototype, "--format", "json").stdout
    run("runs", "discard", only_run(home).name)
    for artefact in NODES:
        # Killed by the interpreter itself at the moment the artefact is about to be put in its place.
        killer = (
            "import os, signal, sys\nreal = os.replace\n"
            f"def replace(a, b, **k):\n    if str(b).endswith({artefact!r}): os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return real(a, b, **k)\nos.replace = replace\n"
            "sys.argv = ['ml-engineer', 'review', sys.argv[1], '--format', 'json']\n"
            "from ml_engineer.interfaces.main import main\nmain()\n"
        )
        python = Path(SCRIPT).parent / "python"
        killed = subprocess.run(
            [python, "-c", killer, prototype], env=environment, capture_output=True, timeout=120, check=False
        )
        assert killed.returncode == -signal.SIGKILL, artefact
        run_id = only_run(home).name
        if artefact == NODES[0]:
            assert run("runs", "list").stdout.split()[1] == "interrupted"
            assert run("runs", "report", run_id).returncode == 2
        resumed = run("runs", "resume", run_id, "--format", "json")
        assert resumed.returncode == 0, f"{artefact}: {resumed.stderr}"
        assert without_times(resumed.stdout) == without_times(whole), artefact
        shutil.rmtree(home / "runs" / run_id)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_is_told_to_end_says_that_the_run_can_be_resumed(environment, prototype, home, run, number, code):
    # The survey takes a minute, so that it is still at work when the signal comes.
    slow = (
        "import sys, time\nimport ml_engineer.agent.survey as survey\n"
        "survey._child = lambda root, writer: (survey.os.setpgid(0, 0), time.sleep(60))\n"
        "sys.argv = ['ml-engineer', 'review', sys.argv[1]]\n"
        "from ml_engineer.interfaces.main import main\nmain()\n"
    )
    python = Path(SCRIPT).parent / "python"
    process = subprocess.Popen([python, "-c", slow, prototype], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while "started" not in events(home) and time.monotonic() < deadline:
        time.sleep(0.01)
    while process.poll() is None and time.monotonic() < deadline:  # as a person does: again, until it stops
        process.send_signal(number)
        time.sleep(0.3)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    run_id = only_run(home).name
    assert f"runs resume {run_id}" in errors
    report = Report.model_validate_json(run("runs", "resume", run_id, "--format", "json").stdout)
    assert report.coverage.state == "complete"


def events(home: Path) -> str:
    """What the run has noted so far."""
    return "".join(path.read_text() for path in home.glob("runs/*/events.jsonl"))


def test_a_run_that_another_process_works_on_is_not_touched(run, prototype, home):
    run("review", prototype)
    folder = only_run(home)
    (folder / "report.json").unlink()
    import fcntl

    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("runs", "list").stdout.split()[1] == "running"
        result = run("runs", "resume", folder.name)
        assert result.returncode == 2
        assert "worked on by another process" in result.stderr


def test_without_a_writable_state_directory_the_report_is_still_there(run, prototype, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = run("review", prototype, "--format", "json", ML_ENGINEER_HOME=str(blocked / "below"))
    assert result.returncode == 0, result.stderr
    assert "kept in memory" in result.stderr
    assert Report.model_validate_json(result.stdout).findings


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_in_the_middle_of_the_run_loses_nothing_but_the_run(run, environment, prototype, home):
    # Every write of an artefact fails as on a full disk, from the second node on.
    full = (
        "import errno, os, sys\nreal = os.fsync\n"
        "import ml_engineer.report.atomic as atomic\n"
        "def write(path, data, **more):\n"
        "    if 'step' in str(path): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "    return real_write(path, data, **more)\nreal_write = atomic.write_atomic\natomic.write_atomic = write\n"
        "sys.argv = ['ml-engineer', 'review', sys.argv[1], '--format', 'json']\n"
        "from ml_engineer.interfaces.main import main\nmain()\n"
    )
    python = Path(SCRIPT).parent / "python"
    result = subprocess.run(
        [python, "-c", full, prototype], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "No space left on device" in result.stderr
    assert "kept in memory" in result.stderr
    assert Report.model_validate_json(result.stdout).findings


def test_a_torn_last_event_is_no_event_and_damage_in_the_middle_is_said(run, prototype, home):
    run("review", prototype)
    log = only_run(home) / "events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"time": 1, "ty')
    assert run("runs", "show", only_run(home).name).returncode == 0
    log.write_bytes(b"garbage\n" + whole)
    result = run("runs", "show", only_run(home).name)
    assert result.returncode == 2
    assert "damaged at line 1" in result.stderr
