"""Hostile targets: each has one real fault in `app.py`, which must be reported whatever stands beside it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_engineer.assessment import files
from ml_engineer.assessment.assess import assess
from ml_engineer.assessment.record import Assessment
from ml_engineer.report.schema import Report
from tests.support.console import Console, Result, clean_environment

FAULTY_APP = """\
from flask import Flask

app = Flask(__name__)


@app.route("/predict", methods=["POST"])
def predict():
    return "1"


if __name__ == "__main__":
    app.run(debug=True)
"""
FAULT = "MLE0506"


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs and caches of a test are its own."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ML_ENGINEER_HOME", str(home))
    return home


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder, without git, that holds one real fault."""
    root = tmp_path / "target"
    root.mkdir()
    (root / "app.py").write_text(FAULTY_APP)
    return root


@pytest.fixture
def environment(own_home: Path) -> dict[str, str]:
    return clean_environment(own_home)


@pytest.fixture
def run(console: Console, environment: dict[str, str]) -> Callable[..., Result]:
    def call(*arguments: str | Path, cwd: Path | None = None, **more: str) -> Result:
        return console.run(arguments, environment | more, cwd)

    return call


def execute(
    command: list[str | Path], *, env: dict[str, str], cwd: Path | None = None, uid: int | None = None
) -> Result:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env=env,
        timeout=120,
        check=False,
        user=uid,
    )


@pytest.fixture
def git(environment: dict[str, str]) -> Callable[..., str]:
    """The real git, with an identity and nothing else configured."""
    env = environment | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main")

    def call(root: Path, *arguments: str) -> str:
        done = execute(["git", *identity, "-C", root, *arguments], env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture
def openable() -> Iterator[None]:
    """Nothing to do: named by tests that need file modes to count, which they do not for root."""
    yield


def survives(root: Path) -> Assessment:
    """Assess a hostile folder: no rule has failed, and the fault beside the hostile files is reported."""
    assessment = assess(root)
    failed = [problem for problem in assessment.problems if problem.startswith("rule ")]
    assert failed == []
    assert FAULT in {finding.rule for finding in assessment.findings}
    return assessment


def findings_at(assessment: Assessment | Report, path: str) -> set[str]:
    """The rules that have a finding with evidence in a file."""
    return {f.rule for f in assessment.findings for e in f.evidence if getattr(e, "path", None) == path}


def skipped(assessment: Assessment) -> dict[str, str]:
    """Path -> reason, of what was left out."""
    return {item.path: item.reason for item in assessment.files_skipped}


def listing(root: Path) -> files.Listing:
    return files.scan(root)
