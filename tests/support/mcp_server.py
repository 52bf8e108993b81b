"""`ml-engineer serve mcp` in a process of its own, for the protocol's official client."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sysconfig
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitResult

from ml_engineer.interfaces.serve.common import TOKEN

SCRIPT = str(Path(sysconfig.get_path("scripts")) / "ml-engineer")
DEADLINE = 60.0  # seconds; the machine may be slow and busy


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the developer's own machine: no key, no home, no settings."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    return kept | {"ML_ENGINEER_HOME": str(home), "HOME": str(home)} | more


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`, or a failure that says what was waited for."""
    deadline = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.02)


def stdio(root: Path, home: Path, *options: str, **environment: str) -> StdioServerParameters:
    """A server that the client starts itself."""
    return StdioServerParameters(
        command=SCRIPT,
        args=["serve", "mcp", "--root", str(root), *options],
        env=clean_environment(home, **environment),
    )


@dataclass
class HttpServer:
    """A server on loopback."""

    url: str
    process: psutil.Process
    stderr: list[str]

    def jobs(self) -> list[psutil.Process]:
        """The children that do reviews: each leads a process group of its own."""
        found = []
        for child in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getpgid(child.pid) == child.pid and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
        return found


@contextlib.contextmanager
def http_server(
    root: Path, home: Path, *options: str, protocol: str = "mcp", **environment: str
) -> Iterator[HttpServer]:
    """Starts one on a free port, and stops it with everything that it started."""
    process = subprocess.Popen(
        [SCRIPT, "serve", protocol, "--http", "127.0.0.1:0", "--root", str(root), *options],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        text=True,
        env=clean_environment(home, **environment),
    )
    lines: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        said = until(lambda: [one for one in lines if one.startswith("listening on ")], "the server's address")
        yield HttpServer(said[0].split()[-1], psutil.Process(process.pid), lines)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(DEADLINE)
        process.stderr.close()


@contextlib.asynccontextmanager
async def http_client(url: str, token: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """The official client, with a token where one is given."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx2.Timeout(DEADLINE, connect=DEADLINE)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout) as http,
        Client(streamable_http_client(url, http_client=http), **options) as client,
    ):
        yield client


@dataclass
class Human:
    """Whoever sits at the client: answers each question with the next answer, and remembers what was asked."""

    answers: list[bool | str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, context: Any, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            return ElicitResult(action="decline" if answer == "decline" else "cancel")
        return ElicitResult(action="accept", content={"allow": answer})


__all__ = [
    "DEADLINE",
    "SCRIPT",
    "TOKEN",
    "HttpServer",
    "Human",
    "clean_environment",
    "http_client",
    "http_server",
    "stdio",
    "until",
]
