"""What every command of the chat is made of, and what several share: the current report, the settings, the refusals.

    @command("diff", "[PATH]", "Show what this conversation has changed.")
    async def diff(chat: Chat, words: str) -> None: ...      # `diff` is then a Command, its docstring goes to the docs

The modules `commands_*` define them, `commands` puts them in order. None of them imports what is slow at the top: the
names and their help have to be there before the first prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.terminal.console import Chat

if TYPE_CHECKING:
    from ml_engineer.agent.session import Session
    from ml_engineer.report.schema import Finding, Report

Run = Callable[[Chat, str], Awaitable[None]]
REPORT = "review.json"  # artefact of the chat's run: the sealed report of its last review
_NEEDS_MODEL = (
    "/{name} needs a model, and none is configured: set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL and ML_ENGINEER_MODEL "
    "for a server of your own. /help lists what works without."
)
NO_REPORT = "there is no report in this conversation yet; /review makes one"


@dataclass(frozen=True)
class Command:
    """One command. `arguments` are as the help shows them; `about` are the sentences of the documentation."""

    name: str
    arguments: str
    help: str
    run: Run
    needs_model: bool
    about: str

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.arguments}".rstrip()


def command(name: str, arguments: str, help: str, *, needs_model: bool = False) -> Callable[[Run], Command]:
    """Makes a function a command. With `needs_model` it is refused where there is none."""

    def make(run: Run) -> Command:
        async def with_model(chat: Chat, words: str) -> None:
            if (await chat.ready()).settings is None:
                raise Refusal(_NEEDS_MODEL.format(name=name))
            await run(chat, words)

        about = inspect.cleandoc(run.__doc__ or "")
        return Command(name, arguments, help, with_model if needs_model else run, needs_model, about)

    return make


def report_of(session: Session) -> Report | None:
    """The report of this conversation's last review."""
    from ml_engineer.report.schema import Report

    data = session.run.read(REPORT)
    return None if data is None else Report.model_validate_json(data)


def require_report(session: Session) -> Report:
    report = report_of(session)
    if report is None:
        raise Refusal(NO_REPORT)
    return report


async def findings_of(chat: Chat, session: Session) -> list[Finding]:
    """The findings that are spoken of: of the last review, or, before there is one, of the engine, worst first."""
    from ml_engineer.agent.survey import SurveyError
    from ml_engineer.report import summary

    report = report_of(session)
    if report is not None:
        return summary.rank(report.findings)
    with chat.console.busy("reading the repository"):
        try:
            assessment = await session.assessment()
        except SurveyError as error:
            raise Refusal(str(error)) from error
    return summary.rank(assessment.findings)


def places(finding: Finding, most: int = 3) -> str:
    """Where a finding shows, in short."""
    from ml_engineer.report.text import some, where

    return some([where(one) for one in finding.evidence], most)
