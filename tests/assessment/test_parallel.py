"""Work in forked children: the same results, whatever becomes of a child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ml_engineer.assessment import engine, parallel, rule
from ml_engineer.assessment.engine import Outcome, run_all
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import Hit, Rule, all_rules

CHURN = Path(__file__).resolve().parents[2] / "examples" / "churn"


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "workers", lambda: 2)
    monkeypatch.setattr(engine, "workers", lambda: 2)


def doubled(item: int) -> tuple[int, int]:
    return os.getpid(), 2 * item


def test_one_end_is_worked_on_in_a_child(two_cores: None) -> None:
    pipes = {1: os.pipe(), 4: os.pipe()}

    def work(item: int) -> tuple[int, int]:
        if item in pipes:  # wait until the other one is at work as well
            os.write(pipes[item][1], b".")
            os.read(pipes[5 - item][0], 1)
        return os.getpid(), 2 * item

    parent = os.getpid()
    done = parallel.beside(work, [1, 2, 3, 4])
    assert [twice for _, twice in done] == [2, 4, 6, 8]
    assert done[0][0] == parent != done[-1][0]


def test_a_lost_child_costs_nothing_but_time(two_cores: None) -> None:
    parent = os.getpid()

    def work(item: int) -> int:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * item

    assert parallel.beside(work, [1, 2, 3]) == [2, 4, 6]


def test_a_child_that_cannot_be_started_costs_nothing_but_time(
    two_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert parallel.beside(doubled, [1, 2]) == [(os.getpid(), 2), (os.getpid(), 4)]
    assert parallel.shared_out(doubled, [1, 2]) == [(os.getpid(), 2), (os.getpid(), 4)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_items_are_shared_out_to_children_and_come_back_in_order(two_cores: None, tmp_path: Path) -> None:
    last = tmp_path / "last"

    def work(item: int) -> tuple[int, int]:
        if item == 8:
            last.touch()
        for _ in range(3_000 if item == 0 else 0):  # the other child does not wait for this one
            if not last.exists():
                time.sleep(0.01)
        return os.getpid(), 2 * item

    found = parallel.shared_out(work, range(9))
    assert [value for _, value in found] == [2 * item for item in range(9)]
    assert os.getpid() not in {pid for pid, _ in found}
    assert sum(pid == found[0][0] for pid, _ in found) == 1


def test_what_a_lost_child_has_taken_is_done_here(two_cores: None) -> None:
    parent = os.getpid()

    def work(item: int) -> int:
        if item == 3 and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * item

    assert parallel.shared_out(work, range(9)) == [2 * item for item in range(9)]


def test_portions_hold_every_item_once_and_are_alike() -> None:
    shares = parallel.portions(range(25), 10)
    assert sorted(item for share in shares for item in share) == list(range(25))
    assert [len(share) for share in shares] == [9, 8, 8]
    assert parallel.portions([], 10) == [[]]


def test_nothing_is_forked_beside_a_thread() -> None:
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    try:
        assert parallel.beside(doubled, [1, 2]) == [(os.getpid(), 2), (os.getpid(), 4)]
    finally:
        wait.set()
        thread.join(30)


def test_rules_find_the_same_side_by_side(two_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(repo: Repo) -> list[Hit]:
        raise ValueError("no such thing")

    rules = {one.key: one for one in all_rules()}
    monkeypatch.setitem(rule._REGISTRY, "MLE0101", replace(rules["MLE0101"], check=broken))
    here: list[str] = []
    run_one = engine._run

    def noted(repo: Repo, rule: Rule) -> Outcome:
        here.append(rule.key)
        return run_one(repo, rule)

    monkeypatch.setattr(engine, "_run", noted)
    split = run_all(Repo.open(CHURN))
    assert 0 < len(here) < len(rules)
    monkeypatch.setattr(engine, "workers", lambda: 0)
    assert split == run_all(Repo.open(CHURN))
    assert [outcome.rule for outcome in split] == [one.info for one in rules.values()]
    assert [outcome.error for outcome in split if outcome.error] == ["ValueError: no such thing"]


def test_only_the_rules_of_the_steps_that_are_asked_for_are_imported() -> None:
    code = """
import sys
from ml_engineer.assessment.rule import rules_of
found = {one.step for one in rules_of((5, 8))}
imported = {name.rpartition(".")[2][:5] for name in sys.modules if ".rules.mle" in name}
print(found == {5, 8}, imported == {"mle05", "mle08"})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_a_process_that_works_alone_starts_no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parallel._settings, "alone", False)
    parallel.work_alone()
    assert parallel.workers() == 0
    assert parallel.beside(doubled, [1, 2]) == [(os.getpid(), 2), (os.getpid(), 4)]
