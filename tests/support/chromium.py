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
import json
import os
import select
import shutil
import signal
import subprocess
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
        to_read, to_write = os.pipe(), os.pipe()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            child = subprocess.Popen(
                ["sh", "-c", f'exec "$@" 3<&{to_read[0]} 4>&{to_write[1]}', "sh", browser, *_FLAGS,
                 f"--user-data-dir={home}"],
                pass_fds=(to_read[0], to_write[1]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            os.close(to_read[0])
            os.close(to_write[1])
            try:
                page = cls(to_read[1], to_write[0])
                page._attach()
                yield page
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                os.close(to_read[1])
                os.close(to_write[0])

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
