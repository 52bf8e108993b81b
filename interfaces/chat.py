"""`ml-engineer chat [PATH]`, and `ml-engineer` with no command at a terminal: a conversation about a repository."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from ml_engineer.agent.runs import Run, RunError
from ml_engineer.assessment.target import TargetError, open_target
from ml_engineer.interfaces.model import ModelChoice, model_options
from ml_engineer.interfaces.options import Refusal

MODES = ("read-only", "ask", "accept-edits", "full")


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--offline", is_flag=True, help="Use no model and no network, also where a key is configured.")
@click.option("--plain", is_flag=True, help="Lines only, for screen readers: no redrawing, words instead of symbols.")
@click.option("--permission", type=click.Choice(MODES), help="What is done without asking; default: ask.")
@click.option("--resume", metavar="ID", help="Go on with an earlier conversation.")
@model_options
def chat(
    path: Path | None,
    offline: bool,
    plain: bool,
    permission: str | None,
    resume: str | None,
    model: str | None,
    max_cost: str | None,
    max_turns: int | None,
) -> None:
    """Talk with the agent about the repository in PATH (default: this folder).

    /help lists the commands; those that need no model work without one. From a pipe each line is a message, and nothing
    that would have to be approved is done; exit code 2 where one could not be answered.
    """
    from ml_engineer.interfaces.terminal.device import Device

    device = Device.find(plain=plain)
    device.take_over()
    choice = ModelChoice(offline, model, max_cost, max_turns)
    settings = choice.settings()
    root = _root(path, resume)
    from ml_engineer.agent.survey import Survey

    survey = Survey.start(root) if settings is not None and resume is None else None
    from ml_engineer.interfaces.terminal.app import Start, converse

    try:
        answered = asyncio.run(converse(Start(root, choice, settings, device, permission, resume, survey)))
    except BaseException:
        if survey is not None:
            survey.cancel()
        raise
    if not answered and not device.interactive:
        sys.exit(2)


def _root(path: Path | None, resume: str | None) -> Path:
    """The repository that is talked about; that of the conversation that goes on, where one does."""
    try:
        if resume is not None:
            run = Run.open(resume)
            if run.meta.get("mode") != "chat":
                raise Refusal(f"run {run.id} is no conversation but a {run.meta.get('mode')}")
            path = Path(run.meta["target"])
        return open_target(path or Path())
    except (TargetError, RunError) as error:
        raise Refusal(str(error)) from error
