"""Nothing of the target is imported, executed or unpickled, wherever it lies and whatever it is called."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.report.schema import Report
from tests.hostile.conftest import FAULT, execute
from tests.support.console import SCRIPT

# Our own dependencies, tools that might be called, and modules of the standard library that are imported late.
NAMES = (
    "yaml rich click pydantic langgraph anthropic packaging pathspec platformdirs jinja2 git psutil sqlite3 json "
    "assessment interfaces agent report tools tomllib asyncio logging typing_extensions sitecustomize usercustomize"
).split()


class Reduces:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.system, (self.command,)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def armed(target: Path, canary: Path) -> Path:
    """The target, in which every file that anything might run leaves a trace."""
    shell = f"touch {canary}"
    code = f"import pathlib\npathlib.Path({str(canary)!r}).touch()\n"
    for name in NAMES:
        (target / f"{name}.py").write_text(code)
        (target / name).mkdir()
        (target / name / "__init__.py").write_text(code)
    for name in ("setup", "conftest", "noxfile", "dodo", "tasks", "fabfile", "gunicorn.conf", "__init__", "__main__"):
        (target / f"{name}.py").write_text(code)
    (target / "app.py").write_text((target / "app.py").read_text() + code)
    (target / "x.pth").write_text(f"import os; os.system({shell!r})\n")
    (target / "setup.cfg").write_text(
        "[options]\ninstall_requires = attr: setup.x\n[metadata]\nversion = attr: app.x\n"
    )
    for protocol, name in enumerate(["a.pkl", "b.joblib", "c.pt", "d.pickle", "e.sav", "f.dill"]):
        (target / name).write_bytes(pickle.dumps(Reduces(shell), protocol))
    cell = {"cell_type": "code", "source": f"!{shell}\n%run setup.py\n{code}", "outputs": []}
    (target / "n.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4}))
    (target / "Makefile").write_text(f"x := $(shell {shell})\nall:\n\t{shell}\n")
    (target / "justfile").write_text(f"x := `{shell}`\nall:\n    {shell}\n")
    (target / "Dockerfile").write_text(f"FROM python\nRUN {shell}\n")
    (target / "package.json").write_text(json.dumps({"scripts": {"install": shell, "test": shell}}))
    (target / "k8s.yaml").write_text(f"a: !!python/object/apply:os.system ['{shell}']\n")
    (target / "report.html.j2").write_text("{{ cycler.__init__.__globals__.os.system('" + shell + "') }}\n")
    bin_folder = target / "bin"
    bin_folder.mkdir()
    for name in ("git", "rg", "ruff", "python", "python3", "make", "bandit", "hadolint", "zizmor"):
        for folder in (target, bin_folder):
            if not (folder / name).exists():
                (folder / name).write_text(f"#!/bin/sh\n{shell}\n")
                (folder / name).chmod(0o755)
    return target


def test_the_trap_works_at_all(armed: Path, canary: Path, environment: dict[str, str]) -> None:
    execute([sys.executable, "-c", "import yaml"], cwd=armed, env=environment)
    assert canary.exists()


@pytest.mark.parametrize(
    "command",
    [[SCRIPT, "review", "."], [sys.executable, "-m", "ml_engineer", "review", "."]],
    ids=["script", "module"],
)
def test_a_review_inside_of_the_target_runs_nothing_of_it(
    armed: Path, canary: Path, environment: dict[str, str], command: list[str | Path]
) -> None:
    result = execute([*command, "--format", "json"], cwd=armed, env=environment)
    assert result.returncode == 0, result.stderr
    assert not canary.exists()
    assert FAULT in {finding.rule for finding in Report.model_validate_json(result.stdout).findings}
    assert not list(armed.rglob("__pycache__"))


def test_a_target_that_is_called_as_we_are_is_not_imported_in_safe_mode(
    armed: Path, canary: Path, environment: dict[str, str]
) -> None:
    """Without -P, `python -m` itself takes the name from the current folder: before any line of ours."""
    (armed / "ml_engineer.py").write_text(f"import pathlib\npathlib.Path({str(canary)!r}).touch()\n")
    for command in ([SCRIPT], [sys.executable, "-P", "-m", "ml_engineer"]):
        result = execute([*command, "review", ".", "--format", "json"], cwd=armed, env=environment)
        assert result.returncode == 0, result.stderr
        assert not canary.exists()
