"""Running shell commands: one process group each, output kept in a file while it runs, nothing left behind.

    shell = await shells.start(launch, command)
    exit_code = await shell.wait(seconds)      # None: still running
    shell.output.text()                        # what it has written so far
    await shell.stop()                         # TERM, then KILL, to its whole group and to what left the group

A command that is killed leaves the output it had made. Processes that detached themselves (setsid, nohup, double fork)
are found by a mark in their environment and are ended with the command that started them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ml_engineer.tools.launch import Launch
from ml_engineer.tools.truncate import Spills

MARK = "ML_ENGINEER_COMMAND"
GRACE = 2.0  # seconds between TERM and KILL
DRAIN = 0.25  # seconds to wait for output after the command itself has ended
_TAIL = 64 << 10  # bytes of the end kept when the file has reached its cap


class Output:
    """The merged output of a command: a file up to `cap` bytes, beyond it the last bytes only. Sizes in bytes."""

    def __init__(self, path: Path, cap: int) -> None:
        self.path = path
        self._cap = cap
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._tail = b""
        self.total = 0
        self._polled = 0

    def feed(self, data: bytes) -> None:
        room = max(0, self._cap - self.total)
        kept, rest = data[:room], data[room:]
        while kept:
            kept = kept[os.write(self._file, kept) :]
        if rest:
            self._tail = (self._tail + rest)[-_TAIL:]
        self.total += len(data)

    @property
    def lost(self) -> int:
        """Bytes that are neither in the file nor in the kept end."""
        return max(0, self.total - self._cap - len(self._tail))

    def text(self) -> str:
        """All that is kept."""
        return self._read(0)

    def poll(self) -> str:
        """What came since the last poll."""
        text = self._read(self._polled)
        self._polled = self.total
        return text

    def _read(self, start: int) -> str:
        stored = min(self.total, self._cap)
        data = os.pread(self._file, stored - start, start) if start < stored else b""
        gap = f"\n[… {self.lost:,} bytes were not kept …]\n".encode() if self.lost else b""
        tail = self._tail[-(self.total - max(start, stored)) :] if self.total > max(start, stored) else b""
        return (data + (gap + tail if tail else b"")).decode("utf-8", "surrogateescape")

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def discard(self) -> None:
        """Removes the file: all of it was shown."""
        self.path.unlink(missing_ok=True)


@dataclass
class Shell:
    """One command, running or ended. `exit_code` is negative for a signal; `level` is the sandbox level it had."""

    id: str
    command: str
    level: str
    output: Output
    process: asyncio.subprocess.Process
    mark: str
    reader: asyncio.Task[None]
    background: bool
    checkpoint: int | None = None  # of the tree before it, until its changes are recorded
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    stopped: bool = False
    swept: bool = False

    @property
    def exit_code(self) -> int | None:
        return self.process.returncode

    @property
    def elapsed(self) -> float:
        return (self.ended or time.monotonic()) - self.started

    async def wait(self, seconds: float | None) -> int | None:
        """Waits until the command has ended, at most `seconds`. Gives the exit code, or None when it still runs."""
        try:
            await asyncio.wait_for(asyncio.shield(self.process.wait()), seconds)
        except TimeoutError:
            return None
        if self.ended is None:
            self.ended = time.monotonic()
        await self._sweep()
        return self.exit_code

    async def stop(self, *, grace: float = GRACE) -> None:
        """Ends the command and all it started, after `grace` seconds by force."""
        self.stopped = self.process.returncode is None
        if self.stopped:
            self._signal(signal.SIGTERM)
            if await self.wait(grace) is None:
                self._signal(signal.SIGKILL)
                await self.wait(GRACE)
        await self._sweep()

    async def _sweep(self) -> None:
        """After the command itself, once: lets its output drain, then ends what it left running."""
        if self.swept:
            return  # by now the number of the group may be another's
        self.swept = True
        if not self.reader.done():
            await asyncio.wait({self.reader}, timeout=DRAIN)
        self._signal(signal.SIGKILL)
        self.reader.cancel()
        await asyncio.wait({self.reader})

    def _signal(self, number: signal.Signals) -> None:
        """To the group first, which the kernel reaches all at once however fast it forks; then to those that left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)
        for member in self._members():
            with contextlib.suppress(psutil.Error):
                member.send_signal(number)

    def _members(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if _carries(process, self.mark)]


class Shells:
    """All commands of a run by id."""

    def __init__(self, spills: Spills) -> None:
        self._spills = spills
        self._shells: dict[str, Shell] = {}
        self._numbers = itertools.count(1)

    async def start(self, launch: Launch, command: str, *, background: bool = False) -> Shell:
        """Starts a command. Raises OSError when its program cannot be started."""
        mark = uuid.uuid4().hex
        output = Output(self._spills.new_path("bash"), self._spills.cap)
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.argv,
                env=launch.env | {MARK: mark},
                cwd=launch.cwd,
                preexec_fn=launch.preexec_fn,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        except BaseException:
            os.close(read_end)
            output.close()
            output.discard()
            raise
        finally:
            os.close(write_end)
        reader = asyncio.create_task(_collect(read_end, output))
        shell = Shell(f"bash_{next(self._numbers)}", command, launch.level, output, process, mark, reader, background)
        self._shells[shell.id] = shell
        return shell

    def get(self, identifier: str) -> Shell | None:
        return self._shells.get(identifier)

    def forget(self, shell: Shell) -> None:
        """A foreground command is over and its output was shown."""
        shell.output.close()
        del self._shells[shell.id]

    def in_background(self) -> list[Shell]:
        """Those that were started in the background, ended ones included."""
        return [shell for shell in self._shells.values() if shell.background]

    async def close(self) -> list[int]:
        """Ends what still runs; gives the checkpoints of the commands whose changes are not recorded yet."""
        for shell in self._shells.values():
            await shell.stop(grace=0.2)
            shell.output.close()
        return [shell.checkpoint for shell in self._shells.values() if shell.checkpoint is not None]


async def _collect(read_end: int, output: Output) -> None:
    """Moves what comes through the pipe into `output` until its last writer closes it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        while data := await reader.read(1 << 18):
            output.feed(data)
    finally:
        transport.close()


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(MARK) == mark)
    except psutil.Error:
        return False  # ended, or another user's
