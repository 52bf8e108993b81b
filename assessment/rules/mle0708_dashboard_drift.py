"""M7-08, first half: a dashboard or an alert asks for a metric that the code does not emit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


_SERIES = re.compile(r"_(total|bucket|sum|count|created|info)$")


@rule(
    id="MLE0708",
    name="dashboard-drift",
    step=7,
    severity=MEDIUM,
    title="A dashboard or alert asks for a metric that nothing emits",
    why="The panel stays empty and the alert never fires: the thing it was to watch is not watched.",
    remedy="Use the name that the code exposes, or expose the metric; compare the two in a test.",
    source="Prometheus documentation: metric naming",
    applies=lambda repo: bool(_asked(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.metrics import emitted, is_foreign

    known = emitted(repo)
    if known is None or (not known.sites and repo.uses("prometheus_client")):
        return  # metrics are made in a way that cannot be followed
    unknown: dict[str, dict[str, list[Site]]] = {}
    for name, site in _asked(repo):
        if not is_foreign(name) and not known.has(name) and not _mentioned(repo, name):
            unknown.setdefault(site.path, {}).setdefault(name, []).append(site)
    for path, names in unknown.items():
        sites = [site for places in names.values() for site in places]
        shown = ", ".join(list(names)[:4]) + (" and others" if len(names) > 4 else "")
        yield Hit(
            list(dict.fromkeys(sites)),
            confidence="high" if known.sites else "medium",
            title=f"{path.rsplit('/', 1)[-1]} asks for {shown}, which the code does not emit",
            anchor=path,
        )


def _mentioned(repo: Repo, name: str) -> bool:
    """Whether the name stands in the code, for metrics that are made in a way that is not followed."""
    base = _SERIES.sub("", name)
    return any(base.encode() in module.file.data for module in repo.all_modules if "test" not in module.file.roles)


def _asked(repo: Repo) -> list[tuple[str, Site]]:
    from ml_engineer.assessment.metrics import asked

    found: list[tuple[str, Site]] | None = repo.__dict__.get("_asked_metrics")
    if found is None:
        found = repo.__dict__["_asked_metrics"] = asked(repo)
    return found
