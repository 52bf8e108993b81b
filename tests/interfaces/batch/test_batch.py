"""A batch from the command line to its folder."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.interfaces.batch.summary import Summary
from ml_engineer.interfaces.batch.watch import Tally
from ml_engineer.report.schema import Report
from ml_engineer.report.seal import load
from tests.interfaces.batch.conftest import SCRIPT, Batch, make_repository, tree

Many = Callable[[int], list[Path]]
Origin = Callable[..., str]


def summary_of(out: Path) -> Summary:
    return Summary.model_validate_json((out / "summary.json").read_bytes())


def reports(out: Path) -> dict[str, bytes]:
    return tree(out / "reports")


def test_every_repository_gets_its_reports_and_the_whole_a_summary(batch: Batch, many: Many, out: Path) -> None:
    result = batch(*many(3))
    assert result.exit_code == 0, result.stderr
    assert "3 repositories: 3 reviewed" in result.stdout
    assert "3 of 3 repositories" in result.stderr
    summary = summary_of(out)
    assert summary.coverage == "complete"
    assert [row.name for row in summary.repositories] == ["r000", "r001", "r002"]
    assert {step for step, value in summary.readiness_by_step.items() if value is not None} >= {5}
    assert all(fault.repositories == 3 for fault in summary.common_faults)
    for row in summary.repositories:
        folder = out / "reports" / row.folder
        report = load(folder / "report.json")
        assert report.digest == row.digest
        assert len(report.findings) == sum(row.by_severity.values()) > 0
        assert json.loads((folder / "report.sarif").read_bytes())["version"] == "2.1.0"
        assert row.name in (folder / "report.html").read_text()
        assert (folder / "report.md").stat().st_size > 0
        for handoff in report.handoffs:
            assert handoff.brief is not None
            assert (folder / handoff.brief).is_file()
    with (out / "findings.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == summary.totals.findings
    assert {(line["repository"], line["rule"], line["path"]) for line in lines} >= {("r001", "MLE0506", "app.py")}
    assert all((out / line["report"]).is_file() for line in lines)


def test_a_report_of_a_batch_says_what_a_review_alone_says(
    batch: Batch, many: Many, out: Path, environment: dict[str, str]
) -> None:
    (root,) = many(1)
    batch(root)
    command = [str(SCRIPT), "review", str(root), "--offline", "--format", "json"]
    shown = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    alone = Report.model_validate_json(shown)
    (path,) = (out / "reports").glob("*/report.json")
    ours = load(path)
    same = {"run": alone.run, "digest": alone.digest}
    assert ours.model_copy(update=same) == alone
    assert ours.run.id.startswith("batch-")


def test_the_same_repository_gives_the_same_bytes_whatever_else_there_is(
    batch: Batch, many: Many, tmp_path: Path, out: Path
) -> None:
    roots = many(4)
    batch(*roots)
    batch(roots[2], "--workers", "1", into=tmp_path / "alone")
    alone = reports(tmp_path / "alone")
    assert alone
    assert alone.items() <= reports(out).items()


def test_the_same_command_reviews_nothing_twice(batch: Batch, many: Many, out: Path) -> None:
    roots = many(3)
    batch(*roots[:2])
    before = {path: path.stat().st_ino for path in (out / "reports").rglob("*")}
    again = batch(*roots[:2])
    assert again.exit_code == 0
    assert "2 repositories: 2 reviewed" in again.stdout
    assert again.stderr == ""
    more = batch(*roots)
    assert "1 of 1 repository" in more.stderr
    assert before.items() <= {path: path.stat().st_ino for path in (out / "reports").rglob("*")}.items()
    assert summary_of(out).totals.repositories == 3


def test_resume_needs_no_sources_and_a_batch(batch: Batch, many: Many, tmp_path: Path) -> None:
    batch(*many(2))
    result = batch("--resume")
    assert "2 repositories: 2 reviewed" in result.stdout
    none = batch("--resume", into=tmp_path / "other")
    assert none.exit_code == 2
    assert "no batch was begun" in none.stderr
    assert "no SOURCE" in batch().stderr


def test_refresh_reviews_what_has_changed(batch: Batch, many: Many, out: Path) -> None:
    roots = many(3)
    batch(*roots)
    before = reports(out)
    (roots[1] / "more.py").write_text("import pickle\nmodel = pickle.load(open('m.pkl', 'rb'))\n")
    result = batch(*roots, "--refresh")
    assert "2 unchanged" in result.stderr
    changed = {name.partition("/")[0] for name, data in reports(out).items() if before.get(name) != data}
    assert {name.rpartition("-")[0] for name in changed} == {"r001"}


def test_a_repository_of_git_is_fetched_and_named_by_its_commit(
    batch: Batch, origin: Origin, out: Path, tmp_path: Path
) -> None:
    url = origin("model")
    (tmp_path / "team.csv").write_text(f"url,owner,tier\n{url},risk,1\n")
    result = batch("team.csv")
    assert result.exit_code == 0, result.stderr
    (row,) = summary_of(out).repositories
    assert (row.name, row.owner, row.labels, row.dirty) == ("model", "risk", {"tier": "1"}, False)
    assert row.revision == origin("model", "rev-parse", "HEAD")
    report = load(out / "reports" / row.folder / "report.json")
    assert (report.repository.path, report.repository.url) == (None, url)
    assert report.run.started == report.run.finished == "2026-01-02T03:04:05Z"
    assert str(tmp_path / "home") not in "".join(data.decode() for data in reports(out).values())
    assert "1 unchanged" in batch("team.csv", "--refresh").stderr
    origin("model", "commit", "-q", "--allow-empty", "-m", "second")
    assert "unchanged" not in batch("team.csv", "--refresh").stderr
    assert summary_of(out).repositories[0].revision == origin("model", "rev-parse", "HEAD")


def test_a_scope_is_reviewed_as_a_repository(batch: Batch, tmp_path: Path, out: Path) -> None:
    root = tmp_path / "mono"
    for number in range(2):
        make_repository(root / "services" / f"s{number}", number)
    (root / "out").symlink_to("/")
    (tmp_path / "team.csv").write_text("path,scope\nmono,services/s0\nmono,services/s1\nmono,out\n")
    assert batch("team.csv").exit_code == 2
    rows = summary_of(out).repositories
    assert {row.name: row.state for row in rows} == {
        "mono/out": "failed", "mono/services/s0": "reviewed", "mono/services/s1": "reviewed",
    }  # fmt: skip
    assert "leads out of the repository" in str(rows[0].error)


def test_a_repository_that_cannot_be_reviewed_makes_the_batch_partial(
    batch: Batch, many: Many, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "empty").mkdir()
    roots = many(2)
    result = batch(*roots, "empty", (tmp_path / "none").as_uri())
    assert result.exit_code == 2
    assert "Coverage is partial" in result.stderr
    summary = summary_of(out)
    assert (summary.coverage, summary.totals.reviewed, summary.totals.failed) == ("partial", 2, 2)
    assert {row.error_kind for row in summary.repositories if row.state == "failed"} == {"refused"}
    make_repository(tmp_path / "empty" / "src")
    assert batch(*roots, "empty").exit_code == 2
    fixed = batch(*roots, "empty", "--retry")
    assert fixed.exit_code == 0, fixed.stderr


def test_partial_coverage_is_never_green(batch: Batch, many: Many, out: Path) -> None:
    (root,) = many(1)
    with (root / "big.py").open("wb") as stream:
        stream.truncate(3_000_000)
    result = batch(root, "--fail-on", "critical")
    assert result.exit_code == 2
    (row,) = summary_of(out).repositories
    assert row.state == "partial"
    assert "big.py" in " ".join(row.gaps)


def test_exit_codes(batch: Batch, many: Many) -> None:
    roots = many(1)
    assert batch(*roots, "--fail-on", "critical").exit_code == 0
    assert batch(*roots, "--fail-on", "high").exit_code == 1
    assert batch(*roots, "--fail-on", "worst").exit_code == 2


def test_formats(batch: Batch, many: Many, out: Path) -> None:
    assert batch(*many(1), "--formats", "sarif").exit_code == 0
    assert {Path(name).name for name in reports(out) if "handoffs" not in name} == {"report.json", "report.sarif"}
    assert "pdf is not known" in batch(*many_paths(out), "--formats", "pdf").stderr


def many_paths(out: Path) -> list[Path]:
    return [Path(row.place) for row in summary_of(out).repositories]


def test_a_spreadsheet_takes_nothing_for_a_formula(batch: Batch, tmp_path: Path, out: Path) -> None:
    root = make_repository(tmp_path / "=cmd")
    (root / "app.py").rename(root / "@SUM(1).py")
    batch(root)
    with (out / "findings.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert {line["repository"] for line in lines} == {"'=cmd"}
    assert "'@SUM(1).py" in {line["path"] for line in lines}


def test_two_batches_on_one_folder_refuse_each_other(batch: Batch, many: Many, out: Path) -> None:
    import fcntl

    roots = many(1)
    batch(*roots)
    with (out / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = batch(*roots)
    assert result.exit_code == 2
    assert "another batch works in" in result.stderr


@pytest.mark.parametrize("damage", [b"no database", b""])
def test_a_damaged_index_is_said(batch: Batch, many: Many, out: Path, damage: bytes) -> None:
    out.mkdir()
    (out / "batch.db").write_bytes(damage)
    result = batch(*many(1))
    assert result.exit_code == (2 if damage else 0)
    assert "Traceback" not in result.stderr
    assert not damage or "cannot be used" in result.stderr


def test_a_lost_report_is_made_again(batch: Batch, many: Many, out: Path) -> None:
    roots = many(2)
    batch(*roots)
    before = reports(out)
    lost = next((out / "reports").glob("r001*/report.json"))
    lost.write_bytes(lost.read_bytes()[:100])
    assert "1 of 1 repository" in batch(*roots).stderr
    assert reports(out) == before


def test_a_folder_that_cannot_be_written_is_said(batch: Batch, many: Many, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = batch(*many(1), into=tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize(("done", "said"), [(25, "1.5 a minute"), (3_000, "3.0 a second")])
def test_progress_is_told_in_a_unit_that_fits(done: int, said: str) -> None:
    tally = Tally(10_000, started=time.monotonic() - 1_000, counts={"reviewed": done - 1, "failed": 1, "again": 4})
    assert tally.line().startswith(f"{done:,} of 10,000 repositories, 1 failed, {said}, ")
