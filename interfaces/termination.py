"""SIGTERM, as schedulers send it: the work ends as by Ctrl-C and says how it goes on; the exit code is 143."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

TERMINATED = 128 + signal.SIGTERM


@contextlib.contextmanager
def ends_politely() -> Iterator[None]:
    """Within, who is told to end is interrupted; the SystemExit comes when the interruption has been answered.

    For the main thread. A child that is forked within would have the same handler.
    """
    told = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal told
        told = True
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):  # ignored, as a shell starts what it puts in the background
            raise KeyboardInterrupt
        on_ctrl_c(signal.SIGINT, None)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        if told:
            sys.exit(TERMINATED)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
