"""M1-16, third part: training data is read with guessed types."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_SAID = {"dtype", "usecols", "converters", "schema", "dtypes"}


@rule(
    id="MLE0116",
    part="dtype",
    name="dtype-unset",
    step=1,
    severity=LOW,
    title="Training data is read with guessed column types",
    why="One odd value turns a number column into text, and an unexpected column is taken along without a word.",
    remedy="Give read_csv dtype= and usecols=, or check the frame against a schema right after reading.",
    source="Zhang et al., code smells for ML (2022); Sonar S6740",
    applies=lambda repo: any(True for _ in _reads(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    for call in _reads(repo):
        if not {k.arg for k in call.node.keywords} & _SAID and not call.has_unpacked_keywords:
            if _selects_columns(call):
                continue
            sites.append(call.site())
    if sites:
        sites.sort(key=lambda site: site.path.endswith(".ipynb"))
        yield Hit(sites)


def _reads(repo: Repo) -> Iterator[Call]:
    if repo.uses("pandas"):
        yield from (c for c in repo.closure("train").calls("pandas.read_csv", "pandas.read_table") if _is_code(c))


def _is_code(call: Call) -> bool:
    return "test" not in call.module.file.roles


def _selects_columns(call: Call) -> bool:
    """`pd.read_csv(path)[COLUMNS].astype(TYPES)` says the same."""
    parent = call.module.parent(call.node)
    return isinstance(parent, ast.Subscript) and isinstance(parent.slice, ast.List | ast.Name)
