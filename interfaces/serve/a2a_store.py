"""The tasks that the A2A server remembers, in memory, up to a size.

A report is some hundred kilobytes, or a few megabytes, and a server runs for weeks. What is forgotten here is still
kept as a run.
"""

from __future__ import annotations

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import Task, TaskState

_AT_WORK = frozenset({TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING})


class BoundedTaskStore(InMemoryTaskStore):
    """Forgets the task that has been at rest longest when those at rest take more than `limit` bytes together."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._resting: dict[str, tuple[int, ServerCallContext]] = {}  # by id, in the order in which they came to rest

    async def save(self, task: Task, context: ServerCallContext) -> None:
        await super().save(task, context)
        self._resting.pop(task.id, None)
        if task.status.state in _AT_WORK:
            return
        self._resting[task.id] = (task.ByteSize(), context)
        while len(self._resting) > 1 and sum(size for size, _ in self._resting.values()) > self._limit:
            oldest = next(iter(self._resting))
            _, owner = self._resting.pop(oldest)
            await self.delete(oldest, owner)
