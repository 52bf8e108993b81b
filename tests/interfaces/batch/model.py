"""What a batch needs to ask the scripted server, and what the server answers."""

from __future__ import annotations

from pathlib import Path

from ml_engineer.interfaces.batch.summary import Summary
from tests.support.messages_server import MessagesServer
from tests.support.review import finish
from tests.support.script import Agent, Fault, Script, Turn

STEPS = 10


def script(usage: dict[str, int] | None = None, *, latency: float = 0.0, faults: list[Fault] | None = None) -> Script:
    """Every step of every repository ends with its first answer."""
    return Script([Agent([Turn([finish()], faults=list(faults or ()), usage=usage)])], latency)


def asked(server: MessagesServer) -> dict[str, str]:
    """The environment of a batch that asks this server."""
    return {
        "ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "k", "ML_ENGINEER_MODEL": "claude-sonnet-5-5",
        "ML_ENGINEER_MAX_TOKENS": "1000",
    }  # fmt: skip


def summary_of(out: Path) -> Summary:
    return Summary.model_validate_json((out / "summary.json").read_bytes())
