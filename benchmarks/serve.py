"""One MCP server, many reviews at once: are all answered, how much memory is there, how long is its loop ever busy?

    python -m benchmarks.serve [--calls 32] [--repository examples/churn] [--large]

The server runs as users start it, over HTTP on loopback, but with a clock around each callback of its event loop. The
protocol's official client makes all calls at the same time, one connection each. Printed are

- answers and their time;
- the longest callback by the wall clock (with what others took of the machine meanwhile), and by its own CPU time;
- how late a heartbeat of 10 ms was at worst: what a client would feel; and beside it the same in a process that does
  nothing else, which is as late where the machine is busy;
- memory: the peak of the server alone, and of everything that it started (PSS, so that shared pages count once).

--large reviews a generated repository of 1,200 functions a call, whose report is large too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import httpx2
import psutil
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

BEAT = 0.01  # seconds
_ALONE = "from benchmarks.serve import beat_alone; beat_alone()"
_REPOSITORY = Path(__file__).resolve().parents[1] / "examples" / "churn"


# --- the server, watched ----------------------------------------------------------------------------------------------


class Watch:
    """Times every callback of the event loop, and a heartbeat; says where the loop was when one took long."""

    def __init__(self) -> None:
        self.wall = self.cpu = self.late = self.collecting = 0.0
        self.where = ""
        self._began: float | None = None

    def figures(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def install(self) -> None:
        run = asyncio.Handle._run
        main = threading.get_ident()

        def timed(handle: asyncio.Handle) -> None:
            if threading.get_ident() != main:
                run(handle)
                return
            self._began = wall = time.perf_counter()
            cpu = time.thread_time()
            run(handle)
            self._began = None
            self.wall, self.cpu = max(self.wall, time.perf_counter() - wall), max(self.cpu, time.thread_time() - cpu)

        asyncio.Handle._run = timed  # type: ignore[method-assign] # the only place where every callback passes
        threading.Thread(target=self._look, args=(main,), daemon=True).start()
        gc.callbacks.append(self._collected)

    def _look(self, main: int) -> None:
        longest = 0.03
        while True:
            time.sleep(0.01)
            began = self._began
            if began is not None and time.perf_counter() - began > longest:
                longest = time.perf_counter() - began
                frame = sys._current_frames()[main]
                self.where = " < ".join(f"{one.name}:{one.lineno}" for one in traceback.extract_stack(frame)[:-7:-1])

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collection = time.thread_time()
        else:
            self.collecting = max(self.collecting, time.thread_time() - self._collection)

    async def beat(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT)
            self.late = max(self.late, time.perf_counter() - before - BEAT)


def serve_watched(folder: str, figures: str) -> None:
    """What `ml-engineer serve mcp` does, with a watch. It begins when the server listens."""
    from ml_engineer.interfaces.serve import common
    from ml_engineer.interfaces.serve.command import mcp

    watch = Watch()
    serve_http = common.serve_http

    async def watched(*arguments: Any, **options: Any) -> None:
        watch.install()
        heart = asyncio.ensure_future(watch.beat())
        try:
            await serve_http(*arguments, **options)
        finally:
            heart.cancel()
            Path(figures).write_text(json.dumps(watch.figures()))

    server = importlib.import_module("ml_engineer.interfaces.serve.mcp")
    vars(server)["serve_http"] = watched
    mcp.main(["--http", "127.0.0.1:0", "--root", folder], standalone_mode=False)


def beat_alone() -> None:
    """A heart with nothing to do, until the input ends; prints how late it was at worst, in seconds."""

    async def until_told() -> None:
        watch = Watch()
        heart = asyncio.ensure_future(watch.beat())
        await asyncio.to_thread(sys.stdin.read)
        heart.cancel()
        print(watch.late)

    asyncio.run(until_told())


# --- the clients ------------------------------------------------------------------------------------------------------


class Memory(threading.Thread):
    """Samples the memory of a process and of all that it started, ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.ended = threading.Event()
        self.server = self.all = self.children = 0

    def run(self) -> None:
        while not self.ended.wait(0.1):
            with contextlib.suppress(psutil.NoSuchProcess):
                own = self.process.memory_full_info().pss
                children = self.process.children(recursive=True)
                self.server, self.children = max(self.server, own), max(self.children, len(children))
                self.all = max(self.all, own + sum(map(_pss, children)))


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


async def one_call(url: str, path: str) -> tuple[float, int]:
    """Seconds until the answer, and its findings."""
    async with (
        httpx2.AsyncClient(timeout=httpx2.Timeout(3600)) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        started = time.perf_counter()
        result = await client.call_tool("review_repository", {"path": path})
        if result.is_error or result.structured_content is None:
            raise SystemExit(f"a call failed: {result.content}")
        return time.perf_counter() - started, result.structured_content["findings_total"]


async def all_calls(url: str, path: str, calls: int) -> list[tuple[float, int]]:
    return await asyncio.gather(*(one_call(url, path) for _ in range(calls)))


def generate(folder: Path) -> Path:
    """A repository of 150 modules with many findings."""
    folder.mkdir()
    body = "\n".join(
        f"def load_{n}(path):\n    try:\n        return pickle.load(open(path, 'rb'))\n    except Exception:\n"
        "        pass\n"
        for n in range(8)
    )
    for number in range(150):
        (folder / f"module_{number}.py").write_text(f"import pickle\n\n\n{body}")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=32)
    parser.add_argument("--repository", type=Path, default=_REPOSITORY)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ml-engineer-") as scratch:
        repository = options.repository.resolve()
        if options.large:
            repository = generate(Path(scratch).resolve() / "large")
        measure(repository, options.calls, Path(scratch))


def measure(repository: Path, calls: int, scratch: Path) -> None:
    figures = scratch / "figures.json"
    program = f"from benchmarks.serve import serve_watched; serve_watched({str(repository)!r}, {str(figures)!r})"
    environment = os.environ | {"ML_ENGINEER_HOME": str(scratch / "home")}
    server = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, env=environment)
    assert server.stderr is not None
    memory = Memory(server.pid)
    try:
        url = server.stderr.readline().split()[-1]
        asyncio.run(all_calls(url, str(repository), 1))  # what is imported once is imported
        idle = memory.process.memory_full_info().pss
        memory.start()
        alone = subprocess.Popen(
            [sys.executable, "-c", _ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started = time.perf_counter()
        answers = asyncio.run(all_calls(url, str(repository), calls))
        elapsed = time.perf_counter() - started
        late_alone = float(alone.communicate()[0])
        memory.ended.set()
        memory.join()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        server.stderr.close()
    watch = json.loads(figures.read_text())
    times = sorted(seconds for seconds, _ in answers)
    mib = 1 << 20
    print(f"{len(answers)} of {calls} calls answered in {elapsed:.1f} s, {answers[0][1]} findings each")
    print(f"time of an answer: median {statistics.median(times):.2f} s, worst {times[-1]:.2f} s")
    print(f"longest callback of the loop: {watch['wall'] * 1000:.0f} ms, of its own CPU {watch['cpu'] * 1000:.0f} ms")
    print(f"  the longest was at {watch['where'] or 'nothing that took 30 ms'}")
    print(f"longest collection of garbage: {watch['collecting'] * 1000:.0f} ms")
    print(f"heartbeat late by at most {watch['late'] * 1000:.0f} ms, in an idle process {late_alone * 1000:.0f} ms")
    print(
        f"memory: server {memory.server / mib:.0f} MB at most ({idle / mib:.0f} before), "
        f"with its {memory.children} processes {memory.all / mib:.0f} MB at most"
    )


if __name__ == "__main__":
    main()
