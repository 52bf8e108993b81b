"""What a program learns from a table by hand, without a transformer: values for gaps, and columns chosen by the target.

    df = df.fillna(df.median())                      the median of every row goes into the gaps
    df = df.drop(columns=weak)                       where `weak` was made of `df.corr()["target"]`

`learned_by_hand` finds these among the steps behind a split, where all rows are still together.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from ml_engineer.assessment.dataflow import Step, root, writes
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.splits import half

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Function, Module
    from ml_engineer.assessment.repo import Repo

Manner = Literal["gaps", "columns"]

_FIGURES = frozenset({"mean", "median", "mode"})
_TARGET = re.compile(r"(^|_)(target|label|outcome|dep|y)(_|$)", re.I)
_MAX_HOPS = 3


def learned_by_hand(repo: Repo, steps: Iterable[Step]) -> Iterator[tuple[Call, Manner]]:
    """Calls that learn from the rows which these steps carry: the filling of gaps, or the correlation that chose."""
    names: dict[Module, dict[str, int]] = {}
    for step in steps:
        node = step.node
        if isinstance(node, ast.Name):
            last = names.setdefault(step.module, {})
            last[node.id] = max(last.get(node.id, 0), node.lineno)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "fillna" and _fills_with_figures(repo, step.module.call_of(node)):
                yield step.module.call_of(node), "gaps"
            elif node.func.attr == "drop":
                for given in [*node.args[:1], *(k.value for k in node.keywords if k.arg in ("columns", "labels"))]:
                    yield from _chosen(step.module, given)
        elif isinstance(node, ast.Subscript):
            yield from _chosen(step.module, node.slice)
    for module, known in names.items():
        for call in module.calls:
            if call.name.endswith(".fillna") and module.literal(call.keyword("inplace")) is True:
                owner = root(call.node)
                if owner is not None and call.node.lineno <= known.get(owner.id, 0) and _fills_with_figures(repo, call):
                    yield call, "gaps"


def _fills_with_figures(repo: Repo, call: Call) -> bool:
    """Whether the gaps get a mean, a median or a mode of rows that no split has parted yet."""
    assert isinstance(call.node.func, ast.Attribute), "fillna is a method"
    value = call.argument(0, "value")
    if value is None or half(repo, call.module, call.node.func.value) is not None:
        return False
    figures = (
        node.func.value
        for part in _behind(call.module, value)
        for node in walk(part)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FIGURES
    )
    return any(half(repo, call.module, table) is None for table in figures)


def _behind(module: Module, node: ast.expr, hops: int = _MAX_HOPS) -> Iterator[ast.expr]:
    """An expression, and what the names in it were set to."""
    yield node
    for name in {n.id: n for n in walk(node) if isinstance(n, ast.Name)}.values() if hops else ():
        value = module.value(name)
        if value is not None and value is not name:
            yield from _behind(module, value, hops - 1)


def _chosen(module: Module, columns: ast.expr) -> Iterator[tuple[Call, Manner]]:
    """The correlation with the target by which a list of columns was made, if any."""
    if not any(name.endswith((".corr", ".corrwith")) for name in module.call_names):
        return
    added = _conditions(module, columns.id, module.scope_of(columns)) if isinstance(columns, ast.Name) else ()
    for part in [*_behind(module, columns), *added]:
        for node in walk(part):
            if isinstance(node, ast.Call) and _asks_the_target(module, node):
                yield module.call_of(node), "columns"
                return


def _conditions(module: Module, name: str, scope: Function | None) -> Iterator[ast.expr]:
    """Tests behind which something is added to a list."""
    for write in writes(module, name, scope):
        for above in module.ancestors(write.value):
            if isinstance(above, ast.If):
                yield above.test
            elif isinstance(above, ast.FunctionDef):
                break


def _asks_the_target(module: Module, call: ast.Call) -> bool:
    """`df[c].corr(df["y"])`, `df.corrwith(y)`, `df.corr()["y"]`: not one column with each of the others."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in ("corr", "corrwith"):
        return False
    if call.args and not isinstance(call.args[0], ast.Constant):
        return _is_one_column(call.args[0])
    above = next(iter(module.ancestors(call)), None)
    return isinstance(above, ast.Subscript) and _is_one_column(above)


def _is_one_column(node: ast.expr) -> bool:
    match node:
        case ast.Subscript(slice=ast.Constant(value=str())):
            return True
        case ast.Subscript(slice=ast.Name(id=name)) | ast.Name(id=name):
            return bool(_TARGET.search(name))
    return False
