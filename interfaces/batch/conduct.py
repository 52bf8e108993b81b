"""A batch at work: every repository that is waiting goes to the engine, and what comes back goes into the folder.

    await conduct(index, outputs, engine, plan, watch)

A repository that fails is tried again, after the others and after a pause that doubles, unless trying again is of no
use. The index hears of everything before the next thing happens, so that a kill at any moment costs what was under way.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ml_engineer.interfaces.batch.clone import Cache
from ml_engineer.interfaces.batch.engine import Engine
from ml_engineer.interfaces.batch.governor import Governor
from ml_engineer.interfaces.batch.index import Index, Job
from ml_engineer.interfaces.batch.outputs import Outputs
from ml_engineer.interfaces.batch.summary import Fault, Row
from ml_engineer.interfaces.batch.unit import Order, review_unit
from ml_engineer.interfaces.options import Format
from ml_engineer.interfaces.pool import JobError, JobFault, Work

Attempt = Callable[[Job], Awaitable[tuple[float, Job | None]]]  # pause and job of what is to be tried again


@dataclass(frozen=True)
class Plan:
    """How the repositories are reviewed. `pause` in seconds, before the second attempt."""

    cache: Cache
    formats: tuple[Format, ...]
    attempts: int = 2
    pause: float = 2.0
    work: Work = review_unit
    model: str | None = None
    batched: bool = False  # its turns go by message batches
    governor: Governor | None = None  # of the calls to the model
    address: str = ""  # where it listens


class Watch(Protocol):
    """Told how the work goes on."""

    def began(self, job: Job) -> None: ...
    def ended(self, job: Job, outcome: str, error: str = "") -> None:
        """`outcome` is reviewed, partial, unchanged, failed or again (it will be tried once more)."""
        ...


@dataclass
class _Queue:
    """Jobs that are ready, and those that wait until a moment has come."""

    ready: deque[Job]
    later: list[tuple[float, Job]] = field(default_factory=list)
    under_way: int = 0

    def take(self) -> Job | None:
        for entry in sorted(self.later, key=lambda entry: entry[0]):
            if entry[0] <= time.monotonic():
                self.later.remove(entry)
                self.ready.append(entry[1])
        return self.ready.popleft() if self.ready else None

    @property
    def is_over(self) -> bool:
        return not (self.ready or self.later or self.under_way)


async def conduct(index: Index, outputs: Outputs, engine: Engine, plan: Plan, watch: Watch) -> None:
    """Work until nothing is waiting. A job that is cancelled is put back. OSError: the folder cannot be written."""
    queue = _Queue(deque(index.waiting()))

    async def attempt(job: Job) -> tuple[float, Job | None]:
        return await _attempt(index, outputs, engine, plan, watch, job)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(engine.workers, len(queue.ready))):
                group.create_task(_worker(queue, attempt, plan.governor))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None  # one is enough: the others were stopped because of it


async def _worker(
    queue: _Queue, attempt: Callable[[Job], Awaitable[tuple[float, Job | None]]], governor: Governor | None
) -> None:
    while not queue.is_over:
        if governor is not None and governor.exhausted:
            return  # what has not begun waits for a larger budget
        job = queue.take()
        if job is None:
            await asyncio.sleep(0.05)  # what is under way elsewhere may come back
            continue
        queue.under_way += 1
        try:
            pause, next_job = await attempt(job)
            if next_job is not None:
                queue.later.append((time.monotonic() + pause, next_job))
        finally:
            queue.under_way -= 1


async def _attempt(
    index: Index, outputs: Outputs, engine: Engine, plan: Plan, watch: Watch, job: Job
) -> tuple[float, Job | None]:
    """One attempt at one repository: what is to be tried again, and after how many seconds."""
    order = Order(job.source, plan.cache, plan.formats, job.known, _asking(outputs, plan, job))
    index.begin(job.folder)
    watch.began(job)
    started = time.monotonic()
    try:
        product = await engine.run(plan.work, order.record())
    except JobError as error:
        kind, message, final = error.kind.value, str(error), error.kind is JobFault.REFUSED
    except BaseException:
        index.put_back(job.folder)
        raise
    else:
        seconds = time.monotonic() - started
        if "again" not in product:
            watch.ended(job, _keep(index, outputs, job, product, seconds))
            return 0.0, None
        kind, message, final = "fetch", product["again"], False
    final = final or job.attempts + 1 >= plan.attempts
    index.failed(job.folder, kind, message, final=final, seconds=time.monotonic() - started)
    watch.ended(job, "failed" if final else "again", message)
    if final:
        return 0.0, None
    return plan.pause * 2**job.attempts, Job(job.source, job.attempts + 1, job.known)


def _asking(outputs: Outputs, plan: Plan, job: Job) -> dict[str, Any] | None:
    if plan.model is None:
        return None
    folder = str(outputs.run_folder(job.folder).absolute())
    return {"model": plan.model, "governor": plan.address, "folder": folder, "batched": plan.batched}


def _keep(index: Index, outputs: Outputs, job: Job, product: dict[str, Any], seconds: float) -> str:
    """Put a product into the folder: staged, then done in the index, then published."""
    if "unchanged" in product:
        index.unchanged(job.folder)
        return "unchanged"
    size = outputs.stage(job.folder, product["files"])
    row = Row.model_validate(product["row"])
    faults = [Fault.model_validate(fault) for fault in product["faults"]]
    index.done(
        job.folder,
        row,
        faults,
        fingerprint=product["fingerprint"],
        edition=product["edition"],
        size=size,
        seconds=seconds,
    )
    outputs.publish(job.folder)
    shutil.rmtree(outputs.run_folder(job.folder), ignore_errors=True)
    return row.state
