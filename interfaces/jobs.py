"""A review as a job: the same for the command line, the chat, the servers and a batch.

    meta = review_meta(root, offline=True)                what a run keeps of what was asked
    report = await review_job(meta, listen=progress)      in this process; raises Refusal with what to do next

`listen` hears every event of the run, and one more of kind `in_memory` where the state directory cannot be written.
A job that is cancelled leaves its run as interrupted: it can be resumed. `interfaces.pool` runs jobs in children.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_engineer.agent.runs import Event, Run, records_folder
from ml_engineer.agent.survey import Survey, SurveyError
from ml_engineer.interfaces.model import ModelChoice, asks_peers, settings_refused
from ml_engineer.interfaces.options import ALL_STEPS, Refusal

if TYPE_CHECKING:
    from ml_engineer.agent.client import Settings
    from ml_engineer.agent.workflow import Context
    from ml_engineer.report.schema import Report

Listen = Callable[[Event], None]


def unheard(event: Event) -> None:
    """For those who want to hear nothing."""


def review_meta(
    root: Path,
    *,
    offline: bool,
    model: str | None = None,
    max_cost: str | None = None,
    max_turns: int | None = None,
    steps: Iterable[int] = ALL_STEPS,
    baseline: Path | None = None,
    known: Iterable[str] = (),
) -> dict[str, Any]:
    """What a run keeps of what was asked. Without `offline` the model is the one that the configuration names, if any;
    Refusal where that is wrong. `known` are the fingerprints of the findings of `baseline`."""
    settings = ModelChoice(offline, model, max_cost, max_turns).settings()
    choice = ModelChoice(settings is None, settings.model if settings else None, max_cost, max_turns)
    return {
        "mode": "review",
        "target": str(root),
        "steps": sorted(steps),
        "baseline": str(baseline) if baseline else None,
        "known": sorted(known),
        "ask_peers": not offline,
        **choice.meta(),
    }


async def review_job(
    meta: dict[str, Any], *, resume: Run | None = None, survey: Survey | None = None, listen: Listen = unheard
) -> Report:
    """Run the workflow as `meta` says, on disk where that is possible, else in memory.

    `survey` is one that was started for it already. Refusal says what keeps the job from being done.
    """
    try:
        return await _on_disk(meta, resume, survey, listen)
    except SurveyError as error:
        raise Refusal(f"{error}; please report this as a fault of ml-engineer") from error
    except (OSError, sqlite3.Error) as error:
        if not _is_state_trouble(error):
            raise
        listen({"type": "in_memory", "reason": str(error)})
        if survey is not None:
            survey.cancel()
        run = Run.in_memory(meta)
        run.listeners.append(listen)
        return await _work(run, Survey.start(Path(meta["target"])))
    finally:
        if survey is not None:
            survey.cancel()


async def _on_disk(meta: dict[str, Any], resume: Run | None, survey: Survey | None, listen: Listen) -> Report:
    run = resume or Run.create(meta)
    run.listeners.append(listen)
    try:
        return await _work(run, survey or Survey(Path(meta["target"])))
    except (asyncio.CancelledError, KeyboardInterrupt):  # the second Ctrl-C does not wait for the loop
        run.event("interrupted", run=run.id)
        raise
    finally:
        run.close()


async def _work(run: Run, survey: Survey) -> Report:
    from ml_engineer.agent.budget import Budget
    from ml_engineer.agent.handoffs import open_peers
    from ml_engineer.agent.workflow import Context, review

    context = Context(
        run=run,
        root=survey.root,
        survey=survey,
        steps=frozenset(run.meta["steps"]),
        known=frozenset(run.meta["known"]),
        baseline=run.meta["baseline"],
    )
    choice = ModelChoice.of(run.meta)
    settings = choice.settings()
    if settings is not None:
        gc.enable()
        return await _with_model(context, settings, choice)
    if not choice.offline:
        raise Refusal(f"run {run.id} was begun with the model {choice.model}, and now there is no key for one")
    with settings_refused(run):
        budget = Budget(choice.caps())
        context.peers = open_peers(run, context.root, context.root.name, ask=asks_peers(run), budget=budget)
    return await review(context)


async def _with_model(context: Context, settings: Settings, choice: ModelChoice) -> Report:
    from ml_engineer.agent.client import ConfigError, open_client
    from ml_engineer.agent.listener import logged
    from ml_engineer.agent.steps import open_review
    from ml_engineer.agent.workflow import review

    try:
        client = open_client(settings)
    except ConfigError as error:
        raise Refusal(str(error)) from error
    run = context.run
    try:
        with records_folder(run) as folder:
            caps, notify = choice.caps(), logged(run.event)
            async with open_review(client, run, context.root, folder, caps=caps, notify=notify) as steps:
                with settings_refused(run):
                    context.peers = steps.open_peers(context.root.name, ask=asks_peers(run))
                context.agent = steps
                return await review(context)
    finally:
        await client.close()


def _is_state_trouble(error: Exception) -> bool:
    """Whether an error comes from a state directory that is full, read-only or not ours."""
    if isinstance(error, sqlite3.Error):
        return any(word in str(error) for word in ("full", "readonly", "unable to open", "disk I/O"))
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
    )  # fmt: skip
