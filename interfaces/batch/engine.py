"""The seam between a batch and who does its work: something that carries an order to a child and its product back.

`interfaces.pool.Pool` is the engine of this machine; `cluster.py` has that of a cluster. Both run the same unit of work
in a process of its own with the same limits, and say in the same words what became of it.
"""

from __future__ import annotations

from typing import Any, Protocol

from ml_engineer.interfaces.jobs import Listen, unheard
from ml_engineer.interfaces.pool import Work

WARM = "ml_engineer.interfaces.batch.warm"
WARM_MODEL = "ml_engineer.interfaces.batch.warm_model"


class Engine(Protocol):
    """`workers` is how many jobs are worth having under way at once."""

    @property
    def workers(self) -> int: ...

    async def run(self, work: Work, given: dict[str, Any], listen: Listen = unheard) -> dict[str, Any]:
        """What `work(given, send)` gives. Raises `pool.JobError`; a cancelled job is ended."""
        ...
