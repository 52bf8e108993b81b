"""Work shared out to forked children, one pipe each, without threads.

A child that is lost (killed, out of memory) costs nothing but time: its share is worked on in this process. A child
whose parent is gone finds its pipe closed and leaves without a word.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
MAX_WORKERS = 8
_settings = {"alone": False}
_WHOLE = b"\0whole"


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


def shared_out(function: Callable[[Sequence[_Item]], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """`function` over the items, a share for each worker; the results of the shares, in no order that matters."""
    count = workers()
    if not count:
        yield function(items)
        return
    shares = [items[start::count] for start in range(count)]
    children = [_start(function, share) for share in shares]
    for share, child in zip(shares, children, strict=True):
        yield _result(function, share, *child)


def beside(
    function: Callable[[Sequence[_Item]], _Result], here: Sequence[_Item], there: Sequence[_Item]
) -> tuple[_Result, _Result]:
    """`function` over `here` in this process and, at the same time where that is safe, over `there` in a child."""
    if not workers():
        return function(here), function(there)
    child = _start(function, there)
    result = function(here)
    return result, _result(function, there, *child)


def _result(function: Callable[[Sequence[_Item]], _Result], share: Sequence[_Item], pid: int, pipe: int) -> _Result:
    """What the child has made of its share, or this process where the child was lost."""
    with os.fdopen(pipe, "rb") as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    whole = data.endswith(_WHOLE)  # our own child wrote it: a pickle from nowhere else
    result: _Result = pickle.loads(data.removesuffix(_WHOLE)) if whole else function(share)
    return result


def _start(function: Callable[[Sequence[_Item]], _Result], share: Sequence[_Item]) -> tuple[int, int]:
    """Fork a child that works on a share. Process id, and the end of the pipe to read its result from."""
    reader, writer = os.pipe()
    pid = os.fork()
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
