"""Jobs that may be killed: a process that forks for each of them, so that imports are paid for once.

    with asking("tests.support.talker", survey) as ask:     in the test: ask(job) says how the job ended
    serve(work, found)                                      in that module: work(job) in a fork, then found(job)

Jobs and what is said of them are JSON, a line each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Job = dict[str, Any]


@contextmanager
def asking(module: str, *arguments: str | Path, quiet: bool = False) -> Iterator[Callable[[Job], Job]]:
    """Gives a function that has one job done. `quiet`: what the jobs print on stderr is not shown."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    errors = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(job: Job) -> Job:
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
            said: Job = json.loads(stdout.readline())
            return said

        yield ask
        stdin.close()


def serve(work: Callable[[Job], object], found: Callable[[Job], Job]) -> None:
    """Do the jobs of stdin; of each say its exit code, and what is found of it afterwards."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(job)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(json.dumps({"exit": os.waitstatus_to_exitcode(status), **found(job)}) + "\n")
        sys.stdout.flush()
