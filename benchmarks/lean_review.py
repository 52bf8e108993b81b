"""A review of ten steps of six turns whose answers take two seconds, from the command line: time, and bytes sent.

The steps read files of the churn example and hand in that the findings stand; a peer that is asked has one turn. What
the review takes is set against its sequential time: all answers one after the other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.support.cache import cacheable_share, share_of_one_conversation

CHURN = Path(__file__).resolve().parents[1] / "examples" / "churn"
PROGRAM = Path(sysconfig.get_path("scripts")) / "ml-engineer"
LATENCY = 2.0
READ = ("app.py", "train.py", "jobs/batch_score.py", "k8s/deployment.yaml", ".github/workflows/ci.yml")
SUMMARY = "The findings of the engine stand."
_STEP = re.compile(r"# Your step: (\d+) ")
Serve = Callable[..., AbstractContextManager[tuple[str, Path]]]


def script() -> dict[str, Any]:
    """What the server answers: to the steps five reads and their record, to a peer its answer."""
    turns: list[Any] = [[{"call": "Read", "input": {"file_path": path}}] for path in READ]
    turns.append([{"call": "finish_step", "input": {"summary": SUMMARY}}])
    peer = [[{"call": "answer", "input": {"answer": "It depends on what the team runs today."}}]]
    agents = [{"match": "# Your step: ", "turns": turns}, {"match": "You work beside an ML engineer", "turns": peer}]
    return {"latency": LATENCY, "agents": agents}


def measure(serve: Serve, folder: Path) -> list[str]:
    """One review. Markdown with the goals beside what was reached; RuntimeError when the review failed."""
    target = folder / "churn"
    shutil.copytree(CHURN, target, dirs_exist_ok=True)
    with serve(script(), folder) as (url, record):
        env = {**os.environ, "ANTHROPIC_BASE_URL": url, "ML_ENGINEER_HOME": str(folder / "home")}
        env |= {"ML_ENGINEER_MODEL": "scripted", "ML_ENGINEER_PROFILE": "anthropic"}
        command = [str(PROGRAM), "review", str(target), "--format", "json"]
        started = time.monotonic()
        done = subprocess.run(command, check=False, env=env, capture_output=True, text=True)
        took = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"the review failed: {done.stderr.strip()[-600:]}")
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    steps = [one["body"] for one in entries if one["agent"] == 0]
    if len(steps) != 10 * (len(READ) + 1):
        raise RuntimeError(f"{len(steps)} requests of steps instead of {10 * (len(READ) + 1)}")
    sequential = sum(one["answered"] - one["received"] for one in entries)
    conversations: dict[str, list[dict[str, Any]]] = {}
    for body in steps:  # in the order in which they were answered
        conversations.setdefault(_STEP.findall(json.dumps(body["messages"][0]))[0], []).append(body)
    cacheable, together = cacheable_share(steps), share_of_one_conversation(list(conversations.values()))
    rows = [
        ("s, start of the program to its end", f"{took:.1f}", ""),
        (f"s, its {len(entries)} answers one after the other", f"{sequential:.1f}", ""),
        ("share of its sequential time", f"{took / sequential:.2f}", "≤ 0.40"),
        ("input bytes in a prefix that was sent before", f"{cacheable:.3f}", "≥ 0.90"),
        (
            "input bytes, one conversation = 1",
            f"{together:.2f}",
            "≤ 0.50",
        ),
    ]
    lines = ["### A review of ten steps of six turns, 2 s a turn", "", "| | reached | goal |", "|---|--:|--:|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]
