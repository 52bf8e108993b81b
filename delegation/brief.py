"""The brief: a hand-off as Markdown that a person or any agent can work from."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ml_engineer.delegation.peers import Peer
from ml_engineer.report.decoding import split_lines
from ml_engineer.report.schema import Absence, Evidence, Handoff, Quote
from ml_engineer.report.text import describe, one_line, visible, where

MAX_QUOTE_LINES = 20
_PART = re.compile(r"(?:^|\s)\((\d+)\) ")


@cache
def template() -> Template:
    """The brief's template, compiled once."""
    environment = Environment(
        loader=PackageLoader("ml_engineer.prompts", "delegation"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; what was quoted is fenced and made visible below
    )
    return environment.get_template("brief.md.j2")


def render(
    handoff: Handoff, peer: Peer, *, asker: str, repository: str, timeout: float, cost: str | None, deeper: int
) -> str:
    """The brief. `timeout` in seconds; `cost` the most it may cost, as text; `deeper` levels the peer may ask on."""
    return template().render(
        handoff=handoff,
        peer=peer,
        asker=asker,
        repository=one_line(repository),
        questions=parts(handoff.question),
        expected=parts(handoff.expected),
        context=[visible(line) for line in handoff.context.split("\n")],
        evidence=[_item(evidence) for evidence in handoff.evidence],
        limits={
            "time": f"{timeout:g} seconds",
            "cost": cost,
            "depth": "Ask nobody else." if deeper <= 0 else f"You may hand on what is not yours, {deeper} level deep.",
        },
    )


def parts(numbered: str) -> list[str]:
    """`(1) first (2) second` as two texts; any other text as one."""
    if not numbered.startswith("(1) "):
        return [numbered]
    found = _PART.split(numbered)
    numbers, texts = found[1::2], found[2::2]
    in_order = numbers == [str(number) for number in range(1, len(numbers) + 1)]
    return texts if in_order else [numbered]


def _item(evidence: Evidence) -> dict[str, str]:
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
    return {"place": where(evidence), "note": describe(evidence), "quote": text, "fence": "`" * (longest + 1)}
