"""Inside the sandbox: starts a command and watches its whole tree of processes.

    server = Watched("python app.py")
    server.begin() … usage = server.usage()      # CPU seconds and peak memory of the tree between the two
    server.tail()                                # the last lines it wrote
    server.stop()

This file is sent into the sandbox as text (see measurement.py) and runs there under our own Python: standard library
and psutil only, nothing of this package. What a program reports goes out as one line that starts with MARKER.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from typing import Any

import psutil

MARKER = "ML_ENGINEER_RESULT "
_TICK = 0.1  # seconds between two looks at the tree
_GRACE = 3.0  # seconds between TERM and KILL
_TAIL = 16 << 10  # bytes of the end of the output that are looked at


class Failed(Exception):
    """It could not be measured: the message says what happened, `tail` is the end of the command's output."""

    def __init__(self, message: str, tail: str = "") -> None:
        super().__init__(message)
        self.tail = tail


def report(result: dict[str, Any]) -> None:
    """Hands a result, or `{"error", "tail"}`, to the tool outside."""
    print("\n" + MARKER + json.dumps(result), flush=True)  # noqa: T201 - standard output is the channel


class Watched:
    """A shell command in a session of its own; its output goes to a file, so that it never waits for a reader."""

    def __init__(self, command: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the command runs
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._root = psutil.Process(self._process.pid)
        self._cpu: dict[tuple[int, float], float] = {}  # seconds by process, as last seen
        self._at_begin = self._machine = 0.0
        self._begun = self.started
        self._peak = self._looks = 0
        self._looking = threading.Lock()
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """Waits for the end, at most `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def begin(self) -> None:
        """From now on usage is counted."""
        self._look()
        with self._looking:
            self._at_begin, self._peak, self._looks = sum(self._cpu.values()), 0, 0
            self._machine, self._begun = _machine_seconds(), time.monotonic()
        self._look()

    def usage(self) -> dict[str, float]:
        """Since `begin`: CPU seconds, highest sum of resident memory in bytes, how often it was looked at, and how many
        cores all other processes of the machine kept busy (this one included).
        """
        self._look()
        with self._looking:
            spent = sum(self._cpu.values()) - self._at_begin
            others = (_machine_seconds() - self._machine - spent) / (time.monotonic() - self._begun)
            return {"cpu_seconds": spent, "peak_rss": self._peak, "looks": self._looks, "other_cores": max(0.0, others)}

    def output(self, limit: int = _TAIL) -> str:
        """The last `limit` bytes it wrote."""
        size = os.fstat(self._log.fileno()).st_size
        data = os.pread(self._log.fileno(), limit, max(0, size - limit))
        return data.decode("utf-8", "replace")

    def tail(self, lines: int = 20) -> str:
        """The last lines it wrote."""
        return "\n".join(line[:500] for line in self.output().rstrip().splitlines()[-lines:])

    def stop(self) -> None:
        """Ends the command and all below it."""
        members = self._tree()
        for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 1.0)):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            for member in members:
                with suppress(psutil.Error):
                    member.send_signal(number)
            if not psutil.wait_procs(members, timeout=patience)[1]:
                break
        self._over.set()
        self._sampler.join()
        self._log.close()

    def _tree(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return [self._root, *self._root.children(recursive=True)]
        return []

    def _sample(self) -> None:
        while not self._over.wait(_TICK):
            self._look()

    def _look(self) -> None:
        with self._looking:
            resident = 0
            for process in self._tree():
                with suppress(psutil.Error), process.oneshot():
                    times = process.cpu_times()
                    self._cpu[process.pid, process.create_time()] = times.user + times.system
                    resident += process.memory_info().rss
            self._peak = max(self._peak, resident)
            self._looks += 1


def _machine_seconds() -> float:
    """CPU seconds that all cores of the machine were busy so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)  # guests count in user too
