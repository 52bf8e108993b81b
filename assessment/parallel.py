"""Work shared out to forked children, one pipe each, without threads.

A child that is lost (killed, out of memory) or cannot be started costs nothing but time: its share is worked on in this
process. A child whose parent is gone finds its pipe closed and leaves without a word.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
MAX_WORKERS = 8
_settings = {"alone": False}
_WHOLE = b"\0whole"
_NUMBER = 4  # bytes of a number in the pipe, of which one is read at once


def work_alone() -> None:
    """Start no children from this process on: for one of many workers, which keep the cores busy as it is."""
    _settings["alone"] = True


def workers() -> int:
    """How many children this process may start: one for each core, none where it works alone or a fork is not safe."""
    if _settings["alone"]:
        return 0
    if sys.platform != "linux" or threading.active_count() > 1:
        return 0  # a fork of a process with threads may hang in a lock that one of them holds
    cores = len(os.sched_getaffinity(0))
    return min(cores, MAX_WORKERS) if cores > 1 else 0


def shared_out(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """`function` of each item, in their order: every worker takes the next item when it is done with its last.

    The items are few thousands at most: their numbers wait in one pipe.
    """
    count = workers()
    if not count:
        return [function(item) for item in items]
    queue, writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        stream.write(b"".join(number.to_bytes(_NUMBER, "big") for number in range(len(items))))

    def work(_: Sequence[_Item]) -> dict[int, _Result]:
        done: dict[int, _Result] = {}
        while taken := os.read(queue, _NUMBER):
            number = int.from_bytes(taken, "big")
            done[number] = function(items[number])
        return done

    children = [_start(work, ()) for _ in range(count)]
    os.close(queue)
    found: dict[int, _Result] = {}
    for child in children:
        for part in _received(child):
            found |= part
    return [found[number] if number in found else function(item) for number, item in enumerate(items)]


def portions(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    """The items in portions of about `size`, dealt out in turn: sorted by their cost, all cost about the same."""
    count = len(items) // size + 1
    return [items[start::count] for start in range(count)]


def beside(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """`function` of each item, in their order: of the first and so on in this process and, where that is safe, of the
    last and so on in a child, until the two meet. So neighbours, which may share work, are mostly done by one."""
    if not workers():
        return [function(item) for item in items]
    left, writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        stream.write(bytes(len(items)))

    def work(ordered: Sequence[_Item]) -> list[_Result]:
        done: list[_Result] = []
        while os.read(left, 1):
            done.append(function(ordered[len(done)]))
        return done

    child = _start(work, items[::-1])
    done = work(items)
    os.close(left)
    for part in _received(child):
        done += reversed(part)
    return done + [function(item) for item in items[len(done) :]]


def _received(child: tuple[int, int] | None) -> list[Any]:
    """What the child has made of its share; nothing where there is none, or it was lost."""
    if child is None:
        return []
    pid, pipe = child
    with os.fdopen(pipe, "rb") as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    # Our own child wrote it: a pickle from nowhere else.
    return [pickle.loads(data.removesuffix(_WHOLE))] if data.endswith(_WHOLE) else []


def _start(function: Callable[[Sequence[_Item]], _Result], share: Sequence[_Item]) -> tuple[int, int] | None:
    """Fork a child that works on a share. Process id, and the end of the pipe to read its result from; None where there
    are as many processes as there may be."""
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return None
    if pid:
        os.close(writer)
        return pid, reader
    try:
        os.close(reader)
        gc.disable()
        result = pickle.dumps(function(share), pickle.HIGHEST_PROTOCOL)
        with os.fdopen(writer, "wb") as stream:
            stream.write(result + _WHOLE)
    finally:
        os._exit(0)  # an unfinished result shows by its missing end; nothing of the parent's may run here
