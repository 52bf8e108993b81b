"""What both consoles share: everything that can be shown, as lines that are written and stay.

A subclass writes painted text (`write`) and says how wide it is. What is long is folded: its head is shown with a
number under which `/unfold` has the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_engineer.interfaces.terminal.device import Device
from ml_engineer.interfaces.terminal.paint import Painter
from ml_engineer.report.visible import one_line, plural, visible

if TYPE_CHECKING:
    from ml_engineer.report.schema import Report

OUTPUT_LINES = 12  # of a program's output that are shown before it is folded
DIFF_LINES = 60
_KEPT = 200  # folded texts
_KEPT_CHARACTERS = 8_000_000


@dataclass(frozen=True)
class Folded:
    """A text that can be shown in full. `diff` says how."""

    title: str
    text: str
    diff: bool = False


class Folds:
    """The folded texts by number, the oldest of them forgotten when there are too many."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Folded] = OrderedDict()
        self._last = 0
        self._characters = 0

    def keep(self, folded: Folded) -> int:
        self._last += 1
        self._kept[self._last] = folded
        self._characters += len(folded.text)
        while len(self._kept) > 1 and (len(self._kept) > _KEPT or self._characters > _KEPT_CHARACTERS):
            _, oldest = self._kept.popitem(last=False)
            self._characters -= len(oldest.text)
        return self._last

    def find(self, number: int | None) -> Folded | None:
        """The text of this number; the last one without a number."""
        return self._kept.get(self._last if number is None else number)

    @property
    def numbers(self) -> list[int]:
        return list(self._kept)


class Printing:
    """Base of the consoles."""

    plain: bool = False
    interactive: bool = True

    def __init__(self, device: Device) -> None:
        self.device = device
        self.painter = Painter(device)
        self.folds = Folds()

    @property
    def width(self) -> int:
        return self.device.columns

    def write(self, text: str) -> None:
        """Write painted text, whole lines."""
        raise NotImplementedError

    def show(self, renderable: Any) -> None:
        self.write(self.painter.paint(renderable, self.width))

    def say(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self.show(Text(visible(text), style, overflow="fold"))

    def error(self, text: str) -> None:
        from rich.text import Text

        self.show(Text.assemble(("error: ", "bold red"), visible(text), overflow="fold"))

    def markdown(self, text: str) -> None:
        if self.plain:
            self.write(self.device.fit(visible(text.rstrip("\n"))) + "\n")
            return
        from rich.console import Group

        from ml_engineer.interfaces.terminal.blocks import renderables
        from ml_engineer.interfaces.terminal.markdown import Cutter

        cutter = Cutter()
        self.show(Group(*renderables(cutter.feed(text) + cutter.finish())))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if self.plain:
            for row in rows:
                named = zip(head, row, strict=True) if head else (("", cell) for cell in row)
                cells = (f"{name}: {one_line(cell)}" if name else one_line(cell) for name, cell in named if cell)
                self.write(self.device.fit("; ".join(cells)) + "\n")
            return
        from ml_engineer.interfaces.terminal import blocks

        self.show(blocks.rows(head, rows))

    def report(self, report: Report) -> None:
        if self.plain:
            from ml_engineer.report import markdown

            self.markdown(markdown.render(report))
            return
        from ml_engineer.interfaces.render import view

        self.show(view(report))

    def diff(self, text: str) -> None:
        self.fold(Folded("the rest of the change", text, diff=True), DIFF_LINES)

    def output(self, title: str, text: str) -> None:
        if title:
            self.say(title, "bold")
        self.fold(Folded(title, text), OUTPUT_LINES)

    def fold(self, folded: Folded, limit: int) -> None:
        """Show the first lines of it, and under which number the rest is."""
        lines = visible(folded.text).rstrip("\n").split("\n")
        shown = lines if len(lines) <= limit + 2 else lines[:limit]
        self._lines(shown, diff=folded.diff)
        if len(shown) < len(lines):
            number = self.folds.keep(folded)
            self.say(f"  … {plural(len(lines) - len(shown), 'more line')}: /unfold {number}", "dim")

    def unfold(self, number: int | None = None) -> None:
        folded = self.folds.find(number)
        if folded is None:
            known = self.folds.numbers
            what = f"there are {known[0]} to {known[-1]}" if known else "nothing is folded yet"
            self.error(f"there is nothing to unfold {f'under {number}' if number is not None else ''}: {what}")
            return
        if folded.title:
            self.say(folded.title, "bold")
        self._lines(visible(folded.text).rstrip("\n").split("\n"), diff=folded.diff)

    def _lines(self, lines: list[str], *, diff: bool) -> None:
        from rich.text import Text

        styled = [Text(f"  {line}", diff_style(line) if diff else "dim", overflow="fold") for line in lines]
        self.show(Text("\n").join(styled))


def diff_style(line: str) -> str:
    """Lines that are added and removed are told apart by their sign first; the colour underlines it."""
    if line.startswith(("+++", "---")):
        return "bold"
    if line.startswith("@@"):
        return "cyan"
    return "green" if line.startswith("+") else "red" if line.startswith("-") else ""
