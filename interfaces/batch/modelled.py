"""The review of one repository with a model, as a part of a batch.

It is the workflow of `ml-engineer review`, in a run of its own below the batch's folder: where it was cut off, the next
attempt goes on. Each call of the model is admitted by the governor. Nobody else is asked: briefs for peers are queued.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_engineer.agent.budget import Caps
from ml_engineer.agent.client import ConfigError, open_client
from ml_engineer.agent.listener import logged
from ml_engineer.agent.runs import Run
from ml_engineer.agent.steps import open_review
from ml_engineer.agent.workflow import Context, review
from ml_engineer.assessment.record import Assessment
from ml_engineer.interfaces.batch.asking import governed
from ml_engineer.interfaces.model import ModelChoice
from ml_engineer.interfaces.options import Refusal
from ml_engineer.report.atomic import write_atomic
from ml_engineer.report.schema import Report


@dataclass(frozen=True)
class Asking:
    """Which model, where its governor listens, the folder of the run, and whether turns go by message batches."""

    model: str
    governor: str
    folder: str
    batched: bool

    def record(self) -> dict[str, Any]:
        return dict(vars(self))


def review_with_model(root: Path, assessment: Assessment, asking: Asking, run_id: str, moment: str) -> Report:
    """The sealed report. Refusal where the configuration keeps the model from being asked."""
    return asyncio.run(_review(root, assessment, asking, run_id, moment))


async def _review(root: Path, assessment: Assessment, asking: Asking, run_id: str, moment: str) -> Report:
    settings = ModelChoice(model=asking.model).settings()
    if settings is None:
        raise Refusal(
            f"the batch asks {asking.model}, and {os.uname().nodename} has no key for a model in its environment"
        )
    try:
        plain = open_client(settings)
    except ConfigError as error:
        raise Refusal(str(error)) from error
    run = _run(Path(asking.folder), {"id": run_id, "started": moment, "mode": "review", "ask_peers": False})

    async def survey() -> Assessment:
        return assessment

    context = Context(run=run, root=root, survey=survey)
    try:
        owner = Path(asking.folder).name if asking.batched else None
        async with governed(plain, asking.governor, owner) as client:
            log = logged(run.event)

            def hear(kind: str, /, **data: Any) -> None:
                client.line.notify(kind, **data)
                log(kind, **data)

            assert run.folder is not None, "a run of a batch has a folder"
            async with open_review(client, run, root, run.folder, caps=Caps(), notify=hear) as context.agent:
                return await review(context)
    finally:
        run.close()
        await plain.close()


def _run(folder: Path, meta: dict[str, Any]) -> Run:
    """The run that an earlier attempt has begun on the same content, or a new one. The batch's lock is its lock."""
    path = folder / "run.json"
    if path.is_file() and json.loads(path.read_bytes()).get("id") != meta["id"]:
        import shutil

        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(meta).encode())
    return Run(str(meta["id"]), folder, meta)
