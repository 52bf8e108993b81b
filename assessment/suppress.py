"""Findings that the repository's owner has put aside, with a reason.

Two ways, both counted and listed in the report:

- on the line, or alone on the line above:   `# ml-engineer: ignore[MLE0502] the file is signed at build time`
- in the target's pyproject.toml:            `[tool.ml-engineer]`
                                             `ignore = [{rule = "MLE0502", path = "src/**", reason = "…"}]`

A reason is required: without one the finding stays, and the report says why. A finding with several sites loses the
suppressed sites; it is put aside when none is left.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ml_engineer.assessment import rules_index
from ml_engineer.assessment.paths import path_pattern
from ml_engineer.assessment.repo import Repo
from ml_engineer.report.schema import Absence, Evidence, Finding, Quote, Suppressed

_INLINE = re.compile(r"ml-engineer:\s*ignore\[([A-Z0-9,\s]+)\]\s*(.*?)\s*(?:-->)?\s*$")
_ONLY_COMMENT = re.compile(r"^\s*(#|//|<!--)")
MAX_STARS = 12  # in a path pattern: more would only make matching slow
Origin = Literal["inline", "pyproject", "baseline"]


@dataclass(frozen=True, slots=True)
class Ignore:
    """An entry of `[tool.ml-engineer]`."""

    rule: str
    path: str
    reason: str


@dataclass
class Settings:
    """What the target's pyproject says to us. It can only narrow what is reported, and is listed in the report."""

    ignores: list[Ignore] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_settings(repo: Repo) -> Settings:
    """`[tool.ml-engineer]` of the root's pyproject.toml. What is wrong in it is said, not guessed."""
    settings = Settings()
    file = repo.files.get("pyproject.toml")
    if file is None or "ml-engineer" not in file.text:
        return settings
    try:
        table = tomllib.loads(file.text).get("tool", {}).get("ml-engineer", {})
    except (ValueError, RecursionError, AttributeError) as error:
        settings.problems.append(f"pyproject.toml cannot be read ({error}): its [tool.ml-engineer] is not honoured")
        return settings
    if not isinstance(table, dict):
        settings.problems.append("pyproject.toml: [tool.ml-engineer] is no table: not honoured")
        return settings
    settings.problems += [
        f"pyproject.toml: [tool.ml-engineer] has {key[:60]!r}, which is no setting; there is `ignore`"
        for key in table
        if key != "ignore"
    ]
    known = {rule.id for rule in rules_index.load()}
    entries = table.get("ignore", [])
    for entry in entries if isinstance(entries, list) else [entries]:
        rule, path, reason = (_text(entry, key) for key in ("rule", "path", "reason"))
        if path.count("*") > MAX_STARS:
            settings.problems.append(
                f"pyproject.toml: [tool.ml-engineer] path {path[:60]!r} has too many `*`: not honoured"
            )
        elif not rule or not reason:
            settings.problems.append(
                f"pyproject.toml: [tool.ml-engineer] ignore entry {entry!r} needs a rule and a reason: not honoured"
            )
        elif rule not in known:
            settings.problems.append(
                f"pyproject.toml: [tool.ml-engineer] there is no rule {rule[:60]!r}; `ml-engineer rules` lists all"
            )
        else:
            settings.ignores.append(Ignore(rule, path or "**", reason))
    return settings


def _text(entry: object, key: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value.strip() if isinstance(value, str) else ""


def suppress(
    repo: Repo, settings: Settings, findings: Iterable[Finding]
) -> tuple[list[Finding], list[Suppressed], list[str]]:
    """Findings that stay, those put aside, and notes on suppressions that were not honoured."""
    kept: list[Finding] = []
    aside: list[Suppressed] = []
    notes: list[str] = []
    for finding in findings:
        left = []
        for evidence in finding.evidence:
            found = _reason(repo, settings, finding.rule, evidence, notes)
            if found is None:
                left.append(evidence)
            else:
                path, line, _ = _where(evidence)
                origin, reason = found
                aside.append(
                    Suppressed(
                        rule=finding.rule,
                        path=path,
                        line=line,
                        reason=reason,
                        origin=origin,
                        fingerprint=finding.fingerprint,
                    )
                )
        if left:
            kept.append(
                finding if len(left) == len(finding.evidence) else finding.model_copy(update={"evidence": left})
            )
    return kept, aside, list(dict.fromkeys([*settings.problems, *notes]))


def _reason(
    repo: Repo, settings: Settings, rule: str, evidence: Evidence, notes: list[str]
) -> tuple[Origin, str] | None:
    path, line, cell = _where(evidence)
    for ignore in settings.ignores:
        if ignore.rule == rule and path_pattern(ignore.path).fullmatch(path):
            return "pyproject", ignore.reason
    for text in _lines_to_look_at(repo, path, line, cell, evidence):
        match = _INLINE.search(text)
        if match and rule in {part.strip() for part in match[1].split(",")}:
            if match[2]:
                return "inline", match[2]
            notes.append(f"{path}:{line}: the suppression of {rule} gives no reason: not honoured")
    return None


def _lines_to_look_at(repo: Repo, path: str, line: int, cell: int | None, evidence: Evidence) -> list[str]:
    if cell is not None:  # a cell's own text is all that counts lines the same way
        return evidence.quote.split("\n") if isinstance(evidence, Quote) else []
    file = repo.files.get(path)
    if file is None:
        return []
    lines = file.lines[line - 1 : line]
    if line >= 2 and _ONLY_COMMENT.match(file.lines[line - 2]):
        lines.append(file.lines[line - 2])
    return lines


def _where(evidence: Evidence) -> tuple[str, int, int | None]:
    match evidence:
        case Quote():
            return evidence.path, evidence.line_start, evidence.cell
        case Absence():
            return evidence.need.path, evidence.need.line, evidence.need.cell
        case _:
            return "", 0, None
