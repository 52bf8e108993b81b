"""A headless chromium, driven over a pipe by its DevTools protocol. Nothing but the browser itself is needed.

    with Chromium.start() as browser:
        browser.open(page.as_uri())
        browser.run("document.title")        what a JavaScript expression gives, as JSON
        browser.resize(390, 844)

`missing()` says why there is none here, for a test to be skipped with.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
DEADLINE = 120.0  # seconds, for a busy machine


def found() -> str | None:
    """The browser of this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def missing() -> str:
    """Why a test with a browser cannot run here; empty where it can."""
    return "" if found() else f"no browser here: none of {', '.join(NAMES)} is installed"


def _pipes(closing: contextlib.ExitStack) -> tuple[tuple[int, int], tuple[int, int]]:
    """Our ends (to send, to receive), closed with `closing`, and the browser's (3 and 4 there), which may not be 3 or 4
    here."""
    read, send = os.pipe()
    receive, write = os.pipe()
    closing.callback(os.close, send)
    closing.callback(os.close, receive)
    theirs = []
    for end in (read, write):
        theirs.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return (send, receive), (theirs[0], theirs[1])


class Chromium:
    """One page of a browser. AssertionError where the page cannot be reached or its script fails."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.console: list[str] = []

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[Chromium]:
        """A browser with one empty page, ended with everything that it started."""
        browser = found()
        assert browser is not None, missing()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, contextlib.ExitStack() as closing:
            ours, theirs = _pipes(closing)
            flags = [browser, *_FLAGS, f"--user-data-dir={home}"]
            actions = [
                *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)),
                *((os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(theirs, 3)),
            ]
            child = os.posix_spawn(browser, flags, os.environ, file_actions=actions, setpgroup=0)
            try:
                for end in theirs:
                    os.close(end)
                page = cls(*ours)
                page._attach()
                yield page
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)

    def _attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self._wait(lambda message: message.get("method") == "Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        given = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        result = self.call("Runtime.evaluate", **given)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def resize(self, width: int, height: int, *, dark: bool = False, media: str = "") -> None:
        """Size of the window in CSS pixels; the scheme and the medium ("print") that style sheets see."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=scheme)

    def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def save(self, path: Path) -> None:
        path.write_bytes(self.picture())

    # --- the protocol: JSON messages, each ended by a zero byte ---------------------------------------------------

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and give its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        answer = self._wait(lambda message: message.get("id") == number)
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        result: dict[str, Any] = answer["result"]
        return result

    def _wait(self, wanted: Any) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE
        while True:
            message = self._message(deadline)
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.console.append(json.dumps(message["params"]))
            if wanted(message):
                return message

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._receive], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser did not answer in time"
            chunk = os.read(self._receive, 1 << 20)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message
