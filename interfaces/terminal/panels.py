"""What takes the place of the input line for a while: a question with answers to press, or findings to walk through.

    panel.fragments(width, rows) -> what to draw, as prompt_toolkit's (style, text) pairs, lines separated by newlines
    panel.press("down") -> None             # a key by its name, or the character
    panel.answer                            # a future; None when the user left

A panel knows nothing of the screen around it, so that it can be tested as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from prompt_toolkit.utils import get_cwidth

from ml_engineer.interfaces.terminal.console import Choice
from ml_engineer.report.visible import one_line, visible

if TYPE_CHECKING:
    from ml_engineer.report.schema import Finding

Fragments = list[tuple[str, str]]
Answer = TypeVar("Answer")

_CONTEXT = 2  # lines around a quote
_QUOTED = 8  # lines of it at most
_LARGEST = 2 << 20  # bytes of a file that is looked into for the context
LEAVE = frozenset({"escape", "q"})


class Panel(Protocol):
    """What the screen needs to know of a panel."""

    def fragments(self, width: int, rows: int) -> Fragments: ...

    def press(self, key: str) -> None: ...

    def leave(self) -> None: ...


class _Answered(Generic[Answer]):
    def __init__(self) -> None:
        self.answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

    def leave(self) -> None:
        self._give(None)

    def _give(self, answer: Answer | None) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


class ChoicePanel(_Answered[str]):
    """Answers by their letter, or by the arrows and Enter. Nothing is chosen at first, but for a `default`."""

    def __init__(self, question: str, choices: Sequence[Choice], default: str | None) -> None:
        super().__init__()
        self.question, self.choices = question, list(choices)
        self.at = next((at for at, choice in enumerate(choices) if choice.key == default), -1)

    def fragments(self, width: int, rows: int) -> Fragments:
        drawn: Fragments = [("class:question", visible(self.question) + "\n")]
        for at, choice in enumerate(self.choices):
            chosen = at == self.at
            drawn.append(("class:pointer", "› " if chosen else "  "))
            drawn.append(("class:key", choice.key))
            drawn.append(("class:chosen" if chosen else "", clip(f"  {visible(choice.label)}", width - 4) + "\n"))
        hint = "press a letter, or choose with the arrows and Enter"
        return [*drawn, ("class:hint", clip(hint, width))]

    def press(self, key: str) -> None:
        if key in ("up", "down"):
            start = self.at if self.at >= 0 or key == "down" else 0  # before the first one is the last one
            self.at = (start + (1 if key == "down" else -1)) % len(self.choices)
        elif key == "enter":
            if self.at >= 0:
                self._give(self.choices[self.at].key)
        elif key.lower() in [choice.key for choice in self.choices]:
            self._give(key.lower())


class FindingsPanel(_Answered[tuple[str, int]]):
    """A list to walk through, with what is known about the finding under the pointer. Gives the act and the index."""

    ACTS = {"f": "fix", "s": "suppress", "p": "send"}

    def __init__(self, found: Sequence[Finding], root: Path, at: int = 0) -> None:
        super().__init__()
        self.found, self.root, self.at = list(found), root, min(at, len(found) - 1)

    def press(self, key: str) -> None:
        step = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -10, "pagedown": 10}.get(key)
        if step is not None:
            self.at = max(0, min(len(self.found) - 1, self.at + step))
        elif key in ("home", "end"):
            self.at = 0 if key == "home" else len(self.found) - 1
        elif key in LEAVE:
            self.leave()
        elif key in self.ACTS:
            self._give((self.ACTS[key], self.at))

    def fragments(self, width: int, rows: int) -> Fragments:
        details = self._details(self.found[self.at], width)
        room = max(3, rows - len(details) - 3)
        first = max(0, min(self.at - room // 2, len(self.found) - room))
        drawn: Fragments = [("class:question", f"Findings, {self.at + 1} of {len(self.found)}\n")]
        for at in range(first, min(first + room, len(self.found))):
            drawn += self._row(at, width)
        for style, line in details[: max(0, rows - room - 2)]:
            drawn.append((style, clip(line, width) + "\n"))
        keys = "↑↓ walk · f fix · s suppress · p send to a peer · q leave"
        return [*drawn, ("class:hint", keys if len(keys) <= width else "↑↓ f:fix s:suppress p:peer q:leave")]

    def _row(self, at: int, width: int) -> Fragments:
        from ml_engineer.report.text import where

        finding, chosen = self.found[at], at == self.at
        severity = f"{finding.severity:<8} "
        place = f"  {where(finding.evidence[0])}" if width >= 72 else ""
        title = clip(one_line(finding.title), width - 2 - len(severity) - get_cwidth(place))
        style = "class:chosen" if chosen else ""
        return [
            ("class:pointer", "› " if chosen else "  "),
            (f"class:severity.{finding.severity}", severity),
            (style, title),
            ("class:hint", f"{place}\n"),
        ]

    def _details(self, finding: Finding, width: int) -> Fragments:
        from ml_engineer.report.text import joined, where

        lines: Fragments = [("", "")]
        lines += [("", line) for line in wrapped(one_line(finding.why), width)[:3]]
        lines.append(("class:place", where(finding.evidence[0])))
        lines += quoted_with_context(finding, self.root)
        lines += [("class:remedy", line) for line in wrapped(f"→ {one_line(finding.remedy)}", width)[:3]]
        about = [one_line(finding.rule), f"step {finding.step}", f"confidence {finding.confidence}"]
        about.append(f"ask {one_line(', '.join(finding.peers))}" if finding.peers else "")
        lines += [("class:hint", line) for line in wrapped(joined(about), width)]
        return [*lines, ("", "")]


def quoted_with_context(finding: Finding, root: Path) -> Fragments:
    """The quoted lines with their numbers and, where the file still has them there, the lines around them."""
    from ml_engineer.report.schema import Quote
    from ml_engineer.report.text import quoted

    evidence = finding.evidence[0]
    shown = quoted(evidence).lines[:_QUOTED]
    if not shown:
        return []
    first, last = shown[0].number, shown[-1].number
    lines = {line.number: ("class:quoted", line.text) for line in shown}
    if isinstance(evidence, Quote) and evidence.cell is None:
        source = _lines_of(root, evidence.path)
        if source[first - 1 : first] == [shown[0].text]:
            around = range(max(1, first - _CONTEXT), min(len(source), last + _CONTEXT) + 1)
            lines = {number: ("class:hint", visible(source[number - 1])) for number in around} | lines
    return [(style, f"{number:>5} {text.expandtabs(4)}") for number, (style, text) in sorted(lines.items())]


def _lines_of(root: Path, path: str) -> list[str]:
    """The file's lines; none where it is not a file of the repository any more."""
    place = (root / path).resolve()
    try:
        if not place.is_relative_to(root.resolve()) or place.stat().st_size > _LARGEST:
            return []
        return [visible(line) for line in place.read_text(errors="replace").split("\n")]
    except OSError:
        return []


def clip(text: str, width: int) -> str:
    """The text in so many columns, with an ellipsis where it was longer."""
    if get_cwidth(text) <= width:
        return text
    room, kept = max(0, width - 1), ""
    for character in text:
        room -= get_cwidth(character)
        if room < 0:
            break
        kept += character
    return f"{kept}…"


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of so many columns, broken at spaces."""
    lines, line = [], ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if line and get_cwidth(candidate) > width:
            lines.append(line)
            line = word
        else:
            line = candidate
    return [*lines, line] if line else lines
