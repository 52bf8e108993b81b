"""A process that runs a tool loop for the kill tests, in a fork of itself per job, so that imports are paid for once.

It reads jobs from stdin, a line of JSON each: {"folder", "url", "stop_at"}. The fork works in `folder/repository` with
what it keeps in `folder/run`, and kills itself with SIGKILL at event number `stop_at`, the begin and the end of every
tool among them. Afterwards a line is written: how the fork ended, how the loop ended, and how many events there were.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

from ml_engineer.agent.calls import Call, Outcome
from ml_engineer.agent.client import Settings, open_client
from ml_engineer.agent.ledger import Ledger
from ml_engineer.agent.toolbox import RepositoryTools
from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Transcript
from ml_engineer.tools.context import open_context
from tests.support.killed import Job, serve

STREAMED = frozenset({"text", "thinking", "tool_call"})


class Events:
    """Counts events, and kills this process at the one it is told."""

    def __init__(self, stop_at: int) -> None:
        self.stop_at = stop_at
        self.count = 0

    def __call__(self, kind: str, /, **data: Any) -> None:
        if kind not in STREAMED:
            self.count += 1
            if self.count == self.stop_at:
                os.kill(os.getpid(), signal.SIGKILL)


class WatchedTools(RepositoryTools):
    """The repository's tools, with an event between the ledger's records and the effect itself."""

    events = Events(0)

    async def run(self, call: Call) -> Outcome:
        self.events("before the effect")
        outcome = await super().run(call)
        self.events("after the effect")
        return outcome


async def work(job: dict[str, Any]) -> None:
    events = WatchedTools.events = Events(job["stop_at"])
    repository, run = Path(job["folder"], "repository"), Path(job["folder"], "run")
    client = open_client(Settings("scripted", base_url=job["url"]))
    async with open_context(repository, run, fsync=False) as context:
        for path in repository.iterdir():  # what was read is known to one process only; the script does not read again
            context.ledger.shown(path.name, path.read_bytes(), 1, 1, 1)
        tools, ledger = WatchedTools(context), Ledger(run / "effects.jsonl")
        loop = ToolLoop(client, Transcript(run / "step.jsonl"), tools, ["be brief"], ledger=ledger, notify=events)
        ending = await loop.run("the brief")
    (run / "ending.json").write_text(json.dumps({"why": ending.why.value, "events": events.count}))


def main() -> None:
    open_client(Settings("warm", base_url="http://127.0.0.1:9"))  # what a first client imports is paid for once
    serve(lambda job: asyncio.run(work(job)), found)


def found(job: Job) -> Job:
    ending = Path(job["folder"], "run", "ending.json")
    said: Job = json.loads(ending.read_text()) if ending.exists() else {}
    return said


if __name__ == "__main__":
    main()
