"""The survey in a child process, so that assessing and importing LangGraph take the two cores at once.

`Survey.start(root)` forks while the process is still small and single-threaded; the child assesses and sends the
assessment as JSON through a pipe. Where forking is not safe (threads are running, as in a server) or not to be had, the
assessment is made in a thread of this process instead.

Importing this module is cheap: asyncio and what assessing needs are imported where they are used. What both processes
need is imported before the fork, everything else beside the child.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml_engineer.agent.lean import import_models

if TYPE_CHECKING:
    from ml_engineer.assessment.record import Assessment

_OK, _FAILED = b"\0", b"\1"


class SurveyError(Exception):
    """The assessment itself failed: a fault of ours, with what is known of it."""


@dataclass
class Survey:
    """An assessment under way. `await survey()` gives it."""

    root: Path
    pid: int | None = None
    pipe: int | None = None

    @classmethod
    def start(cls, root: Path) -> Survey:
        """Start assessing `root` now, in a child where that is safe and the system has room for one."""
        if sys.platform != "linux" or threading.active_count() > 1:
            return cls(root)
        import_models()  # what both processes need
        reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError:  # there are as many processes as there may be
            os.close(reader)
            os.close(writer)
            return cls(root)
        if pid == 0:
            os.close(reader)
            _child(root, writer)
        os.close(writer)
        with contextlib.suppress(OSError):  # the child does the same: whoever comes first
            os.setpgid(pid, pid)
        return cls(root, pid, reader)

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *error: object) -> None:
        self.cancel()

    async def __call__(self) -> Assessment:
        import asyncio

        if self.pipe is None or self.pid is None:
            from ml_engineer.assessment.assess import assess

            return await asyncio.to_thread(assess, self.root)
        from ml_engineer.assessment.record import Assessment

        pipe, self.pipe = self.pipe, None  # from here on the reading thread closes it, also when this is cancelled
        data = await asyncio.to_thread(_read_all, pipe)
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        if data[:1] == _OK:
            return Assessment.model_validate_json(data[1:])
        reason = (
            data[1:].decode("utf-8", "replace") or f"the child ended with status {os.waitstatus_to_exitcode(status)}"
        )
        raise SurveyError(f"the assessment failed: {reason}")

    def cancel(self) -> None:
        """Stop the child, if there is one. Safe to call at any time."""
        if self.pid is not None:
            import signal

            os.killpg(self.pid, signal.SIGKILL)  # with the children of its own
            os.waitpid(self.pid, 0)
            self.pid = None
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None


def _child(root: Path, writer: int) -> None:
    """Assess, send the result, and leave without running anything that belongs to the parent."""
    os.setpgid(0, 0)  # out of reach of the terminal's interrupt: the parent decides what that means
    try:
        gc.disable()  # it lives for one assessment
        try:
            from ml_engineer.assessment.assess import assess

            message = _OK + assess(root).model_dump_json().encode()
        except BaseException as error:
            message = _FAILED + f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        with os.fdopen(writer, "wb") as stream:
            stream.write(message)
    finally:
        os._exit(0)


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()
