"""What befalls one repository reaches no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ml_engineer.interfaces.batch.clone import Cache
from ml_engineer.interfaces.batch.command import JOBS
from ml_engineer.interfaces.batch.conduct import Plan, Watch, conduct
from ml_engineer.interfaces.batch.engine import WARM
from ml_engineer.interfaces.batch.index import Index, Job
from ml_engineer.interfaces.batch.outputs import Outputs
from ml_engineer.interfaces.batch.sources import find_sources
from ml_engineer.interfaces.batch.summary import Row
from ml_engineer.interfaces.pool import Pool
from ml_engineer.report.schema import Report
from tests.interfaces.batch.conftest import make_repository, tree
from tests.interfaces.batch.poison import MARK, make_poison, work

Many = Callable[[int], list[Path]]


class Heard:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []

    def began(self, job: Job) -> None:
        self.outcomes.append((job.source.name, "began"))

    def ended(self, job: Job, outcome: str, error: str = "") -> None:
        self.outcomes.append((job.source.name, outcome))


def run(
    out: Path, roots: list[Path], *, seconds: float = 60, attempts: int = 1, heard: Watch | None = None
) -> dict[str, Row]:
    """A batch with the unit of work of `poison`; its rows by name."""

    async def go(index: Index) -> None:
        plan = Plan(Cache(out / "cache"), ("md", "sarif"), attempts=attempts, pause=0.01, work=work)
        async with Pool(2, memory=400_000_000, seconds=seconds, warm=WARM, jobs=JOBS) as pool:
            await conduct(index, Outputs(out), pool, plan, heard or Heard())

    with Index.open(out) as index:
        index.enlist(find_sources([str(root) for root in roots]))
        asyncio.run(go(index))
        return {row.name: row for row in index.rows()}


@pytest.fixture(autouse=True)
def nobody_left_behind() -> Iterator[None]:
    """What a job has started dies with it."""
    yield
    found = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "1234567"]]
    for process in found:
        process.kill()
    assert found == []


def test_the_others_get_the_same_reports_as_without_the_poison(warm_server: None, many: Many, tmp_path: Path) -> None:
    good = many(30)
    bad = make_poison(tmp_path / "poison")
    alone = run(tmp_path / "alone", good)
    assert {row.state for row in alone.values()} == {"reviewed"}
    mixed = [root for pair in zip(good[::3], bad, strict=True) for root in pair] + good[1::3] + good[2::3]
    rows = run(tmp_path / "mixed", mixed, seconds=6)
    kept = tree(tmp_path / "alone" / "reports")
    assert len(kept) >= 90
    assert kept.items() <= tree(tmp_path / "mixed" / "reports").items()
    kinds = {name: rows[name].error_kind for name in ("crash", "bomb", "hang")}
    assert kinds == {"crash": "crashed", "bomb": "memory", "hang": "timeout"}
    for name in ("hooks", "links", "broken", "history", "crowd"):
        assert rows[name].state == "reviewed", (name, rows[name].error, rows[name].gaps)
        assert sum(rows[name].by_severity.values()) > 0
    assert rows["large"].state == "partial"
    assert rows["unreadable"].state == "partial"
    assert "secret.py: Permission denied" in rows["unreadable"].gaps
    report = (tmp_path / "mixed" / "reports" / rows["unreadable"].folder / "report.json").read_bytes()
    assert {one.path: one.reason for one in Report.model_validate_json(report).coverage.files_skipped} == {
        "closed": "Permission denied",
        "pipe.py": "not a regular file",
        r"\xff\xfe.py": "the file name is not valid UTF-8",
    }
    assert not (tmp_path / "poison" / "ran").exists()


@pytest.mark.parametrize(
    ("mark", "kind", "said"),
    [("killed", "crashed", "SIGKILL"), ("raise", "crashed", "a fault of ours"), ("memory", "memory", "400 MB"),
     ("forks", "crashed", "SIGABRT"), ("hang", "timeout", "not finished after 2 seconds")],
)  # fmt: skip
def test_a_failure_is_named(warm_server: None, tmp_path: Path, mark: str, kind: str, said: str) -> None:
    root = make_repository(tmp_path / "bad")
    (root / MARK).write_text(mark)
    row = run(tmp_path / "out", [root], seconds=2 if mark == "hang" else 60)["bad"]
    assert (row.state, row.error_kind, row.attempts) == ("failed", kind, 1)
    assert said.replace("400 MB", "381 MB") in str(row.error)


@pytest.mark.parametrize("mark", ["once", "twice"])
def test_a_failure_is_tried_again_after_the_others(warm_server: None, many: Many, tmp_path: Path, mark: str) -> None:
    roots = many(4)
    (roots[0] / MARK).write_text(mark)
    heard = Heard()
    rows = run(tmp_path / "out", roots, attempts=3, heard=heard)
    assert {row.state for row in rows.values()} == {"reviewed"}
    tries = {"once": 2, "twice": 3}[mark]
    assert rows["r000"].attempts == tries
    assert heard.outcomes.count(("r000", "again")) == tries - 1
    assert heard.outcomes.count(("r000", "began")) == tries
    assert rows["r001"].attempts == 1


def test_attempts_have_an_end(warm_server: None, tmp_path: Path) -> None:
    root = make_repository(tmp_path / "bad")
    (root / MARK).write_text("killed")
    begun = time.monotonic()
    assert run(tmp_path / "out", [root], attempts=3)["bad"].attempts == 3
    assert time.monotonic() - begun < 60
