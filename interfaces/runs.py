"""`ml-engineer runs list|show|report|resume|apply|discard`: earlier runs, and what becomes of their work."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml_engineer.agent import runs as store
from ml_engineer.interfaces.options import FORMATS, SEVERITIES, Format, Refusal
from ml_engineer.interfaces.review import conduct, finish
from ml_engineer.interfaces.termination import ends_politely

if TYPE_CHECKING:
    from ml_engineer.tools.worktree import Worktree


class RunGroup(click.Group):
    """Turns what is wrong with a run into a message and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except store.RunError as error:
            raise Refusal(str(error)) from error


@click.group(cls=RunGroup)
def runs() -> None:
    """List, show, resume or report earlier runs. An id may be shortened to its beginning."""


@runs.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_runs(as_json: bool) -> None:
    """List the runs, latest last."""
    for folder in store.list_folders():
        run = store.Run.open(folder.name)
        entry = {"id": run.id, "state": run.state, "mode": run.meta.get("mode"), "target": run.meta.get("target")}
        click.echo(json.dumps(entry) if as_json else f"{run.id}  {run.state:11}  {entry['mode']}  {entry['target']}")


@runs.command()
@click.argument("run_id")
def show(run_id: str) -> None:
    """Show what a run was asked, how far it came, and where it is kept."""
    run = store.Run.open(run_id)
    click.echo(f"run      {run.id}\nstate    {run.state}\nfolder   {run.folder}")
    for name in ("mode", "target", "started", "steps", "baseline", "task"):
        value = run.meta.get(name)
        if value is not None:
            click.echo(f"{name:8} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for event in run.events():
        details = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("time", "type"))
        at = datetime.datetime.fromtimestamp(event["time"]).astimezone().isoformat(" ", "milliseconds")
        click.echo(f"{at}  {event['type']:12} {details}")


@runs.command()
@click.argument("run_id")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 where a finding is at or above this severity.")
def report(run_id: str, kind: Format, output: Path | None, fail_on: str | None) -> None:
    """Render the sealed report of a finished run again."""
    from ml_engineer.report.seal import ReportError, load

    run = store.Run.open(run_id)
    assert run.folder is not None, "a run that was opened is on disk"
    if run.state != "finished":
        raise Refusal(
            f"run {run.id} is {run.state}: it has no report yet; go on with: ml-engineer runs resume {run.id}"
        )
    try:
        sealed = load(run.folder / "report.json")
    except ReportError as error:
        raise Refusal(str(error)) from error
    finish(sealed, kind, output, fail_on)


@runs.command()
@click.argument("run_id")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--fail-on", type=click.Choice(SEVERITIES))
def resume(run_id: str, kind: Format, output: Path | None, fail_on: str | None) -> None:
    """Go on with an interrupted run where it stopped."""
    run = store.Run.open(run_id, work=True)
    if run.meta["mode"] == "chat":
        run.close()
        raise Refusal(f"run {run.id} is a conversation; go on with: ml-engineer chat --resume {run.id}")
    if run.meta["mode"] == "implement":
        from ml_engineer.interfaces import implement

        attended = sys.stdin.isatty() and sys.stderr.isatty()
        finish(implement.resume(run, attended=attended), kind, output, fail_on)
    else:
        with ends_politely():
            report = conduct(run.meta, resume=run)
        finish(report, kind, output, fail_on)


@runs.command()
@click.argument("run_id")
@click.option("--patch", is_flag=True, help="Print the changes as a patch and change nothing.")
def apply(run_id: str, patch: bool) -> None:
    """Bring the commits of an implementation into its repository: fast-forward, merge, or as changed files."""
    run = store.Run.open(run_id)
    if run.state != "finished":
        raise Refusal(f"run {run.id} is {run.state}; go on with: ml-engineer runs resume {run.id}")
    worktree = worktree_of(run)
    if worktree is None:
        raise Refusal(f"run {run.id} is a {run.meta['mode']}: it has changed nothing")
    from ml_engineer.tools.worktree import WorktreeError

    try:
        if patch:
            sys.stdout.buffer.write(worktree.patch())
            sys.stdout.flush()
        else:
            click.echo(worktree.apply(), err=True)
    except WorktreeError as error:
        raise Refusal(f"{error}; `ml-engineer runs apply {run.id} --patch` prints the changes") from error


def worktree_of(run: store.Run) -> Worktree | None:
    """The working copy of an implementation; None for a run that has none."""
    if run.folder is None or not (run.folder / "worktree.json").exists():
        return None
    from ml_engineer.tools.worktree import WorktreeError, open_worktree

    try:
        return open_worktree(Path(run.meta["target"]), run.folder, run.id)
    except WorktreeError as error:
        raise Refusal(str(error)) from error


@runs.command()
@click.argument("run_id")
def discard(run_id: str) -> None:
    """Remove a run and everything it kept, its working copy and branch included."""
    run = store.Run.open(run_id)
    if run.state == "running":
        raise Refusal(f"run {run.id} is being worked on; stop it first")
    worktree = worktree_of(run)
    if worktree is not None:
        worktree.discard()
    store.discard(run)
    click.echo(f"discarded {run.id}", err=True)
