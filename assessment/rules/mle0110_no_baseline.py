"""M1-10, first half: no trivial model to compare with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_BASELINE = re.compile(
    r"baseline|dummy|naive|majority|most_frequent|persistence|random_guess|zero_?rule|seasonal_naive", re.I
)


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import judged_at

    return judged_at(repo) is not None and not repo.dependencies.is_library


@rule(
    id="MLE0110",
    name="no-baseline",
    step=1,
    severity=LOW,
    title="No trivial baseline to compare the model with",
    why="Without a constant or naive prediction beside it, nobody can say whether the model is worth its cost.",
    remedy="Score a DummyClassifier or DummyRegressor (or last value, most frequent class) on the same test rows.",
    source="ML Test Score, Model 5",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.learning import train_entries, words

    entries = sorted(
        train_entries(repo), key=lambda entry: (entry.module.is_notebook, entry.site.path, entry.site.line)
    )
    modules = [m for m in repo.modules if "test" not in m.file.roles]
    if not any(_BASELINE.search(word) for module in modules for word in [*words(module), module.path]):
        yield Hit([repo.missing(entries[0].site, ("Dummy*", "baseline", "naive"), modules)])
