"""The tasks that the A2A server remembers, in memory, so many and no more.

A report is some hundred kilobytes, and a server runs for weeks. What is forgotten here is still kept as a run.
"""

from __future__ import annotations

from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import Task, TaskState

_ENDED = frozenset(
    {
        TaskState.TASK_STATE_COMPLETED,
        TaskState.TASK_STATE_CANCELED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_REJECTED,
    }
)


class BoundedTaskStore(InMemoryTaskStore):
    """Forgets the task that ended first when more than `limit` have ended."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._over: dict[str, ServerCallContext] = {}  # in the order in which they ended

    async def save(self, task: Task, context: ServerCallContext) -> None:
        await super().save(task, context)
        if task.status.state in _ENDED:
            self._over.setdefault(task.id, context)
        while len(self._over) > self._limit:
            oldest = next(iter(self._over))
            await self.delete(oldest, self._over.pop(oldest))
