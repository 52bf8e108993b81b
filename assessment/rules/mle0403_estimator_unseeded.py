"""M4-03: estimators of scikit-learn that draw at random and are given no random_state."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_STOCHASTIC = tuple(
    f"sklearn.*.{name}"
    for name in (
        "RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor",
        "GradientBoostingClassifier", "GradientBoostingRegressor", "DecisionTreeClassifier", "DecisionTreeRegressor",
        "MLPClassifier", "MLPRegressor", "SGDClassifier", "SGDRegressor", "KMeans", "MiniBatchKMeans",
        "BaggingClassifier", "BaggingRegressor", "AdaBoostClassifier", "AdaBoostRegressor", "IsolationForest",
        "RandomizedSearchCV", "HalvingRandomSearchCV", "Perceptron", "PassiveAggressiveClassifier", "GaussianMixture",
        "TruncatedSVD", "LatentDirichletAllocation", "TSNE",
    )
)  # fmt: skip


@rule(
    id="MLE0403",
    name="estimator-unseeded",
    step=4,
    severity=LOW,
    title="Estimators draw at random without a seed",
    why="The same data gives another model each time, so a change of the score may be mere luck.",
    remedy="Pass random_state= to the estimators and searches.",
    source="dslinter W5509",
    applies=lambda repo: any(True for _ in repo.calls(*_STOCHASTIC, tests=False)),
)
def check(repo: Repo) -> Iterator[Hit]:
    by_file: dict[str, list[Site]] = {}
    for call in repo.calls(*_STOCHASTIC, tests=False):
        seed = call.keyword("random_state")
        unseeded = seed is None or (isinstance(seed, ast.Constant) and seed.value is None)
        if unseeded and not call.has_unpacked_keywords and not _seeded_in_grid(call):
            by_file.setdefault(call.module.path, []).append(call.site())
    for path, sites in by_file.items():
        yield Hit(sites, anchor=path)


def _seeded_in_grid(call: Call) -> bool:
    """Whether the module sets random_state later, by set_params or in a grid of parameters."""
    return (
        bool(re.search(rb"random_state['\"\\]", call.module.file.data)) or "numpy.random.seed" in call.module.call_names
    )
