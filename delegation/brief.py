"""The brief: a hand-off as Markdown that a person or any agent can work from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from string import Template

from ml_engineer.delegation.peers import Peer
from ml_engineer.report.decoding import split_lines
from ml_engineer.report.schema import Absence, Evidence, Handoff, Quote
from ml_engineer.report.text import describe, one_line, visible, where

MAX_QUOTE_LINES = 20
_PART = re.compile(r"(?:^|\s)\((\d+)\) ")


@cache
def template() -> Template:
    """The brief's template: so plain that importing a template engine would take longer than all briefs of a run."""
    return Template(resources.files("ml_engineer.prompts").joinpath("hand_off.md").read_text(encoding="utf-8"))


def render(
    handoff: Handoff, peer: Peer, *, asker: str, repository: str, timeout: float, cost: str | None, deeper: int
) -> str:
    """The brief. `timeout` in seconds; `cost` the most it may cost, as text; `deeper` levels the peer may ask on."""
    return template().substitute(
        peer=peer.name,
        summary=peer.summary,
        id=handoff.id,
        asker=asker,
        repository=one_line(repository),
        questions=_numbered(parts(handoff.question)),
        context="\n".join(visible(line) for line in handoff.context.split("\n")),
        expected=_numbered(parts(handoff.expected)),
        evidence=_numbered(map(_item, handoff.evidence)) or "None beyond what is said above.",
        time=f"{timeout:g} seconds",
        cost=f", at a cost of at most {cost}" if cost else "",
        depth="Ask nobody else." if deeper <= 0 else f"You may hand on what is not yours, {deeper} level deep.",
    )


def parts(numbered: str) -> list[str]:
    """`(1) first (2) second` as two texts; any other text as one."""
    if not numbered.startswith("(1) "):
        return [numbered]
    found = _PART.split(numbered)
    numbers, texts = found[1::2], found[2::2]
    in_order = numbers == [str(number) for number in range(1, len(numbers) + 1)]
    return texts if in_order else [numbered]


def _numbered(items: Iterable[str]) -> str:
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))


def _item(evidence: Evidence) -> str:
    """The place, and below it what stands there, in a fence that the text cannot close."""
    quote = ""
    if isinstance(evidence, Quote):
        quote = evidence.quote
    elif isinstance(evidence, Absence):
        quote = evidence.need.quote
    lines = split_lines(quote)
    if len(lines) > MAX_QUOTE_LINES:
        lines = [*lines[:MAX_QUOTE_LINES], f"({len(lines) - MAX_QUOTE_LINES} more lines)"]
    text = visible("\n".join(lines))
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    note = describe(evidence)
    return f"`{where(evidence)}`{f': {note}' if note else ''}\n" + (f"{fence}\n{text}\n{fence}\n" if text else "")
