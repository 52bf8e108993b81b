"""The console script: how a run of the program begins and ends. The commands are in `interfaces.cli`.

Nothing is imported here that Python has not loaded by itself: who presses Ctrl-C at once is to see no traceback.
"""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import sys

TYPE_CHECKING = False  # the module `typing` would be the first import that takes time
if TYPE_CHECKING:
    from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Entry point of the console script. No traceback reaches the user."""
    try:
        try:
            _run()
        except SystemExit as end:
            if not isinstance(end.code, str):
                _leave(int(end.code or 0))
            raise
    except KeyboardInterrupt:  # once more, while the first was answered
        os._exit(INTERRUPTED)


def _leave(status: int) -> None:
    """End the process at once: Python would take apart all that it has loaded, for a thirtieth of a review.

    Comes back, and leaves the end to Python, where a thread is to be waited for or what was written was not received.
    """
    import threading

    gc.freeze()  # looking for garbage among all classes would take longer still
    if threading.active_count() > 1:
        return
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # ValueError: it was closed
        return
    os._exit(status)


def _run() -> NoReturn:
    """Run the command. How it ended is the SystemExit."""
    if sys.stdout is None:  # closed by the caller, who does not want to see the result
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, it stays open until the process ends
    try:
        from ml_engineer.interfaces.cli import cli

        sys.exit(cli.main(standalone_mode=False))
    except KeyboardInterrupt:
        _say("Interrupted.\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away; there is nobody left to tell
        sys.exit(141)
    except Exception as error:
        sys.exit(_told(error))


def _told(error: Exception) -> int:
    """Say what went wrong; the exit code."""
    import click

    if isinstance(error, click.ClickException):
        shown = io.StringIO()
        error.show(shown)
        _say(shown.getvalue())
        return error.exit_code
    if isinstance(error, click.Abort):
        _say("Interrupted.\n")
        return INTERRUPTED
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the end of the process would try to write the rest again
        named = f" ({error.filename})" if error.filename else ""
        _say(f"Error: {error.strerror}{named}; make room, then try again\n")
    else:
        _say(f"ml-engineer failed: {type(error).__name__}: {error}\n{keep_traceback(error)}\n")
    return 2


def _say(message: str) -> None:
    """The message on stderr, in which a name from the target cannot drive the terminal."""
    from ml_engineer.report.visible import visible

    if sys.stderr is not None:
        sys.stderr.write(visible(message))


def keep_traceback(error: BaseException) -> str:
    """Put the traceback where a maintainer can ask for it, and say where that is."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        descriptor, path = tempfile.mkstemp(prefix="ml-engineer-", suffix=".log", text=True)
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        return f"This is a fault of ours. The details could not be kept ({error.strerror})."
    return f"This is a fault of ours; please report it with {path}"
