"""`ml-engineer review [PATH]`: the workflow from a folder to a sealed report, with a model or without one."""

from __future__ import annotations

import asyncio
import errno
import gc
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml_engineer.agent.runs import Run
from ml_engineer.agent.survey import Survey, SurveyError
from ml_engineer.assessment.target import TargetError, open_target
from ml_engineer.interfaces.model import ModelChoice, model_options, records_folder
from ml_engineer.interfaces.options import ALL_STEPS, FORMATS, SEVERITIES, Format, Refusal, StepList
from ml_engineer.interfaces.progress import Progress
from ml_engineer.interfaces.render import emit

if TYPE_CHECKING:
    from ml_engineer.agent.budget import Budget
    from ml_engineer.agent.client import Settings
    from ml_engineer.agent.handoffs import Peers
    from ml_engineer.agent.workflow import Context
    from ml_engineer.report.schema import Report


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--offline", is_flag=True, help="Use no model and no network, also where a key is configured.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write there, not to stdout.")
@click.option("--steps", type=StepList(), default=ALL_STEPS, help="Only these steps, for example 1,5.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 where a finding is at or above this severity.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A report.json: its findings are known, only new ones are shown.",
)
@model_options
def review(
    path: Path,
    offline: bool,
    model: str | None,
    max_cost: str | None,
    max_turns: int | None,
    kind: Format,
    output: Path | None,
    steps: frozenset[int],
    fail_on: str | None,
    baseline: Path | None,
) -> None:
    """Review the repository in PATH (default: this folder).

    The result goes to stdout and nothing else does. Nothing of the repository is imported, executed or changed.
    Without a key for a model, or with --offline, the report is the engine's alone.
    """
    try:
        root = open_target(path)
    except TargetError as error:
        raise Refusal(str(error)) from error
    known = _fingerprints(baseline)
    _writable(output)
    choice = ModelChoice(offline, model, max_cost, max_turns)
    settings = choice.settings()
    if settings is None and not offline and sys.stderr.isatty():
        _hint("No key and no server for a model: the report is the engine's alone. `ml-engineer doctor` says more.")
    meta = {
        "mode": "review",
        "target": str(root),
        "steps": sorted(steps),
        "baseline": str(baseline) if baseline else None,
        "known": sorted(known),
        "ask_peers": not offline,
        **ModelChoice(settings is None, settings.model if settings else None, max_cost, max_turns).meta(),
    }
    report = conduct(meta, resume=None)
    finish(report, kind, output, fail_on)


def conduct(meta: dict[str, Any], resume: Run | None) -> Report:
    """Run the workflow as `meta` says, on disk where that is possible, else in memory."""
    survey = Survey.start(Path(meta["target"])) if resume is None or resume.read("survey.json") is None else None
    progress = Progress()
    gc.disable()  # imports make thousands of classes and no garbage; a run with a model collects again
    try:
        return _on_disk(meta, resume, survey, progress)
    except SurveyError as error:
        raise Refusal(f"{error}; please report this as a fault of ml-engineer") from error
    except (OSError, sqlite3.Error) as error:
        if not _is_state_trouble(error):
            raise
        progress.say(
            f"The state directory cannot be written ({error}): this run is kept in memory, it can't be resumed."
        )
        if survey is not None:
            survey.cancel()
        return _run(Run.in_memory(meta), Survey.start(Path(meta["target"])), progress)
    finally:
        gc.enable()
        progress.stop()
        if survey is not None:
            survey.cancel()


def _on_disk(meta: dict[str, Any], resume: Run | None, survey: Survey | None, progress: Progress) -> Report:
    run = resume or Run.create(meta)
    try:
        return _run(run, survey or Survey(Path(meta["target"])), progress)
    except KeyboardInterrupt:
        run.event("interrupted")
        progress.say(f"This run can be continued: ml-engineer runs resume {run.id}")
        raise
    finally:
        run.close()


def _run(run: Run, survey: Survey, progress: Progress) -> Report:
    from ml_engineer.agent.budget import Budget
    from ml_engineer.agent.workflow import Context, review

    run.listeners.append(progress.event)
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
    if settings is None:
        if not choice.offline:
            raise Refusal(f"run {run.id} was begun with the model {choice.model}, and now there is no key for one")
        context.peers = _peers(run, context.root, Budget(choice.caps()))
        return asyncio.run(review(context))
    gc.enable()
    return asyncio.run(_with_model(context, settings, choice))


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
                context.agent, context.peers = steps, _peers(run, context.root, steps.budget)
                return await review(context)
    finally:
        await client.close()


def _peers(run: Run, root: Path, budget: Budget) -> Peers:
    """Who can be asked, within the budget of the run. With --offline nobody is: their briefs are queued."""
    from ml_engineer.agent.handoffs import open_peers
    from ml_engineer.delegation.settings import DelegationError

    try:
        return open_peers(run, root, root.name, ask=run.meta.get("ask_peers", False), budget=budget)
    except DelegationError as error:
        raise Refusal(f"{error}; then go on with: ml-engineer runs resume {run.id}") from error


def _is_state_trouble(error: Exception) -> bool:
    """Whether an error comes from a state directory that is full, read-only or not ours."""
    if isinstance(error, sqlite3.Error):
        return any(word in str(error) for word in ("full", "readonly", "unable to open", "disk I/O"))
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
    )  # fmt: skip


def finish(report: Report, kind: Format, output: Path | None, fail_on: str | None) -> None:
    """Give the result and leave with the exit code that it asks for."""
    try:
        emit(report, kind, output)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Refusal(f"the report cannot be written: {error}; it is kept, see `ml-engineer runs report`") from error
    if report.coverage.state == "partial":
        _hint(f"Coverage is partial: {report.coverage.notes[0] if report.coverage.notes else 'see the report'}")
        sys.exit(2)
    if fail_on is not None and any(f.severity.rank <= SEVERITIES.index(fail_on) for f in report.findings):
        sys.exit(1)


def _hint(text: str) -> None:
    click.echo(text, err=True)


def _fingerprints(baseline: Path | None) -> frozenset[str]:
    if baseline is None:
        return frozenset()
    from ml_engineer.report.seal import ReportError, load

    try:
        return frozenset(finding.fingerprint for finding in load(baseline).findings)
    except ReportError as error:
        raise Refusal(f"--baseline: {error}") from error


def _writable(output: Path | None) -> None:
    """Find out before the work, not after it, that the result has nowhere to go."""
    if output is not None and not output.absolute().parent.is_dir():
        raise Refusal(f"--output: there is no folder {output.absolute().parent}; make it first")
