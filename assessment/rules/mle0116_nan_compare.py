"""M1-16, first part: a comparison with NaN, which never holds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

_NANS = frozenset({"numpy.nan", "numpy.NaN", "numpy.NAN", "math.nan", "pandas.NA", "pandas.NaT", "torch.nan"})


@rule(
    id="MLE0116",
    name="nan-compare",
    step=1,
    severity=MEDIUM,
    title="Comparison with NaN",
    why="NaN equals nothing, not even itself: the comparison finds no missing value, and the rows stay as they are.",
    remedy="Use isna(), notna(), numpy.isnan or math.isnan.",
    source="Zhang et al., code smells for ML (2022); Sonar S6725",
    applies=lambda repo: repo.uses("numpy", "pandas", "math", "torch"),
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.modules:
        if "test" in module.file.roles or not _mentions_nan(module):
            continue
        sites: list[Site] = []
        for node in module.nodes(ast.Compare):
            if all(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                if any(_is_nan(module, side) for side in [node.left, *node.comparators]):
                    sites.append(module.site(node))
        if sites:
            sites.sort(key=lambda site: (site.cell or 0, site.line))
            yield Hit(sites)


def _mentions_nan(module: Module) -> bool:
    data = module.file.data
    return any(word in data for word in (b"nan", b"NaN", b"NAN", b".NA"))


def _is_nan(module: Module, node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        named = module.literal(node.args[0]) if node.args else None
        return module.resolve(node.func) == "float" and isinstance(named, str) and named.lower() == "nan"
    return isinstance(node, ast.Attribute | ast.Name) and module.resolve(node) in _NANS
