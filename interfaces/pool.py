"""Jobs in child processes: a crash, a hang or a flood of memory costs one job, and the event loop is never held up.

    async with Pool(workers=2, memory=1 << 30, seconds=600) as pool:
        done = await pool.review(meta, listen)

One process imports everything and stays warm (multiprocessing's forkserver, `interfaces.warm`). A child is a fork of it
in a process group of its own, does one job at a time and `jobs` in all; it is killed with all that it started when its
job is cancelled or out of time, is replaced after a job that came to no result, and dies when this process does.
Child and parent speak over a pipe: the job there, and back in JSON events, then the result or what went wrong.

At most `workers` jobs are at work at once, the others wait for their turn. As everywhere with multiprocessing, a script
that uses this needs its `if __name__ == "__main__":`, because the warm process imports it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
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
_GROWTH = 128 << 20  # bytes that jobs may leave behind in a child that goes on
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
    imports what they need. `jobs` is how many a child does before a fresh one takes its place: a fork costs about a
    fifth of a small review, and with one job each none can leave anything behind for the next."""

    def __init__(
        self,
        workers: int = 2,
        *,
        memory: int | None = None,
        seconds: float | None = None,
        warm: str = WARM,
        jobs: int = 1,
    ) -> None:
        self.workers, self.memory, self.seconds, self.warm, self.jobs = workers, memory, seconds, warm, jobs
        self._turn = asyncio.Semaphore(workers)
        # A thread for each job at work, which starts the child and waits at its pipe.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._idle: list[_Child] = []

    async def __aenter__(self) -> Self:
        _CONTEXT.set_forkserver_preload([self.warm])
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._idle:
            child.end()

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
            child = self._waiting() or _Child(self.memory, self.jobs)

            def post(event: Event) -> None:
                loop.call_soon_threadsafe(listen, event)

            hear = loop.run_in_executor(self._threads, child.do, work, given, post)
            try:
                async with asyncio.timeout(self.seconds):
                    done = await asyncio.shield(hear)
            except BaseException as error:
                child.kill()
                with contextlib.suppress(JobError):
                    await asyncio.shield(hear)  # the slot is free when the child is gone, not before
                child.end()
                if isinstance(error, TimeoutError):
                    raise JobError(JobFault.TIMEOUT, f"not finished after {self.seconds:g} seconds") from None
                raise
            if child.goes_on:
                self._idle.append(child)
            return done

    def _waiting(self) -> _Child | None:
        """A child that waits for a job. One that somebody has killed meanwhile is no job's fault."""
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            child.end()
        return None


class _Child:
    """One child and the pipe to it. `do` runs in a thread, `kill` in another."""

    def __init__(self, memory: int | None, jobs: int) -> None:
        self._limits = (memory, jobs)
        self._wire: Connection | None = None
        self._process: BaseProcess | None = None
        self._killed = threading.Event()
        self.goes_on = False  # it waits for another job

    def do(self, work: Work, given: dict[str, Any], listen: Listen) -> dict[str, Any]:
        """One job. JobError, or a job that was its last: the child is gone, with all it has started."""
        wire = self._wire or self._start()
        with contextlib.suppress(OSError):  # it is gone: the pipe's other end says so, too
            wire.send((work, given))
        result = self._last(wire, listen)
        self.goes_on = result is not None and result["goes_on"]
        code = None if self.goes_on else self.end()
        if result is None:
            raise JobError(JobFault.CRASHED, f"its process ended with {_ending(code)} and no result")
        if "fault" in result:
            raise JobError(JobFault(result["fault"]), result["message"])
        done: dict[str, Any] = result["done"]
        return done

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def _start(self) -> Connection:
        self._wire, theirs = _CONTEXT.Pipe()
        with theirs:
            if self._killed.is_set():
                raise JobError(JobFault.CRASHED, "cancelled before it began")
            process = _CONTEXT.Process(target=_child, args=(theirs, *self._limits), daemon=True)
            process.start()
            self._process = process
        if self._killed.is_set():
            self.kill()
        return self._wire

    @staticmethod
    def _last(wire: Connection, listen: Listen) -> dict[str, Any] | None:
        """Hand on events until the result comes, or the child is gone."""
        while True:
            try:
                message = json.loads(wire.recv_bytes())
            except (EOFError, OSError, ValueError):
                return None
            if "event" not in message:
                return dict(message)
            listen(message["event"])

    def end(self) -> int | None:
        """See that it is gone, and all it has started: how it ended, if it is not known to be gone already."""
        self.kill()
        if self._wire is not None:
            self._wire.close()
        process, self._process = self._process, None
        if process is None:
            return None
        process.join()
        code = process.exitcode
        process.close()
        return code

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


def _child(wire: Connection, memory: int | None, jobs: int) -> None:
    """Do what comes over the wire, tell the parent, and be gone with it when it dies."""
    os.setpgid(0, 0)
    os.nice(5)  # behind the event loop of a server that waits for it
    # What is inherited keeps the process that we are forked from alive when the parent is gone, and us with it.
    os.closerange(3, wire.fileno())
    os.closerange(wire.fileno() + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parallel.work_alone()  # the cores are shared out to jobs already
    os.dup2(2, 1)  # the parent's standard output may be a protocol's wire

    def send(message: dict[str, Any]) -> None:
        wire.send_bytes(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    size = _data()
    for left in reversed(range(jobs)):
        try:
            work, given = wire.recv()
        except EOFError:
            return
        if memory is not None:  # what others have left behind is not counted against a job
            soft = memory + max(0, _data() - size)
            resource.setrlimit(resource.RLIMIT_DATA, (min(soft, memory + _GROWTH), memory + _GROWTH))
        result: dict[str, Any]
        try:
            result = {"done": work(given, lambda event: send({"event": event}))}
        except Exception as error:
            result = _fault(error, memory)
        del work, given
        goes_on = left > 0 and "done" in result and _childless()
        if goes_on:
            gc.collect()
            goes_on = _data() - size < _GROWTH
        send(result | {"goes_on": goes_on})
        if not goes_on:
            return


def _data() -> int:
    """Bytes that count for the limit of memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except OSError:
        return 0


def _childless() -> bool:
    """Whether nothing that was started is still there: it would outlive its job."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


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
