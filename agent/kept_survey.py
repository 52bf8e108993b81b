"""The survey of a repository, made once for a run and kept in it; it begins in the background.

kept = KeptSurvey(run, Survey.start(root))
kept.start(); await kept(); await kept.within(5.0)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_engineer.agent.runs import Run
from ml_engineer.agent.survey import Survey

if TYPE_CHECKING:
    from ml_engineer.assessment.record import Assessment

NAME = "survey.json"


@dataclass
class KeptSurvey:
    """See the module. `close` stops what is under way."""

    run: Run
    survey: Survey
    _task: asyncio.Task[Assessment] | None = field(default=None, init=False)

    def start(self) -> asyncio.Task[Assessment]:
        """Begin it, if it was not begun yet."""
        if self._task is None:
            self._task = asyncio.create_task(self._make())
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._task

    async def _make(self) -> Assessment:
        from ml_engineer.assessment.record import Assessment

        kept = self.run.read(NAME)
        if kept is not None:
            return Assessment.model_validate_json(kept)
        found = await self.survey()
        self.run.write(NAME, found.model_dump_json().encode())
        return found

    async def __call__(self) -> Assessment:
        """Raises SurveyError."""
        return await asyncio.shield(self.start())

    async def within(self, seconds: float) -> Assessment | None:
        """The assessment, if it is there within this time. Raises SurveyError."""
        task = self.start()
        await asyncio.wait({task}, timeout=seconds)
        return task.result() if task.done() else None

    @property
    def made(self) -> Assessment | None:
        """The assessment, if it is there already."""
        task = self._task
        done = task is not None and task.done() and not task.cancelled() and task.exception() is None
        return task.result() if task is not None and done else None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.survey.cancel()
