"""`command`: any program. The peer's prompt and the brief on stdin, the reply on stdout, exit code 0.

The program runs in the target's folder, in a process group of its own, which is killed as soon as the program has
ended, has said too much, or is out of time: nothing that it started stays behind. On Linux it also dies with us.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass

from ml_engineer.delegation.limits import CHAIN_VARIABLE
from ml_engineer.delegation.reply import MAX_REPLY
from ml_engineer.delegation.transports.base import Ask, TransportError, Written

MAX_ERRORS = 4_000  # bytes kept of stderr, from its end
GRACE = 2.0  # seconds for the pipes to end after the program has: a child left behind may hold them open
POLL = 0.02  # seconds between looks whether the program has ended
_CHUNK = 65_536
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Command:
    argv: tuple[str, ...]
    name: str = "command"

    async def ask(self, ask: Ask) -> Written:
        try:
            process = await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=ask.root,
                env={**os.environ, CHAIN_VARIABLE: ",".join(ask.chain), "ML_ENGINEER_HANDOFF": ask.handoff.id},
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        except OSError as error:
            raise TransportError(f"{self.argv[0]} cannot be started: {error.strerror or error}", begun=False) from error
        try:
            return await _converse(process, f"{ask.peer.prompt}\n\n---\n\n{ask.brief}".encode("utf-8", "replace"))
        finally:
            _kill_group(process)
            # Pipes that somebody in another session still holds would stay open with us; asyncio has no public way.
            process._transport.close()  # type: ignore[attr-defined]  # private in typeshed, too
            await asyncio.shield(process.wait())


async def _converse(process: Process, message: bytes) -> Written:
    """Write, read both streams and wait, all at once, so that no full pipe stops the other side."""
    assert process.stdin and process.stdout and process.stderr, "all three are pipes"
    errors = bytearray()
    tasks = [
        asyncio.ensure_future(_write(process.stdin, message)),
        asyncio.ensure_future(keep_end(process.stderr, errors)),
    ]
    reading = asyncio.ensure_future(_read(process.stdout))
    ending = asyncio.ensure_future(_ended(process))
    try:
        await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            await asyncio.wait({reading}, timeout=GRACE)
            if not reading.done():
                raise TransportError("the program ended, and something that it started holds its output open")
        reply = reading.result()  # raises when there was too much
        code = await ending
        await asyncio.wait({tasks[1]}, timeout=GRACE)
    finally:
        for task in (*tasks, reading, ending):
            task.cancel()
        await asyncio.gather(*tasks, reading, ending, return_exceptions=True)
    if code != 0:
        said = errors.decode("utf-8", "replace").strip()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise TransportError(f"the program {how}" + (f"; it said: {said[-500:]}" if said else ""))
    return Written(reply.decode("utf-8", "replace"))


async def _ended(process: Process) -> int:
    """The exit code as soon as there is one: `Process.wait` waits for the pipes too, which others may hold open."""
    while process.returncode is None:
        await asyncio.sleep(POLL)
    return process.returncode


async def _write(stream: asyncio.StreamWriter, message: bytes) -> None:
    """A program may answer without reading its input to the end."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(message)
        await stream.drain()
    stream.close()


async def _read(stream: asyncio.StreamReader) -> bytes:
    reply = bytearray()
    while chunk := await stream.read(_CHUNK):
        reply += chunk
        if len(reply) > MAX_REPLY:
            raise TransportError(f"the reply is larger than {MAX_REPLY:,} bytes")
    return bytes(reply)


async def keep_end(stream: asyncio.StreamReader, kept: bytearray) -> None:
    """Read to the end, and keep the last MAX_ERRORS bytes."""
    while chunk := await stream.read(_CHUNK):
        kept += chunk
        del kept[:-MAX_ERRORS]


def _kill_group(process: Process) -> None:
    """The program and all that it started and did not put into another session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _die_with_parent() -> Callable[[], None] | None:
    """What runs in the child before the program: a resumed run asks again, so the one asked before must be gone."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return prepare
