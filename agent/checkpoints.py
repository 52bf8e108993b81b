"""LangGraph's checkpoints in sqlite, written where the graph runs.

    with open_checkpoints(run.folder / "graph.db", "OFF") as saver:
        app = graph.compile(checkpointer=saver)

LangGraph's own saver for graphs that await sends each statement to a thread and waits for it: that takes many times
what the statement does. Two processes never write to the checkpoints of one run, so that nothing is ever waited for.
LangGraph must have been imported (agent/lean.py) before this module is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langgraph.checkpoint.sqlite import SqliteSaver

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple


class Checkpoints(SqliteSaver):
    """The saver. What a graph that awaits asks of it is done at once."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for one in self.list(config, filter=filter, before=before, limit=limit):
            yield one

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)


@contextmanager
def open_checkpoints(path: Path, synchronous: Literal["OFF", "NORMAL", "FULL"]) -> Iterator[Checkpoints]:
    """The checkpoints in this file. `synchronous` says what of them a loss of power may take: everything since the
    last flush of the system's own, the last steps, or nothing. A process that is killed loses nothing in any case."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        yield Checkpoints(connection)
