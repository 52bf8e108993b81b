"""Work in a thread with an event loop of its own, so that the server's loop stays free whatever the work does.

    report = await aside(lambda: carry_out(run))        cancelling it cancels the work, and waits until it has ended
    allowed = await ask_at(home, caller.ask, "Run it?") from the thread: a question put to a client of the loop `home`

The work may call git, read large files or import the SDK; only what is under the interpreter's lock is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `work` gives. It is cancelled at most once, and this returns only when it has ended."""
    home = asyncio.get_running_loop()
    begun: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = home.create_future()

    async def main() -> T:
        task = asyncio.ensure_future(work())
        home.call_soon_threadsafe(begun.set_result, (asyncio.get_running_loop(), task))
        return await task

    thread = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(main())))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        if not thread.done():
            loop, task = await begun
            with contextlib.suppress(RuntimeError):  # it has ended in this very moment, and its loop is closed
                loop.call_soon_threadsafe(task.cancel)
            await asyncio.wait([thread])
        raise


async def ask_at(
    home: asyncio.AbstractEventLoop, ask: Callable[[str], Awaitable[bool]], question: str
) -> bool:  # fmt: skip
    """The answer of somebody who is served by the loop `home`."""

    async def put() -> bool:
        return await ask(question)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(put(), home))
