"""A batch as one HTML page, for the people who answer for the repositories.

    page = render(summary, faults, links)       dashboard.html

The page loads nothing and says everything without a script, worst first; its own script, the only one that its content
security policy lets in, sorts and filters. Findings are counted by rule and repository, each stands in the repository's
own report: the page grows with the repositories, not with their findings.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from ml_engineer.interfaces.batch import compare
from ml_engineer.interfaces.batch.summary import Breach, Difference, Fault, Row, Summary, by_step
from ml_engineer.report import html
from ml_engineer.report.schema import STEP_NAMES, Severity
from ml_engineer.report.summary import spent
from ml_engineer.report.text import plural

SHOWN_FAULTS = 15
SHOWN_CHANGES = 25
SHOWN_OWNERS = 25
_SHADES = 5
_NO_FINDING = 9  # behind every severity's rank


@dataclass(frozen=True)
class Group:
    """The repositories of an owner, with the mean readiness of each step."""

    owner: str
    count: int
    steps: Mapping[int, int | None]

    @property
    def readiness(self) -> float:
        """Mean over the steps that are known; above 100 where none is, so that it is sorted to the end."""
        known = [value for value in self.steps.values() if value is not None]
        return sum(known) / len(known) if known else 101


def render(summary: Summary, faults: Mapping[str, Sequence[Fault]], links: Mapping[str, str]) -> str:
    """The whole page. `faults` by the row's folder; `links` from the folder to the report, relative to the page."""
    rows = summary.repositories
    seen = [row.readiness for row in rows if row.readiness is not None]
    spread = [sum(min(value, 99) // 10 == tenth for value in seen) for tenth in range(10)]
    owners = sorted({row.owner for row in rows}) if any(row.owner for row in rows) else []
    groups = _groups(rows) if owners else []
    css = html.template("report.css") + html.template("dashboard.css")
    script = f"/*<![CDATA[*/\n{html.template('dashboard.js')}/*]]>*/"
    breaches = summary.policy.breaches if summary.policy else []
    exceptions = summary.policy.exceptions if summary.policy else []
    return (
        _environment()
        .get_template("dashboard.html.j2")
        .render(
            summary=summary,
            links=links,
            css=Markup(css),
            script=Markup(script),
            policy=html.content_policy(style=css, script=script),
            by_rule=_ranks(rows, faults),
            readiness=round(sum(seen) / len(seen)) if seen else None,
            spread=spread,
            tallest=max(*spread, 1),
            spread_label=_spread_label(spread),
            unseen=[row for row in rows if row.state in ("failed", "waiting")],
            partly=[row for row in rows if row.state == "partial"],
            covered=sum(row.state in ("reviewed", "partial") for row in rows),
            by_demand=Counter(breach.asked for breach in breaches).most_common(),
            by_repository=_by_repository(breaches),
            breached=len({breach.folder for breach in breaches}),
            expired=sum(one.state == "expired" for one in exceptions),
            headline=compare.headline(summary.comparison) if summary.comparison else "",
            differences={one.folder: one for one in summary.comparison.repositories} if summary.comparison else {},
            rules_changed_note=compare.RULES_CHANGED,
            partial_note=compare.PARTIAL,
            owners=owners,
            scopes=any(row.scope for row in rows),
            groups=groups[:SHOWN_OWNERS],
            more_groups=len(groups[SHOWN_OWNERS:]),
            below=_below(rows),
            severities=[severity.value for severity in Severity if severity is not Severity.INFO],
            step_names=STEP_NAMES,
            shown_faults=SHOWN_FAULTS,
            shown_changes=SHOWN_CHANGES,
            cost=spent(summary.usage),
        )
    )


@cache
def _environment() -> Environment:
    environment = html.environment().overlay()
    environment.filters = environment.filters | {
        "shade": lambda value: min(value * _SHADES // 100, _SHADES - 1),
        "worst": _worst,
        "by_step": lambda row: {score.step: score.readiness for score in row.steps},
        "changed": _changed,
    }
    return environment


def _worst(row: Row) -> int:
    """Rank of the worst severity that was found."""
    return min((severity.rank for severity, count in row.by_severity.items() if count), default=_NO_FINDING)


def _changed(one: Difference | None, kind: str) -> str:
    """How many findings of that kind; a repository that was compared and is no different has no entry."""
    if one is None:
        return "0"
    return str(one.count(kind)) if one.state == "compared" else "–"


def _ranks(rows: Sequence[Row], faults: Mapping[str, Sequence[Fault]]) -> Markup:
    """JSON: the places in the table, from 1, of the repositories in which a rule fails."""
    found: dict[str, list[int]] = defaultdict(list)
    for rank, row in enumerate(rows, 1):
        for rule in dict.fromkeys(fault.rule for fault in faults.get(row.folder, ())):
            found[rule].append(rank)
    text = json.dumps(found, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _spread_label(spread: Sequence[int]) -> str:
    parts = [f"{10 * tenth} to {100 if tenth == 9 else 10 * tenth + 9} %: {n}" for tenth, n in enumerate(spread) if n]
    return f"{plural(sum(spread), 'repository', 'repositories')} by readiness. {', '.join(parts)}"


def _groups(rows: Iterable[Row]) -> list[Group]:
    """By owner, least ready first."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.owner].append(row)
    groups = [Group(owner, len(theirs), by_step(theirs)) for owner, theirs in found.items()]
    return sorted(groups, key=lambda group: (group.readiness, group.owner))


def _below(rows: Iterable[Row]) -> dict[int, int]:
    """Repositories of which a step is below half."""
    counts = dict.fromkeys(STEP_NAMES, 0)
    for row in rows:
        for score in row.steps:
            counts[score.step] += score.readiness is not None and score.readiness < 50
    return counts


def _by_repository(breaches: Iterable[Breach]) -> list[tuple[str, str, list[str]]]:
    """Name, folder and what is broken, in the order of the breaches."""
    found: dict[str, tuple[str, str, list[str]]] = {}
    for breach in breaches:
        found.setdefault(breach.folder, (breach.repository, breach.folder, []))[2].append(breach.text)
    return list(found.values())
