"""Fixtures for the agent's tests: no settings of the user's, and the scripted server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.messages_server import MessagesServer
from tests.support.script import Script


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("ML_ENGINEER_HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("API_KEY", "AUTH_TOKEN", "BASE_URL", "MODEL", "PROFILE"):
        monkeypatch.delenv(f"ANTHROPIC_{name}", raising=False)
    for name in ("MODEL", "PROVIDER", "BASE_URL", "PROFILE", "EFFORT", "MAX_TOKENS"):
        monkeypatch.delenv(f"ML_ENGINEER_{name}", raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., MessagesServer]]:
    """Starts a server for a list of turns, or for a script."""
    with ExitStack() as stack:

        def start(turns: Script | list[Any], **options: Any) -> MessagesServer:
            script = turns if isinstance(turns, Script) else Script.of(turns)
            return stack.enter_context(MessagesServer(script, **options))

        yield start
