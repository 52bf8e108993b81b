"""Secrets that the engine has found, kept out of everything else that is quoted, and of what a model writes.

The rules for secrets quote such a line only up to the secret. What follows there is the secret: it is cut from all
other quotes and hidden in a model's texts. The values are held in memory and written nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ml_engineer.assessment.record import Assessment
from ml_engineer.report.decoding import decode, split_lines
from ml_engineer.report.reread import Texts, Unreadable
from ml_engineer.report.schema import Absence, Claim, Evidence, Fact, Finding, Place, Quote

RULES = frozenset({"MLE0908", "MLE1010"})
_Evident = TypeVar("_Evident", Claim, Fact, Finding)
WORD = 10  # characters from which a secret is no ordinary word
HIDDEN = "[secret]"
_VALUE = re.compile(r"""["']?([^"'\s,;]{4,})""")


@dataclass(frozen=True)
class Secrets:
    """`values` are the secrets, longest first."""

    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding], root: Path) -> Secrets:
        """The secrets that these findings point at."""
        files = Texts(root)
        values: set[str] = set()
        for finding in findings:
            if finding.rule in RULES:
                quotes = [one for one in finding.evidence if isinstance(one, Quote) and one.quote]
                values.update(filter(None, (_value(files, quote) for quote in quotes)))
        return cls(tuple(sorted(values, key=len, reverse=True)))

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for value in self.values:
            text = text.replace(value, HIDDEN)
        return text

    def cut(self, quote: Quote | Place) -> str:
        """The quote up to its first secret, so that it still stands in the file; empty where nothing is left of it."""
        places = [at for value in self.values if (at := quote.quote.find(value)) >= 0]
        return quote.quote[: min(places)].rstrip() if places else quote.quote


def without_secrets(assessment: Assessment, root: Path) -> Assessment:
    """The assessment, whose quotes end where a secret begins: an absence, say, may name the very line that holds one.

    A short secret is an ordinary word elsewhere ("admin"): it is cut from the lines that the rules have found only.
    """
    secrets = Secrets.of(assessment.findings, root)
    if not secrets.values:
        return assessment
    long = Secrets(tuple(value for value in secrets.values if len(value) >= WORD))
    quotes = [one for finding in assessment.findings if finding.rule in RULES for one in finding.evidence]
    lines = {(one.path, one.line_start) for one in quotes if isinstance(one, Quote)}

    def clean(one: _Evident) -> _Evident:
        return one.model_copy(update={"evidence": [_cut(evidence, secrets, long, lines) for evidence in one.evidence]})

    claims = {
        step: {name: clean(claim) for name, claim in fields.items()} for step, fields in assessment.claims.items()
    }
    findings = [clean(finding) for finding in assessment.findings]
    facts = [clean(fact) for fact in assessment.profile]
    return assessment.model_copy(update={"claims": claims, "findings": findings, "profile": facts})


def _cut(evidence: Evidence, secrets: Secrets, long: Secrets, lines: set[tuple[str, int]]) -> Evidence:
    match evidence:
        case Quote():
            own = any((evidence.path, at) in lines for at in range(evidence.line_start, evidence.line_end + 1))
            kept = (secrets if own else long).cut(evidence)
            if kept == evidence.quote:
                return evidence
            return evidence.model_copy(update={"quote": kept, "line_end": evidence.line_start + kept.count("\n")})
        case Absence():
            own = (evidence.need.path, evidence.need.line) in lines
            kept = (secrets if own else long).cut(evidence.need)
            return evidence.model_copy(update={"need": evidence.need.model_copy(update={"quote": kept})})
    return evidence


def _value(files: Texts, quote: Quote) -> str | None:
    """What stands behind the quoted part of the line."""
    if quote.cell is not None:
        return None
    try:
        data = files.find(quote.path).data
    except Unreadable:
        return None
    lines = split_lines(decode(data)) if data is not None else []
    line = lines[quote.line_start - 1] if quote.line_start <= len(lines) else ""
    _, found, rest = line.partition(quote.quote.split("\n")[0].strip())
    value = _VALUE.match(rest.strip()) if found else None
    return value[1] if value else None
