"""Sentences that say something was run or measured, held against what was.

    unproved(text, commands, figures) -> why a text may not stand, or None

A model that has run nothing likes to write "all tests pass" or "p95 is 12 ms". Such sentences need a command that ended
with 0, or a figure that stands in evidence; a plan or a remedy needs neither, as long as it does not say that it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_DID = re.compile(
    r"\b(?:I|we|have|has|was|were|been) (?:just |also |all |successfully )*"
    r"(?:ran|run|executed|measured|benchmarked|profiled|verified|tested|load[- ]tested|validated|deployed)\b"
    r"|\b(?:measured|benchmarked|verified) (?:at|by running|to be|with|under|as)\b"
    r"|\b(?:measured|observed) (?:latency|throughput|accuracy|p\d\d)\b"
    r"|\bexit(?:s|ed)?(?: code| status| with)+ 0\b|\b(?:ran|runs?) (?:successfully|clean(?:ly)?|green)\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:not|never|no|nothing|none|cannot|can't|n't|without|nobody|un\w+ed)\b|n't\b", re.IGNORECASE)
_PASSED = re.compile(
    r"\b(?:tests?|checks?|suite|build|CI|pipeline|benchmarks?|scans?|linters?)\b[^.;,]{0,40}?"
    r"\b(?:pass(?:es|ed|ing)?|green|succeed(?:s|ed)?|successful(?:ly)?)\b|\b\d+ passed\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|when|until|unless|once|whether|before|after|must|should|only)\b", re.IGNORECASE)
_FIGURE = re.compile(
    r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)\s*"
    r"(?:ms|milliseconds?|µs|us|s|secs?|seconds?|req(?:uest)?s?(?:/s| per second)|rps|qps|[KMG]i?B|%|percent)(?![\w/])",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def sentences(text: str) -> list[str]:
    """The text in sentences, near enough."""
    return [part for part in _SENTENCE.split(text) if part.strip()]


def figures(text: str) -> set[str]:
    """Every number in a text, in one spelling."""
    return {_plain(number) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}


def unproved(text: str, *, ran: bool, known: Iterable[str], plan: bool = False) -> str | None:
    """Why the text may not stand, or None. `ran`: a command that ended with 0 is its evidence. `known`: texts of
    evidence, in which its figures must stand. `plan`: it says what shall be, so figures and tests are goals."""
    proven = set().union(*(figures(one) for one in known)) if not plan else set()
    for sentence in sentences(text):
        if not ran and (_says_done(sentence) or (not plan and _says_passed(sentence))):
            return f"“{sentence.strip()}” says that something was run, and no command that ended with 0 is cited for it"
        if not plan:
            wrong = [number for number in _FIGURE.findall(sentence) if _plain(number) not in proven]
            if wrong:
                return f"the figure {wrong[0]} stands in no evidence; figures come from measurements or quotes"
    return None


def _says_done(sentence: str) -> bool:
    return _DID.search(sentence) is not None and _NOT.search(sentence) is None


def _says_passed(sentence: str) -> bool:
    if _NOT.search(sentence) or _CONDITION.search(sentence):
        return False
    return _PASSED.search(sentence) is not None


def _plain(number: str) -> str:
    whole, _, rest = number.replace(",", "").partition(".")
    rest = rest.rstrip("0")
    return f"{int(whole)}.{rest}" if rest else str(int(whole))
