"""The engine of a Ray cluster: the same unit of work, in the same kind of child, on whatever node is free.

    async with ClusterEngine("10.0.0.5:6379", memory=…, seconds=…) as engine: …

Each order is a Ray task for one core. The task hands it to a pool of one on its node, so that limits, crashes and their
names are those of this machine; Ray itself only has to bring back what a lost node had under way. ml-engineer must be
installed on every node; a source that is a folder must be there too. Where a model is asked the node asks it, with the
key of its own environment, and the governor of the batch over TCP; its run is in a folder of the node, until it ends.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from ml_engineer.interfaces.batch.engine import WARM
from ml_engineer.interfaces.jobs import Listen, unheard
from ml_engineer.interfaces.pool import JobError, JobFault, Pool, Work

LOST = 5  # times that a task is begun again because its node or its worker was lost
CONNECT_SECONDS = 10.0
BEAT_SECONDS, MISSES = 3.0, 3  # how the end of the head node is noticed
AHEAD = 2  # tasks for each core that are with the cluster, so that it never waits for us


class ClusterError(Exception):
    """The cluster cannot be used, or is gone. The message says what to do."""


class ClusterEngine:
    """See the module. `address` is that of the head node; None finds a cluster on this machine, or starts one."""

    def __init__(self, address: str | None, *, memory: int | None, seconds: float | None, warm: str = WARM) -> None:
        self.address, self.limits = address, (memory, seconds, warm)
        self.workers = 1
        self._ray: Any = None
        self._task: Any = None
        self._silence = contextlib.ExitStack()

    async def __aenter__(self) -> Self:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what it will do by itself; else it warns
        try:
            self._ray = importlib.import_module("ray")
        except ImportError as error:
            raise ClusterError(f"--engine ray needs Ray: pip install 'ml-engineer[ray]' ({error})") from error
        await self._reach(self.address or "")
        # Ray prints to standard output what becomes of its nodes; it is in its own logs too.
        self._silence.enter_context(contextlib.redirect_stdout(io.StringIO()))
        try:
            await asyncio.to_thread(
                self._ray.init,
                address=self.address,
                include_dashboard=None if self.address else False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            self._silence.close()
            raise self._unreachable(error) from error
        self._task = self._ray.remote(num_cpus=1, max_retries=LOST)(on_node)
        self._watch = asyncio.create_task(self._until_gone(self._ray.get_runtime_context().gcs_address))
        self.workers = max(1, int(self._ray.cluster_resources().get("CPU", 1))) * AHEAD
        return self

    @property
    def here(self) -> str:
        """The address of this machine, as the nodes know it."""
        return str(self._ray.util.get_node_ip_address())

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            if self._watch.done():
                # Ray waits for what is gone, a minute and then ends this process, whose result would be lost.
                atexit.unregister(self._ray.shutdown)
                atexit.register(_leave)
            else:
                self._watch.cancel()
                await asyncio.to_thread(self._ray.shutdown)
        finally:
            self._silence.close()

    async def _until_gone(self, address: str) -> None:
        """Come back when the head node does not answer any more."""
        misses = 0
        while misses < MISSES:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._reach(address)
            except ClusterError:
                misses += 1
            else:
                misses = 0

    async def _reach(self, address: str) -> None:
        """Find out in seconds what Ray itself finds out in minutes: that nobody is there."""
        host, colon, port = address.removeprefix("ray://").rpartition(":")
        if not colon or not port.isdecimal():
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(host, int(port))
        except (OSError, OverflowError) as error:
            raise self._unreachable(error) from error
        writer.close()

    def _unreachable(self, error: Exception) -> ClusterError:
        place = self.address or "this machine"
        return ClusterError(f"the cluster at {place} cannot be reached ({error}); check --address")

    async def run(self, work: Work, given: dict[str, Any], listen: Listen = unheard) -> dict[str, Any]:
        """As `Pool.run`; nothing is heard on the way. Raises ClusterError where the cluster is gone."""
        task = self._task.remote(work, given, *self.limits)
        try:
            result = await self._result(task)
        except asyncio.CancelledError:
            self._ray.cancel(task, force=True)
            raise
        except self._ray.exceptions.RayTaskError as error:
            raise JobError(JobFault.CRASHED, f"on its node: {error.cause}") from error
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.NodeDiedError) as error:
            raise JobError(JobFault.CRASHED, f"its node was lost {LOST + 1} times") from error
        except self._ray.exceptions.OutOfMemoryError as error:
            raise JobError(JobFault.MEMORY, "its node had no more memory") from error
        except self._ray.exceptions.RayError as error:
            raise ClusterError(f"the cluster is gone ({error}); the same command goes on") from error
        if "fault" in result:
            raise JobError(JobFault(result["fault"]), result["message"])
        done: dict[str, Any] = result["done"]
        return done

    async def _result(self, task: Any) -> dict[str, Any]:
        """What a task gives, unless the cluster is gone before."""
        future = asyncio.wrap_future(task.future())
        await asyncio.wait({future, self._watch}, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise ClusterError("the cluster is gone; the same command goes on, with another or with --engine local")
        result: dict[str, Any] = future.result()
        return result


def _leave() -> None:
    """End the process with the exit code that it would have had, without waiting for Ray's threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2)


def on_node(work: Work, given: dict[str, Any], memory: int | None, seconds: float | None, warm: str) -> dict[str, Any]:
    """The Ray task: the work in a child of this node, and what became of it."""
    # A child imports its parent's main module, which is Ray's own here: half a second for nothing.
    sys.modules["__main__"].__file__ = None

    async def run(order: dict[str, Any]) -> dict[str, Any]:
        async with Pool(1, memory=memory, seconds=seconds, warm=warm) as pool:
            return await pool.run(work, order)

    with tempfile.TemporaryDirectory(prefix="mle-", ignore_cleanup_errors=True) as folder:
        try:
            return {"done": asyncio.run(run(_placed(given, Path(folder))))}
        except JobError as error:
            return {"fault": error.kind.value, "message": str(error)}


def _placed(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The order with the run of a model below `folder`: that of the batch is on another machine."""
    asking = given.get("asking")
    if asking is None:
        return given
    return given | {"asking": asking | {"folder": str(folder / Path(asking["folder"]).name)}}
