"""How a batch goes on, for a person: a live bar at a terminal, plain lines everywhere else. All of it on stderr.

with watching(total, done) as watch: …
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ml_engineer.interfaces.batch.index import Job
from ml_engineer.report.text import one_line, plural

LINE_SECONDS = 10.0  # between two plain lines about the whole
SHOWN = 4  # repositories under way that are named


@dataclass
class Tally:
    """What has happened so far. `rate` is in repositories a second since the start."""

    total: int
    started: float = field(default_factory=time.monotonic)
    counts: dict[str, int] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)

    def began(self, job: Job) -> None:
        self.running[job.folder] = job.source.name

    def ended(self, job: Job, outcome: str) -> None:
        self.running.pop(job.folder, None)
        self.counts[outcome] = self.counts.get(outcome, 0) + 1

    @property
    def done(self) -> int:
        return sum(count for outcome, count in self.counts.items() if outcome != "again")

    @property
    def rate(self) -> float:
        return self.done / max(0.001, time.monotonic() - self.started)

    @property
    def left(self) -> float | None:
        """Seconds to go, or None while nobody can say."""
        return (self.total - self.done) / self.rate if self.done else None

    def line(self) -> str:
        parts = [f"{self.done:,} of {plural(self.total, 'repository', 'repositories')}"]
        parts += [
            f"{self.counts[name]:,} {name}" for name in ("partial", "failed", "unchanged") if self.counts.get(name)
        ]
        parts.append(_rate(self.rate))
        if self.left is not None and self.done < self.total:
            parts.append(f"{_span(self.left)} left")
        return ", ".join(parts)


class PlainWatch:
    """A line for each failure, and one about the whole now and then."""

    def __init__(self, total: int) -> None:
        self.tally = Tally(total)
        self._said = time.monotonic()

    def began(self, job: Job) -> None:
        self.tally.began(job)

    def ended(self, job: Job, outcome: str, error: str = "") -> None:
        self.tally.ended(job, outcome)
        if error:
            _say(_failure(job, outcome, error))
        now = time.monotonic()
        if now - self._said >= LINE_SECONDS or self.tally.done == self.tally.total:
            self._said = now
            _say(self.tally.line())


class LiveWatch:
    """An overall bar with the rate and the time left, what is under way below it, failures as lines that stay."""

    def __init__(self, total: int) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.text import Text

        self.tally = Tally(total)
        self._text = Text
        self._bar = Progress(
            TextColumn("[bold]Reviewing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", style="cyan"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[bad]}", style="red"),
        )
        self._task = self._bar.add_task("", total=total, rate="", bad="")
        self._running = Text()
        console = Console(stderr=True)
        self.live = Live(Group(self._bar, self._running), console=console, refresh_per_second=5, transient=True)

    def began(self, job: Job) -> None:
        self.tally.began(job)
        self._show()

    def ended(self, job: Job, outcome: str, error: str = "") -> None:
        self.tally.ended(job, outcome)
        if error:
            self.live.console.print(self._text(_failure(job, outcome, error), style="red"))
        self._show()

    def _show(self) -> None:
        tally = self.tally
        bad = [f"{tally.counts[name]:,} {name}" for name in ("failed", "partial") if tally.counts.get(name)]
        self._bar.update(self._task, completed=tally.done, rate=_rate(tally.rate), bad=", ".join(bad))
        names = [one_line(name) for name in tally.running.values()]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        self._running.plain = f"  at work: {', '.join(names[:SHOWN])}{more}" if names else ""


@contextlib.contextmanager
def watching(total: int) -> Iterator[PlainWatch | LiveWatch]:
    """A watch for `total` repositories, as the place where stderr goes wants it."""
    if not sys.stderr.isatty():
        yield PlainWatch(total)
        return
    watch = LiveWatch(total)
    with watch.live:
        yield watch
    _say(watch.tally.line())


def _failure(job: Job, outcome: str, error: str) -> str:
    later = " (it will be tried again)" if outcome == "again" else ""
    return f"{one_line(job.source.name)}: {one_line(error)}{later}"


def _rate(each_second: float) -> str:
    return f"{each_second:.1f} a second" if each_second >= 1 else f"{60 * each_second:.1f} a minute"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
