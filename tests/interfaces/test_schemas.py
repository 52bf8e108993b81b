"""docs/schema is what the models say, and what the commands really print keeps to it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from ml_engineer.interfaces import schemas
from tests.interfaces.conftest import Result
from tests.support.messages_server import MessagesServer
from tests.support.script import Agent, Script, Turn, call

Run = Callable[..., Result]
PLAN = {
    "summary": "What was asked for.",
    "steps": [
        {"step": 5, "title": "Turn the debugger off", "changes": "app.py", "checks": ["! grep debug=True app.py"]}
    ],
}
TURNS = [
    [call("Read", file_path="app.py")],
    [call("Read", file_path="/etc/hostname")],
    [call("Edit", file_path="app.py", old_string="debug=True", new_string="")],
    [call("finish_step", summary="The debugger is off.", claims=[])],
]


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((schemas.FOLDER / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_files_are_what_the_models_say() -> None:
    there = {path.name: path.read_text("utf-8") for path in schemas.FOLDER.iterdir()}
    assert there == schemas.files(), "run `make docs`"


@pytest.mark.parametrize("name", schemas.OUTPUTS)
def test_every_schema_is_valid_and_refuses_what_is_something_else(name: str) -> None:
    for other in ({}, [], "text", {"unknown": 1}):
        with pytest.raises(ValidationError):
            validator(name).validate(other)


def test_reports_and_lists_keep_to_their_schemas(run: Run, prototype: Path) -> None:
    report = json.loads(run("review", prototype, "--offline", "--format", "json").stdout)
    validator("report").validate(report)
    with pytest.raises(ValidationError):
        validator("report").validate({**report, "score": None})
    for command, name in (
        (["rules", "--json"], "rules"),
        (["rules", "--json", "MLE0506"], "rules"),
        (["peers", "--json"], "peers"),
    ):
        validator(name).validate(json.loads(run(*command).stdout))
    lines = run("runs", "list", "--json").stdout.splitlines()
    assert len(lines) == 1
    validator("runs").validate(json.loads(lines[0]))


def test_the_summary_of_a_batch_keeps_to_its_schema(run: Run, prototype: Path, tmp_path: Path) -> None:
    assert run("batch", prototype, "--out", tmp_path / "out").returncode == 0
    validator("batch-summary").validate(json.loads((tmp_path / "out/summary.json").read_text()))


def test_measurements_keep_to_their_schema_also_when_there_are_none(run: Run, prototype: Path) -> None:
    for command, code in (("echo done", 0), ("exit 3", 2)):
        done = run("measure", "training", prototype, "--command", command, "--format", "json")
        assert done.returncode == code, done.stderr
        validator("measure").validate(json.loads(done.stdout))


def git(target: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments], cwd=target, check=True)


def test_each_line_of_an_implementation_keeps_to_its_schema(run: Run, prototype: Path) -> None:
    git(prototype, "init", "-q")
    git(prototype, "add", "-A")
    git(prototype, "commit", "-qm", "Prototype")
    planning = Agent([Turn.read([call("propose_plan", **PLAN)])], "# Plan the work")
    script = Script([planning, Agent([Turn.read(turn) for turn in TURNS], "# Your step: 5 ")])
    options = ("--stream-json", "--permission", "accept-edits")
    with MessagesServer(script) as server:
        done = run(
            "implement", prototype, "Make it safe", *options,
            ANTHROPIC_BASE_URL=server.url, ML_ENGINEER_MODEL="scripted",
        )  # fmt: skip
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        validator("implement-stream").validate(line)
    assert [lines[0]["type"], lines[-1]["type"]] == ["system", "result"]
    assert lines[-1]["permission_denials"], "one call was refused"
    validator("report").validate(lines[-1]["structured_output"])


def test_an_implementation_that_cannot_begin_has_a_last_line_too(run: Run, prototype: Path) -> None:
    done = run("implement", prototype, "Make it safe", "--stream-json")
    (line,) = done.stdout.splitlines()
    validator("implement-stream").validate(json.loads(line))
    assert json.loads(line)["is_error"] is True
