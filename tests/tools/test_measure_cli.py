"""`ml-engineer measure`, as the installed console script."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import Measurement
from ml_engineer.tools.sandbox import Level, choose
from tests.support.console import Console, Result, clean_environment

Run = Callable[..., Result]


@pytest.fixture
def run(console: Console, root: Path, tmp_path: Path) -> Run:
    if choose(root, tmp_path / "scratch").level is Level.OFF:
        pytest.skip("nothing confines commands here, so without a person nothing is run")
    environment = clean_environment(tmp_path / "home")
    return lambda *arguments: console.run(["measure", *arguments], environment, root)


def test_a_training_as_text_and_its_records(run: Run, root: Path, tmp_path: Path) -> None:
    done = run("training", "--command", "echo acc 0.75; echo x > model.bin", "--pattern", "accuracy=acc ([0-9.]+)")
    assert done.returncode == 0, done.stderr
    assert "training accuracy" in done.stdout
    assert "0.75" in done.stdout
    assert "Changed in the workspace: model.bin" in done.stdout
    assert done.stderr.startswith("sandbox: ")
    (folder,) = (tmp_path / "home" / "measurements").iterdir()
    assert str(folder) in done.stdout


def test_json_holds_evidence_whose_records_stand(run: Run, root: Path) -> None:
    (root / "metrics.json").write_text('{"auc": 0.1}')
    done = run("training", "--command", "echo '{\"auc\": 0.9}' > metrics.json", "--format", "json")
    result = json.loads(done.stdout)
    checker = EvidenceChecker(root, Path(result["folder"]))
    evidence = [Measurement.model_validate(one) for one in result["measurements"]]
    assert {one.name: one.value for one in evidence}["training auc"] == 0.9
    assert all(checker.check(one).evidence for one in evidence)


def test_a_model_is_measured_without_writing_in_the_repository(run: Run, root: Path) -> None:
    (root / "model.py").write_text("def load():\n    open('written', 'w')\n")
    done = run("model", "--loader", "model:load", "--python", sys.executable, "--rows", "rows.json")
    assert done.returncode == 2, "there is no rows.json"
    (root / "rows.json").write_text("[1, 2]")
    done = run("model", "--loader", "model:load", "--python", sys.executable, "--rows", "rows.json")
    if "sandbox: network-only" in done.stderr:
        pytest.skip("files are not confined here")
    assert done.returncode == 2
    assert "written" in done.stderr
    assert not (root / "written").exists()


def test_what_could_not_be_measured_is_exit_code_2_and_a_result(run: Run) -> None:
    done = run("training", "--command", "echo no data; exit 3", "--format", "json")
    assert done.returncode == 2
    assert "exit code 3" in json.loads(done.stdout)["error"]
    assert "no data" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--request", "PST /"], "say METHOD PATH [BODY]"),
        (["--request", "POST /p {x"], "its body is no JSON"),
        ([], "give at least one --request"),
        (["--request", "GET /", "--rate", "0"], "rate is 0"),
    ],
)
def test_wrong_usage_says_what_to_write(run: Run, arguments: list[str], said: str) -> None:
    done = run("benchmark", "--command", "true", "--port", "8000", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_needs_its_input_given_in_one_way(run: Run) -> None:
    done = run("model", "--artefact", "m.pkl")
    assert (done.returncode, "by one of --shape, --rows and --make-batch" in done.stderr) == (2, True)
