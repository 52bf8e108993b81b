"""M4-15: an estimator that compares distances or gradients is fed columns of different scale."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_SENSITIVE = re.compile(
    r"sklearn\..*\.(SVC|SVR|LinearSVC|LinearSVR|NuSVC|KNeighbors\w+|MLPClassifier|MLPRegressor|SGDClassifier|"
    r"SGDRegressor|PCA|Lasso|ElasticNet)\(\)\.(fit|fit_transform)$"
)
_SCALED = re.compile(
    r"Scaler|Normaliz|normaliz|scale|zscore|whiten|standardi[sz]|Vectorizer|QuantileTransformer|PowerTransformer|\.std\(|"
    r"/ ?255|embedding|encode\(|log1p|make_(classification|blobs|moons|circles|regression|gaussian)|OneHot|"
    r"ColumnTransformer|load_(digits|iris)|preprocess",
    re.I,
)


@rule(
    id="MLE0415",
    name="unscaled",
    step=4,
    severity=LOW,
    title="A scale-sensitive estimator is fed unscaled columns",
    why="The column with the largest numbers decides distances and penalties, whatever it means.",
    remedy="Put a StandardScaler before it, in one Pipeline.",
    source="Zhang et al., code smells for ML (2022); dslinter W5505",
    applies=lambda repo: any(True for _ in _fits(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    by_file: dict[str, list[Site]] = {}
    for call in _fits(repo):
        if not _is_scaled(repo, call):
            by_file.setdefault(call.module.path, []).append(call.site())
    for sites in by_file.values():
        yield Hit(sites)


def _fits(repo: Repo) -> Iterator[Call]:
    for call in repo.calls("sklearn.*.fit", "sklearn.*.fit_transform", tests=False):
        if _SENSITIVE.match(call.name) and call.node.args:
            yield call


def _is_scaled(repo: Repo, call: Call) -> bool:
    """Whether anything in the module, or in what its data comes from, scales."""
    from ml_engineer.assessment.dataflow import sources

    if _mentions(call.module):
        return True
    steps = sources(repo, call.module, call.node.args[0])
    return any(step.module is not call.module and _mentions(step.module) for step in steps)


def _mentions(module: Module) -> bool:
    found: bool | None = module.__dict__.get("_mentions_scaling")
    if found is None:
        found = bool(_SCALED.search("\n".join(ast.unparse(node) for node in module.tree.body)))
        module.__dict__["_mentions_scaling"] = found
    return found
