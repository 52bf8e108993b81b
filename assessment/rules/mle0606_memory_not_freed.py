"""M6-06: Keras models are built in a loop and never cleared."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_MADE = (
    "*keras.Sequential()", "*keras.models.Sequential()", "*keras.Model()", "*keras.models.Model()",
    "*keras.applications.*()", "*keras.models.clone_model()", "*keras.engine.*.Model()",
)  # fmt: skip
_FREED = (".clear_session", ".reset_default_graph", "gc.collect")


@rule(
    id="MLE0606",
    name="memory-not-freed",
    step=6,
    severity=MEDIUM,
    title="A Keras model is built in every round of a loop and never freed",
    why="Each model stays in the global graph: memory and the time for each round grow until the process dies.",
    remedy="Call keras.backend.clear_session() at the start of each round, or run each round in its own process.",
    source="22 ML code smells: memory not freed",
    applies=lambda repo: repo.uses("keras", "tensorflow"),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    for call in repo.calls("*.fit", "*.fit_generator", tests=False):
        built = _built_in_loop(repo, call)
        if built is not None and not any(c.name.endswith(_FREED) for c in call.module.calls):
            sites.append(built)
    for group in per_file(dict.fromkeys(sites)):
        yield Hit(group)


def _built_in_loop(repo: Repo, fit: Call) -> Site | None:
    """Where the fitted model is made, if that is in the same loop as the fit."""
    from ml_engineer.assessment.repo import matches
    from ml_engineer.assessment.values import origin

    module = fit.module
    receiver = fit.node.func.value if isinstance(fit.node.func, ast.Attribute) else None
    loop = module.enclosing(fit.node, ast.For, ast.While)
    if not isinstance(receiver, ast.Name) or loop is None:
        return None
    if not matches(origin(repo, module.resolve(receiver)), *_MADE):
        return None
    value = module.value(receiver)
    if isinstance(value, ast.Call) and module.enclosing(value, ast.For, ast.While) is loop:
        return module.site(value)
    return None
