"""A process that carries out implementations and reviews for the kill tests, in a fork of itself per job.

It reads jobs from stdin, a line of JSON each: {"home", "target", "url", "mode", "stop_at", "stop_on", "every"}. The
fork begins a run in `home`, or goes on with the one that is there, and kills itself with SIGKILL at moment `stop_at`:
right before or right after an event is written, and with `every` also an artefact, a record of a conversation or of
the ledger, or a command of git. With `stop_on` it does so right after the first event with these fields. A line says
how the fork ended and how many moments there were.

Two things that no kill can spoil are not done afresh in each fork: assessing a tree that was assessed before, and
proving the sandbox.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_engineer.agent import branch, log, runs
from ml_engineer.agent.client import Settings, open_client
from ml_engineer.agent.implement import implement as _graph  # noqa: F401 (imported before the forks)
from ml_engineer.agent.lean import import_langgraph
from ml_engineer.assessment import assess as _assess  # noqa: F401 (imported before the forks)
from ml_engineer.assessment.record import Assessment
from ml_engineer.interfaces import implement
from ml_engineer.interfaces.jobs import review_job, review_meta
from ml_engineer.interfaces.model import ModelChoice
from ml_engineer.tools import sandbox
from ml_engineer.tools.worktree import Worktree
from tests.support.killed import Job, serve

ALWAYS = ((runs.Run, "event"),)
EVERY = ((runs.Run, "write"), (log.Log, "append"), (branch, "run_git"))


class Moments:
    """Counts moments, and kills this process at the one that is named."""

    def __init__(self, stop_at: int, stop_on: dict[str, Any]) -> None:
        self.stop_at = stop_at
        self.stop_on = stop_on
        self.count = 0

    def pass_by(self, said: dict[str, Any]) -> None:
        self.count += 1
        if self.count == self.stop_at or (self.stop_on and self.stop_on.items() <= said.items()):
            os.kill(os.getpid(), signal.SIGKILL)


def watch(owner: Any, name: str, moments: Moments) -> None:
    """Put a moment before and one after each call of this function."""
    real: Callable[..., Any] = getattr(owner, name)

    def watched(*arguments: Any, **options: Any) -> Any:
        moments.pass_by({})
        result = real(*arguments, **options)
        moments.pass_by(options)
        return result

    setattr(owner, name, watched)


def remember_assessments(folder: Path) -> None:
    """Keep the assessment of each tree, by git's name of it; only clean working copies are assessed."""
    real = implement._assess

    async def remembered(worktree: Worktree, target: Path) -> Assessment:
        command = ["git", "rev-parse", "HEAD^{tree}"]
        tree = subprocess.run(command, cwd=worktree.folder, check=True, capture_output=True, text=True).stdout.strip()
        known = folder / f"{tree}.json"
        if not known.exists():
            known.write_text((await real(worktree, target)).model_dump_json())
        found = Assessment.model_validate_json(known.read_bytes())
        named = found.repository.model_copy(update={"path": str(target)})
        return found.model_copy(update={"repository": named})

    implement._assess = remembered


def work(job: dict[str, Any]) -> None:
    os.environ |= {"ML_ENGINEER_HOME": job["home"], "ANTHROPIC_BASE_URL": job["url"]}
    os.setpgid(0, 0)
    moments = Moments(job["stop_at"], job.get("stop_on", {}))
    for owner, name in ALWAYS + (EVERY if job["every"] else ()):
        watch(owner, name, moments)
    folders = runs.list_folders()
    if job.get("mode") == "review":
        earlier = runs.Run.open(folders[0].name, work=True) if folders else None
        meta = review_meta(Path(job["target"]), offline=False, model="scripted") if earlier is None else earlier.meta
        asyncio.run(review_job(meta, resume=earlier))
    elif folders:
        implement.conduct(runs.Run.open(folders[0].name, work=True), None, attended=False)
    else:
        implement._start(Path(job["target"]), "Make it safe", "full", ModelChoice(model="scripted"), None)
    Path(job["home"], "moments").write_text(str(moments.count))


def main() -> None:
    import_langgraph()
    open_client(Settings("warm", base_url="http://127.0.0.1:9"))  # what a first client imports is paid for once
    scratch = Path(sys.argv[1])
    (scratch / "workspace").mkdir(parents=True)
    proved = sandbox.choose(scratch / "workspace", scratch / "sandbox").level
    real_test = sandbox.self_test
    sandbox.self_test = lambda one: None if one.level == proved else real_test(one)
    remember_assessments(scratch)
    serve(work, found)


def found(job: Job) -> Job:
    moments = Path(job["home"], "moments")
    return {"moments": int(moments.read_text()) if moments.exists() else 0}


if __name__ == "__main__":
    main()
