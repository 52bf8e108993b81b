"""A process that holds conversations for the kill tests, in a fork of itself per job.

It reads jobs from stdin, a line of JSON each: {"home", "root", "url", "words", "stop_at"}. The fork opens the
conversation that is kept in `home`, or begins one, says the words, and kills itself with SIGKILL at event number
`stop_at`, the begin and the end of every tool among them. A line says how the fork ended, how many events there were,
and what it found. The survey of the repository, the same for all jobs, is in the file that the argument names.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from ml_engineer.agent.client import Settings, open_client
from ml_engineer.agent.runs import Run, list_folders
from ml_engineer.agent.toolbox import RepositoryTools
from tests.support.conversation import opened
from tests.support.killed import Job, serve
from tests.support.workshop import Events


def watch_effects(events: Events) -> None:
    """An event between the ledger's records and the effect itself."""
    real = RepositoryTools.run

    async def watched(self: RepositoryTools, call: Any) -> Any:
        events("before the effect")
        outcome = await real(self, call)
        events("after the effect")
        return outcome

    RepositoryTools.run = watched  # type: ignore[method-assign]  # this process only


async def work(job: dict[str, Any]) -> dict[str, Any]:
    events = Events(job["stop_at"])
    watch_effects(events)
    folders = list_folders()
    meta = {"mode": "chat", "target": job["root"], "ask_peers": False}
    run = Run.open(folders[0].name, work=True) if folders else Run.create(meta)
    run.write("survey.json", Path(sys.argv[1]).read_bytes())
    found: dict[str, Any] = {}
    async with opened(run, job["url"], Path(job["home"]), notify=events) as session:
        found["replayed"] = [one.text for one in session.replay() if one.who == "user"]
        found["plan"] = [item.state for item in session.plan]
        ending = await session.say(job["words"])
        found |= {"why": ending.why.value, "text": ending.text, "turns": session.budget.usage().turns}
        if job.get("undo"):
            while session.undo(force=True) is not None:
                found["undone"] = found.get("undone", 0) + 1
            found["diff"] = session.diff()
    run.close()
    return {**found, "events": events.count}


def main() -> None:
    open_client(Settings("warm", base_url="http://127.0.0.1:9"))  # what a first client imports is paid for once
    serve(talk, found)


def talk(job: Job) -> None:
    os.environ["ML_ENGINEER_HOME"] = job["home"]
    Path(job["home"], "found.json").write_text(json.dumps(asyncio.run(work(job))))


def found(job: Job) -> Job:
    kept = Path(job["home"], "found.json")
    said: Job = json.loads(kept.read_text()) if kept.exists() else {}
    return said


if __name__ == "__main__":
    main()
