"""M4-09: a training program prints its figures and keeps none, where the repository otherwise records runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import judged_at

    return judged_at(repo) is not None


@rule(
    id="MLE0409",
    name="metrics-printed",
    step=4,
    severity=MEDIUM,
    title="Figures of quality are only printed",
    why="No later step can read them: neither CI nor a deployment can refuse a model that has become worse.",
    remedy="Write the metrics to a file (metrics.json) or log them to the tracker that the repository already uses.",
    source="ML Test Score, Infrastructure 4",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.learning import entry_closure, train_entries
    from ml_engineer.assessment.tracking import is_tracked, keeps_metrics_in_pipeline, printed, records_runs

    if keeps_metrics_in_pipeline(repo) or not records_runs(repo):
        return  # nothing is recorded at all: that is MLE0408
    sites: list[Site] = []
    for entry in train_entries(repo):
        closure = entry_closure(repo, entry)
        if entry.module.is_notebook or is_tracked(repo, closure.modules):
            continue
        sites.extend(site for site in printed(closure) if site not in sites)
    if sites:
        yield Hit(sites)
