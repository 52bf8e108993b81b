"""`ml-engineer review [PATH]`: the workflow from a folder to a sealed report, with a model or without one."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml_engineer.agent.survey import Survey
from ml_engineer.assessment.target import TargetError, open_target
from ml_engineer.interfaces.model import ModelChoice, model_options
from ml_engineer.interfaces.options import ALL_STEPS, FORMATS, SEVERITIES, Format, Refusal, StepList
from ml_engineer.interfaces.progress import Progress
from ml_engineer.interfaces.render import emit
from ml_engineer.interfaces.termination import ends_politely

if TYPE_CHECKING:
    from ml_engineer.agent.runs import Run
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
    gc.disable()  # imports make thousands of classes and no garbage; a run with a model collects again
    # At once: what is imported from here on is imported beside it.
    with Survey.start(root) as survey, ends_politely():
        from ml_engineer.interfaces.jobs import review_meta

        meta = review_meta(
            root,
            offline=offline,
            model=model,
            max_cost=max_cost,
            max_turns=max_turns,
            steps=steps,
            baseline=baseline,
            known=known,
        )
        if ModelChoice.of(meta).offline and not offline and sys.stderr.isatty():
            _hint("No key and no server for a model: the report is the engine's alone. `ml-engineer doctor` says more.")
        report = conduct(meta, survey=survey)
    finish(report, kind, output, fail_on)


def conduct(meta: dict[str, Any], *, resume: Run | None = None, survey: Survey | None = None) -> Report:
    """Do the job as `meta` says, in sight of whoever waits at the terminal."""
    if survey is None and (resume is None or resume.read("survey.json") is None):
        survey = Survey.start(Path(meta["target"]))
    import asyncio

    from ml_engineer.interfaces.jobs import review_job

    progress = Progress()
    done: list[Report] = []

    async def work() -> None:  # gives nothing back: asyncio takes its handler of Ctrl-C down by way of its task's repr
        done.append(await review_job(meta, resume=resume, survey=survey, listen=progress.event))

    gc.disable()
    try:
        asyncio.run(work())
        return done[0]
    finally:
        gc.freeze()  # the process is about to end: nothing in it is worth a first look now
        gc.enable()
        progress.stop()
        if survey is not None:
            survey.cancel()


def finish(report: Report, kind: Format, output: Path | None, fail_on: str | None) -> None:
    """Give the result and leave with the exit code that it asks for."""
    try:
        emit(report, kind, output)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Refusal(
            f"the report cannot be written{f' to {output}' if output else ''}: {error.strerror or error}; "
            f"it is kept: ml-engineer runs report {report.run.id}"
        ) from error
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
