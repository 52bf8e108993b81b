"""A console for the chat's commands that remembers what was shown, and answers what the test has laid out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ml_engineer.agent.runs import Run
from ml_engineer.agent.session import Session
from ml_engineer.interfaces.terminal.commands import dispatch
from ml_engineer.interfaces.terminal.console import Choice, FindingAct
from ml_engineer.report.schema import Finding, Report
from tests.support.conversation import opened


@dataclass
class Screen:
    """A console that remembers what was shown, and answers what the test has laid out."""

    answers: list[str | FindingAct | None] = field(default_factory=list)
    interactive: bool = True
    plain: bool = False
    width: int = 80
    shown: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    walked: list[Finding] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def say(self, text: str, style: str = "") -> None:
        self.shown.append(text)

    error = markdown = diff = say

    def output(self, title: str, text: str) -> None:
        self.shown.append(f"{title}\n{text}")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        assert all(len(row) == len(head) for row in rows if head)
        self.shown += [" | ".join(row) for row in rows]

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def unfold(self, number: int | None = None) -> None:
        self.shown.append(f"unfolded {number}")

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[Any]:
        self.shown.append(f"({text})")
        yield self

    def update(self, text: str) -> None:
        self.shown.append(f"({text})")

    def _next(self, question: str) -> Any:
        self.asked.append(question)
        return self.answers.pop(0) if self.interactive and self.answers else None

    async def choose(self, question: str, choices: Sequence[Choice], default: str | None = None) -> str | None:
        assert default is None, "Enter alone never decides"
        answer = self._next(f"{question} {[one.label for one in choices]}")
        assert answer is None or answer in [one.key for one in choices]
        return answer

    async def findings(self, found: Sequence[Finding], root: Path, peers: Sequence[str]) -> FindingAct | None:
        assert "devops-engineer" in peers
        self.walked = list(found)
        return self._next("findings")

    @property
    def text(self) -> str:
        return "\n".join(self.shown)


@dataclass
class Talk:
    """A chat without a screen."""

    root: Path
    session: Session
    console: Screen
    words: list[str] = field(default_factory=list)
    resumed: str | None = None
    ended: str = ""

    async def ready(self) -> Session:
        return self.session

    async def say(self, words: str) -> None:
        self.words.append(words)
        await self.session.say(words)

    async def resume(self, run_id: str) -> None:
        self.resumed = run_id

    async def restart(self) -> None:
        self.ended = "restarted"

    def leave(self) -> None:
        self.ended = "left"

    async def do(self, *lines: str) -> str:
        """Run commands; what was shown, refusals included."""
        at = len(self.console.shown)
        for line in lines:
            try:
                await dispatch(self, line)
            except click.ClickException as error:
                self.console.shown.append(f"refused: {error.format_message()}")
        return "\n".join(self.console.shown[at:])


@asynccontextmanager
async def talk(run: Run, tmp_path: Path, url: str | None = None, **options: Any) -> AsyncIterator[Talk]:
    console = Screen(options.pop("answers", []))
    async with opened(run, url, tmp_path, **options) as session:
        yield Talk(Path(run.meta["target"]), session, console)


def do(run: Run, tmp_path: Path, *lines: str, **options: Any) -> Talk:
    """Run commands in a session of their own, and give the chat to look at."""

    async def go() -> Talk:
        async with talk(run, tmp_path, **options) as chat:
            await chat.do(*lines)
            return chat

    return asyncio.run(go())
