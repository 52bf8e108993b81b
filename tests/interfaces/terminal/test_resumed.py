"""What is shown of a conversation that is gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interfaces.terminal.conftest import Start, left, serving
from tests.support.paced_server import PacedServer, Plays
from tests.support.script import call, text

PLAYS = Plays(
    {
        "#read": [
            [call("UpdatePlan", items=[{"text": "Read it", "state": "active"}])],
            [call("Read", file_path="app.py")],
            [text("I have read it.")],
        ]
    }
)


@pytest.fixture(scope="module")
def server() -> Iterator[PacedServer]:
    with serving(PLAYS) as running:
        yield running


def test_calls_are_a_line_each_and_a_long_message_is_shortened(start: Start, server: PacedServer) -> None:
    first = start(server)
    first.wait_for("mode ask")
    first.send("#read this: ")
    first.paste("\n".join(f"pasted line {number}" for number in range(200)))
    first.wait_for("[pasted 200 lines")
    first.send("enter")
    first.wait_for("I have read it.")
    first.wait_gone("Ctrl-C stops it")
    second = start(server, "--resume", left(first))
    second.wait_for("● Read app.py")
    second.wait_for("I have read it.")
    second.wait_for("mode ask")
    assert "pasted line 11\n  … 188 more lines" in second.history
    assert "UpdatePlan" not in second.history
    second.say("/plan")
    second.wait_for("Read it")


def test_a_damaged_conversation_says_so_and_another_can_be_begun(start: Start, server: PacedServer, home: Path) -> None:
    first = start(server)
    first.wait_for("mode ask")
    first.say("#read")
    first.wait_for("I have read it.")
    first.kill()
    (log,) = home.rglob("session.jsonl")
    log.write_bytes(log.read_bytes() + b'{"bogus": 1}\n')
    second = start(server, "--resume", log.parent.name)
    second.wait_for("could not be opened; /clear begins another")
    second.say("/clear")
    second.wait_for("mode ask")
    second.say("#read")
    second.wait_for("I have read it.")
