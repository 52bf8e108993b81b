"""The memory of the A2A server: bounded, and never at the cost of what is at work."""

from __future__ import annotations

import asyncio

from a2a.helpers import new_raw_part
from a2a.server.context import ServerCallContext
from a2a.types import Artifact, Task, TaskState, TaskStatus

from ml_engineer.interfaces.serve.a2a_store import BoundedTaskStore


def task(name: str, state: TaskState) -> Task:
    parts = [new_raw_part(b"x" * 1000)]
    return Task(id=name, status=TaskStatus(state=state), artifacts=[Artifact(artifact_id="a", parts=parts)])


def test_the_oldest_that_is_at_rest_is_forgotten_and_what_is_at_work_is_not() -> None:
    async def session() -> list[str]:
        store, context = BoundedTaskStore(2500), ServerCallContext()
        await store.save(task("working", TaskState.TASK_STATE_WORKING), context)
        for name in ("first", "second", "third"):
            await store.save(task(name, TaskState.TASK_STATE_WORKING), context)
            await store.save(task(name, TaskState.TASK_STATE_COMPLETED), context)
        names = ("working", "first", "second", "third")
        return [name for name in names if await store.get(name, context) is not None]

    assert asyncio.run(session()) == ["working", "second", "third"]


def test_the_latest_is_kept_whatever_its_size() -> None:
    async def session() -> bool:
        store, context = BoundedTaskStore(10), ServerCallContext()
        await store.save(task("large", TaskState.TASK_STATE_COMPLETED), context)
        return await store.get("large", context) is not None

    assert asyncio.run(session())
