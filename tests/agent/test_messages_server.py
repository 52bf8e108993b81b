"""The scripted server itself: scripts that a person can write, steps side by side, and requests on record."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Transcript
from tests.support.agents import QUICK, CountingTools, client_for
from tests.support.cache import cacheable_share
from tests.support.messages_server import MessagesServer
from tests.support.script import Script, ScriptError, call, text

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
latency: 0.001
agents:
  - match: Step 4
    turns:
      - - text: I look at the training.
        - call: Look
          input: {what: train.py}
      - faults: [529, cut_text]
        blocks:
          - text: "Step four saw <<(s..)n>>."
  - match: Step 5
    turns:
      - - text: Step five is done.
  - turns:
      - - text: Everybody else.
"""


def answers(url: str, *openings: str) -> list[str]:
    async def go() -> list[str]:
        client = client_for(url)
        loops = [ToolLoop(client, Transcript(), CountingTools(), patience=QUICK) for _ in openings]
        try:
            endings = await asyncio.gather(*(loop.run(opening) for loop, opening in zip(loops, openings, strict=True)))
        finally:
            await client.close()
        return [ending.text for ending in endings]

    return asyncio.run(go())


def test_steps_that_run_side_by_side_each_get_their_own_script(
    serve: Callable[..., MessagesServer], tmp_path: Path
) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    server = serve(Script.load(path))
    said = answers(server.url, "Step 4: training", "Step 5: deployment", "hello")
    assert said == ["Step four saw see.", "Step five is done.", "Everybody else."]
    fourth = [one for one in server.requests if one.agent == 0]
    assert [(one.turn, one.fault) for one in fourth] == [(0, None), (1, "status"), (1, "cut_text"), (1, None)]


def test_a_request_beyond_the_script_is_an_error_that_says_so(serve: Callable[..., MessagesServer]) -> None:
    assert "the script of agent 0 ends before turn 0" in answers(serve([]).url, "hello")[0]


@pytest.mark.parametrize(
    "words",
    ["agents: 1", "turns: []", "agents: [{turns: [{faults: [cut_everything]}]}]", "agents: [{turns: [{x: 1}]}]"],
)
def test_a_script_that_means_nothing_is_refused(tmp_path: Path, words: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(words)
    with pytest.raises(ScriptError):
        Script.load(path)


def test_it_runs_as_a_program_and_keeps_a_record(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(SCRIPT)
    record = tmp_path / "requests.jsonl"
    command = [sys.executable, "-m", "tests.support.messages_server", "--script", str(tmp_path / "script.yaml")]
    with subprocess.Popen([*command, "--record", str(record)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert answers(url, "Step 5") == ["Step five is done."]
        finally:
            process.terminate()
    entry = json.loads(record.read_text())
    assert entry["body"]["messages"][0]["content"][0]["text"] == "Step 5"
    assert entry["answered"] >= entry["received"] > 0


def test_the_cacheable_share_of_a_growing_conversation_is_high_and_of_unrelated_ones_low(
    serve: Callable[..., MessagesServer],
) -> None:
    server = serve([*([text("I look."), call("Look", what=str(n))] for n in range(20)), [text("Done.")]])
    answers(server.url, "hello " * 50)
    grown = [one.body for one in server.requests]
    assert 0.9 < cacheable_share(grown) < 1
    assert cacheable_share([grown[0]]) == 0
    assert cacheable_share([{"messages": [{"role": "user", "content": f"{n} other"}]} for n in range(5)]) < 0.8
