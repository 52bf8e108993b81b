"""A batch that is killed at any moment goes on: nothing is lost, nothing is reviewed twice, nobody is left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ml_engineer.interfaces.batch.index import Index, IndexRefused
from ml_engineer.interfaces.batch.outputs import Outputs
from ml_engineer.interfaces.batch.sources import find_sources
from ml_engineer.interfaces.batch.summary import blank_row
from tests.interfaces.batch.conftest import Batch, tree, wait_for

Many = Callable[[int], list[Path]]
Start = Callable[..., subprocess.Popen[str]]


def published(out: Path) -> dict[str, int]:
    """Reports that are there, with what tells a report from one that was written again."""
    return {path.parent.name: path.stat().st_ino for path in out.glob("reports/*/report.json")}


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.parametrize("after", [1, 4])
def test_a_batch_that_was_killed_goes_on(
    started: Start, batch: Batch, many: Many, out: Path, tmp_path: Path, after: int
) -> None:
    roots = many(10)
    child = started(*roots)
    wait_for(lambda: len(published(out)) >= after)
    family = children_of(child.pid)
    child.kill()
    child.communicate()
    before = published(out)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    result = batch(*roots)
    assert result.exit_code == 0, result.stderr
    assert before.items() <= published(out).items()
    assert f"{10 - len(before)} of {10 - len(before)} " in result.stderr or len(before) == 10
    with sqlite3.connect(out / "batch.db") as database:
        assert database.execute("SELECT DISTINCT attempts FROM repositories").fetchall() == [(1,)]
    database.close()
    batch(*roots, into=tmp_path / "whole")
    assert tree(out / "reports") == tree(tmp_path / "whole" / "reports")
    assert (out / "summary.json").read_bytes() == (tmp_path / "whole" / "summary.json").read_bytes()


def test_a_worker_that_is_killed_costs_an_attempt_and_nothing_else(started: Start, many: Many, out: Path) -> None:
    child = started(*many(6))

    def kill_one() -> bool:
        workers = [one for top in psutil.Process(child.pid).children() for one in top.children()]
        for worker in workers:
            if os.getpgid(worker.pid) == worker.pid:  # a job of the pool leads a group
                worker.kill()
                return True
        return child.poll() is not None

    wait_for(lambda: _tried(kill_one))
    _, said = child.communicate(timeout=120)
    assert "SIGKILL" in said
    assert "it will be tried again" in said
    assert child.returncode == 0
    assert len(published(out)) == 6


def _tried(action: Callable[[], bool]) -> bool:
    """The processes of a batch come and go while they are looked at."""
    try:
        return action()
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_batch_says_so_and_goes_on(
    started: Start, batch: Batch, many: Many, out: Path, number: int, code: int
) -> None:
    roots = many(10)
    child = started(*roots)
    wait_for(lambda: len(published(out)) >= 1)
    family = children_of(child.pid)
    child.send_signal(number)
    _, said = child.communicate(timeout=120)
    assert child.returncode == code
    assert "goes on where this was interrupted" in said
    assert "Traceback" not in said
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert '"coverage": "partial"' in (out / "summary.json").read_text()
    assert batch("--resume").exit_code == 0
    assert len(published(out)) == 10


def test_a_second_batch_is_refused_while_the_first_works(started: Start, batch: Batch, many: Many, out: Path) -> None:
    roots = many(3)
    started(*roots)
    wait_for((out / "batch.db").exists)
    result = batch(*roots)
    assert result.exit_code == 2
    assert "another batch works in" in result.stderr


@pytest.fixture
def index(many: Many, out: Path) -> Index:
    with Index.open(out) as index:
        index.enlist(find_sources([str(root) for root in many(2)]))
        yield index


FILES = {"report.json": "{}", "handoffs/a.md": "brief"}


def keep(index: Index, outputs: Outputs, upto: str) -> str:
    """The way of one report into the folder, cut off behind the step `upto`."""
    (job, _) = index.waiting()
    index.begin(job.folder)
    if upto != "begun":
        size = outputs.stage(job.folder, FILES)
        if upto != "staged":
            index.done(job.folder, blank_row(job.source), [], fingerprint="f", edition="e", size=size, seconds=1.0)
            if upto != "done":
                outputs.publish(job.folder)
    return job.folder


@pytest.mark.parametrize("upto", ["begun", "staged", "done", "published"])
def test_wherever_the_way_of_a_report_is_cut_off(index: Index, out: Path, upto: str) -> None:
    outputs = Outputs(out)
    folder = keep(index, outputs, upto)
    outputs.recover(index)
    waiting = [job.folder for job in index.waiting()]
    assert (folder in waiting) == (upto in ("begun", "staged"))
    assert len(waiting) == (2 if upto in ("begun", "staged") else 1)
    place = out / "reports" / folder
    assert ({} if folder in waiting else {name: text.encode() for name, text in FILES.items()}) == tree(place)
    assert list(out.glob(".staged/*")) == []


def test_a_newer_report_takes_the_place_of_an_older_one(index: Index, out: Path) -> None:
    outputs = Outputs(out)
    folder = keep(index, outputs, "published")
    outputs.stage(folder, {"report.json": "new"})
    outputs.publish(folder)
    assert tree(out / "reports" / folder) == {"report.json": b"new"}


def test_an_index_of_another_version_is_refused(out: Path) -> None:
    with Index.open(out):
        pass
    database = sqlite3.connect(out / "batch.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(IndexRefused, match="another version"):
        Index.open(out)
