"""Progress on stderr: silent for the first second and where nobody watches, one live line at a terminal."""

from __future__ import annotations

import sys
import threading
from typing import Any

DELAY_SECONDS = 1.0


class Progress:
    """Shows which part of the workflow is at work, once that takes longer than a second."""

    def __init__(self) -> None:
        self._text = "reading the repository"
        self._lock = threading.Lock()
        self._status: Any = None
        self._timer: threading.Timer | None = None

    def event(self, event: dict[str, Any]) -> None:
        """Listener for the run's events."""
        if event["type"] == "started" and sys.stderr.isatty() and self._timer is None:
            self._timer = threading.Timer(DELAY_SECONDS, self._show)
            self._timer.daemon = True
            self._timer.start()
        elif event["type"] == "sandbox":
            self.say(event["banner"])
        elif event["type"] == "node":
            self._text = str(event["node"]).replace("_", " ")
            with self._lock:
                if self._status is not None:
                    self._status.update(self._text)
        elif event["type"] == "interrupted":
            self.say(f"This run can be continued: ml-engineer runs resume {event['run']}")
        elif event["type"] == "in_memory":
            self.say(
                f"The state directory cannot be written ({event['reason']}): "
                "this run is kept in memory, it can't be resumed."
            )

    def _show(self) -> None:
        from rich.console import Console

        with self._lock:
            if self._timer is not None:
                self._status = Console(stderr=True).status(self._text)
                self._status.start()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.stop()
        print(text, file=sys.stderr)  # noqa: T201 - stderr is where messages belong

    def stop(self) -> None:
        """Take the live line away. Safe to call twice."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._status is not None:
                self._status.stop()
                self._status = None
