"""Jobs in child processes: a crash, a hang or a flood of memory costs one job, and the event loop is never held up.

    async with Pool(workers=2, memory=1 << 30, seconds=600) as pool:
        done = await pool.review(meta, listen)

One process imports everything and stays warm (multiprocessing's forkserver, `interfaces.warm`); each job is a fork of
it in a process group of its own, which is killed when the job is cancelled or out of time; the job itself is killed
when this process dies, too. Job and parent speak in JSON over a pipe: events, then the result or what went wrong.

At most `workers` jobs are at work at once, the others wait for their turn. As everywhere with multiprocessing, a script
that uses this needs its `if __name__ == "__main__":`, because the warm process imports it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from ml_engineer.agent.runs import home
from ml_engineer.assessment import parallel
from ml_engineer.interfaces.jobs import Listen, review_job, unheard

WARM = "ml_engineer.interfaces.warm"
_PR_SET_PDEATHSIG = 1
_CONTEXT = multiprocessing.get_context("forkserver")

Event = dict[str, Any]
Work = Callable[[dict[str, Any], Listen], dict[str, Any]]


class JobFault(StrEnum):
    """Why a job has no result."""

    REFUSED = "refused"  # it cannot be done as asked; the message says what to do
    CRASHED = "crashed"
    MEMORY = "memory"
    TIMEOUT = "timeout"


class JobError(Exception):
    """A job without a result."""

    def __init__(self, kind: JobFault, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Done:
    """A review that was done: the sealed report as JSON, and where its run is kept (None: nowhere)."""

    run_id: str
    folder: Path | None
    report: str


class Pool:
    """Runs jobs in children. `memory` in bytes and `seconds` limit each job; None: no limit. `warm` is the module that
    imports what they need."""

    def __init__(
        self, workers: int = 2, *, memory: int | None = None, seconds: float | None = None, warm: str = WARM
    ) -> None:
        self.workers, self.memory, self.seconds, self.warm = workers, memory, seconds, warm
        self._turn = asyncio.Semaphore(workers)
        # A thread for each job at work, which starts the child and waits at its pipe.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="job")

    async def __aenter__(self) -> Self:
        _CONTEXT.set_forkserver_preload([self.warm])
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def review(self, meta: dict[str, Any], listen: Listen = unheard) -> Done:
        """A review as `interfaces.jobs.review_meta` describes it. Raises JobError."""
        done = await self.run(review_in_child, meta, listen)
        return Done(done["run_id"], Path(done["folder"]) if done["folder"] else None, done["report"])

    async def run(self, work: Work, given: dict[str, Any], listen: Listen = unheard) -> dict[str, Any]:
        """`work(given, send)` in a child: a function at the top of a module, that gives what JSON can say.

        What it sends is heard by `listen` in this loop. Raises JobError; a cancelled job is killed with all it started.
        """
        async with self._turn:
            loop = asyncio.get_running_loop()
            job = _Job(work, given, self.memory)

            def post(event: Event) -> None:
                loop.call_soon_threadsafe(listen, event)

            hear = loop.run_in_executor(self._threads, job.hear, post)
            try:
                async with asyncio.timeout(self.seconds):
                    return await asyncio.shield(hear)
            except TimeoutError:
                raise JobError(JobFault.TIMEOUT, f"not finished after {self.seconds:g} seconds") from None
            finally:
                job.kill()
                with contextlib.suppress(JobError):
                    await asyncio.shield(hear)  # the slot is free when the child is gone, not before


class _Job:
    """One child and the pipe to it. `hear` runs in a thread, `kill` in another."""

    def __init__(self, work: Work, given: dict[str, Any], memory: int | None) -> None:
        self._given = (work, given, memory)
        self._process: BaseProcess | None = None
        self._killed = threading.Event()

    def hear(self, listen: Listen) -> dict[str, Any]:
        reader, writer = _CONTEXT.Pipe(duplex=False)
        with reader:
            with writer:
                if self._killed.is_set():
                    raise JobError(JobFault.CRASHED, "cancelled before it began")
                process = _CONTEXT.Process(target=_child, args=(writer, *self._given), daemon=True)
                process.start()
                self._process = process
            if self._killed.is_set():
                self.kill()
            result = self._last(reader, listen)
        self.kill()  # what a job has started does not outlive it, also where it crashed
        process.join()
        code = process.exitcode
        process.close()
        if result is None:
            raise JobError(JobFault.CRASHED, f"its process ended with {_ending(code)} and no result")
        if "fault" in result:
            raise JobError(JobFault(result["fault"]), result["message"])
        done: dict[str, Any] = result["done"]
        return done

    @staticmethod
    def _last(reader: Connection, listen: Listen) -> dict[str, Any] | None:
        """Hand on events until the result comes, or the child is gone."""
        while True:
            try:
                message = json.loads(reader.recv_bytes())
            except (EOFError, OSError, ValueError):
                return None
            if "event" not in message:
                return dict(message)
            listen(message["event"])

    def kill(self) -> None:
        """End the child and all it started. Safe to call at any time and again."""
        self._killed.set()
        process = self._process
        with contextlib.suppress(ValueError, ProcessLookupError):  # the process is closed, or gone
            if process is not None and process.pid is not None:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:  # it has no group of its own yet
                    os.kill(process.pid, signal.SIGKILL)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name} (out of memory?)" if -code == signal.SIGKILL else name


# --- in the child -----------------------------------------------------------------------------------------------------


def _child(writer: Connection, work: Work, given: dict[str, Any], memory: int | None) -> None:
    """Do the work, tell the parent, and be gone with it when it dies."""
    os.setpgid(0, 0)
    os.nice(5)  # behind the event loop of a server that waits for it
    # What is inherited keeps the process that we are forked from alive when the parent is gone, and us with it.
    os.closerange(3, writer.fileno())
    os.closerange(writer.fileno() + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parallel.work_alone()  # the cores are shared out to jobs already
    os.dup2(2, 1)  # the parent's standard output may be a protocol's wire
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))

    def send(message: dict[str, Any]) -> None:
        writer.send_bytes(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    result: dict[str, Any]
    try:
        result = {"done": work(given, lambda event: send({"event": event}))}
    except Exception as error:
        result = _fault(error, memory)
    send(result)


def _fault(error: Exception, memory: int | None) -> dict[str, Any]:
    import click

    if isinstance(error, click.ClickException):
        return {"fault": JobFault.REFUSED, "message": error.message}
    no_stack = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    if memory is not None and (isinstance(error, MemoryError) or no_stack):
        return {"fault": JobFault.MEMORY, "message": f"it needed more than {memory >> 20} MB of memory"}
    return {"fault": JobFault.CRASHED, "message": f"{type(error).__name__}: {error}"}


def review_in_child(meta: dict[str, Any], send: Listen) -> dict[str, Any]:
    """The job of `Pool.review`."""
    report = asyncio.run(review_job(meta, listen=send))
    folder = home() / "runs" / report.run.id
    return {
        "run_id": report.run.id,
        "folder": str(folder) if folder.is_dir() else None,
        "report": report.to_json(),
    }
