"""M1-10, second half: one figure for everyone, none for groups of rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_SLICES = re.compile(
    r"slice_?(metric|eval|score|fn|function)|slicing|subgroup|per_(class|group|segment)|by_(group|segment|class)|"
    r"metricframe|fairlearn|classification_report|class_report|group_metric|segment",
    re.I,
)


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import judged_at

    return judged_at(repo) is not None and not repo.dependencies.is_library


@rule(
    id="MLE0110",
    part="slices",
    name="no-slice-metrics",
    step=1,
    severity=LOW,
    title="Quality is not looked at by groups of rows",
    why="A good average can hide that the model fails for one region, product or group of people.",
    remedy="Compute the metric for each class and each group that matters (groupby on the test rows).",
    source="ML Test Score, Model 6",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.learning import train_entries, words

    entries = sorted(
        train_entries(repo), key=lambda entry: (entry.module.is_notebook, entry.site.path, entry.site.line)
    )
    modules = [m for m in repo.modules if "test" not in m.file.roles]
    if not any(_SLICES.search(word) for module in modules for word in [*words(module), module.path]):
        yield Hit(
            [
                repo.missing(
                    entries[0].site, ("classification_report", "per-group metric", "MetricFrame", "slice"), modules
                )
            ]
        )
