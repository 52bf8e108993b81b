"""`doctor` asks the model that is configured one word, and says what is wrong where no answer comes."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner, Result

from ml_engineer.interfaces import doctor
from tests.support.messages_server import MessagesServer
from tests.support.script import Script


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("ML_ENGINEER_HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ML_ENGINEER_MODEL"):
        monkeypatch.delenv(name, raising=False)


def examined() -> tuple[Result, str]:
    """The result, and the line about the model."""
    result = CliRunner().invoke(doctor.doctor)
    return result, next(line for line in result.stdout.splitlines() if line.split()[1] == "model")


def configure(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
    monkeypatch.setenv("ML_ENGINEER_MODEL", "scripted")


def test_without_a_model_nothing_is_asked_and_nothing_is_wrong() -> None:
    result, line = examined()
    assert line.startswith("none")
    assert result.exit_code == 0


def test_a_model_that_answers_is_named_with_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with MessagesServer(Script.of([[{"text": "ready"}]])) as server:
        configure(monkeypatch, server.url)
        result, line = examined()
    assert result.exit_code == 0
    assert line.startswith("ok")
    assert f"scripted at {server.url} answered in " in line
    (request,) = server.requests
    assert request.size < 1_000, "one tiny call"
    assert "tools" not in request.body


@pytest.mark.parametrize(
    ("turn", "says"),
    [
        ({"blocks": [], "faults": [{"status": 401}]}, "401"),
        ({"blocks": [], "faults": [{"status": 404}]}, "404"),
        ({"blocks": [], "faults": [{"status": 529}]}, "529"),
    ],
)
def test_what_the_server_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, turn: object, says: str) -> None:
    with MessagesServer(Script.of([turn])) as server:
        configure(monkeypatch, server.url)
        result, line = examined()
    assert (result.exit_code, len(server.requests)) == (2, 1)
    assert line.startswith("bad")
    assert says in line


def test_a_server_that_is_not_there_or_says_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, "http://127.0.0.1:9")
    result, line = examined()
    assert (result.exit_code, line[:3]) == (2, "bad")
    monkeypatch.setattr(doctor, "PATIENCE", 0.2)
    with MessagesServer(Script.of([{"blocks": [{"text": "ready"}], "latency": 60.0}])) as server:
        configure(monkeypatch, server.url)
        assert "has not answered within 0.2 s" in examined()[1]


def test_settings_that_cannot_be_used_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    result, line = examined()
    assert result.exit_code == 2
    assert "no model is named" in line


def test_what_confines_commands_and_what_else_can_be_had_are_said() -> None:
    lines = {line[6:34].strip(): line for line in CliRunner().invoke(doctor.doctor).stdout.splitlines()}
    assert re.search(r"\b(bwrap|landlock|network-only|off)\b", lines["sandbox"])
    assert {"extra a2a", "extra acp", "extra ray"} <= lines.keys()
