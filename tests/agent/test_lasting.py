"""What is flushed to the disk, so that a loss of power cannot take it: all that was paid for, and every report."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_engineer.agent.runs import Run


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the files and folders that were flushed, as they were called then."""
    names: list[str] = []
    flush = os.fsync

    def noted(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        flush(descriptor)

    monkeypatch.setenv("ML_ENGINEER_HOME", str(tmp_path))
    monkeypatch.setattr(os, "fsync", noted)
    return names


@pytest.mark.parametrize(("costly", "kept"), [(True, ["step-01.json", "report.json"]), (False, ["report.json"])])
def test_a_run_that_costs_nothing_flushes_its_report_only(flushed: list[str], costly: bool, kept: list[str]) -> None:
    run = Run.create({"mode": "review"})
    run.costly = costly
    flushed.clear()
    try:
        run.write("step-01.json", b"{}")
        run.write("report.json", b"{}")
    finally:
        run.close()
    assert [name.split(".")[1] + ".json" for name in flushed if name.endswith(".tmp")] == kept
    assert flushed.count(run.id) == len(kept)
    assert run.read("step-01.json") == b"{}"
    assert run.names("*.json") == ["report.json", "run.json", "step-01.json"]
