"""M1-07: the column that is to be predicted is still among the features."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeGuard

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.learning import BOOSTER_SETS
from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

# Methods after which a frame still has all its columns.
_KEEPING = frozenset({
    "copy", "dropna", "fillna", "sample", "reset_index", "astype", "to_numpy", "drop_duplicates", "sort_values", "head",
    "fit_transform", "transform", "replace", "interpolate", "round",
})  # fmt: skip
_SELECTORS = {
    "ColumnTransformer", "make_column_transformer", "ColumnSelector", "DataFrameMapper", "FunctionTransformer",
    "ItemSelector", "DropFeatures",
}  # fmt: skip
_NO_COLUMNS = frozenset("index columns T shape size dtypes iloc loc data target values str dt".split())
_SCALING = ("fit_transform", "transform")


@rule(
    id="MLE0107",
    name="target-in-features",
    step=1,
    severity=HIGH,
    title="The target is among the features",
    why="The model reads the answer from its input: the score is perfect here and the model is useless in production.",
    remedy="Drop the target column from the features, or choose the feature columns by name.",
    source="Yang et al., data leakage in notebooks (ASE 2022)",
    applies=lambda repo: any(True for _ in repo.calls("*.fit", "*train_test_split", *BOOSTER_SETS, tests=False)),
)
def check(repo: Repo) -> Iterator[Hit]:
    found: dict[tuple[str, str], dict[tuple[str, str], Site]] = {}
    fits = ("*.fit", "*train_test_split", "sklearn.model_selection.cross_val_*")
    for call in repo.calls(*fits, *BOOSTER_SETS, tests=False):
        first = 1 if ".cross_val_" in call.name else 0
        names = ("data", "label") if call.name in BOOSTER_SETS else ("X", "y")
        features, target = call.argument(first, names[0]), call.argument(first + 1, names[1])
        if features is None or target is None:
            continue
        column = _column(call.module, target)
        if column is None:
            continue
        frame, name = column
        if _still_holds(call.module, features, frame, name) and not _chosen_later(call):
            sites = found.setdefault((call.module.path, name), {})
            sites.setdefault((call.scope.qualname if call.scope else "", frame.id), call.site())
    for (_, name), sites in found.items():
        yield Hit(list(sites.values()), title=f"The target {name!r} is among the features")


def _chosen_later(call: Call) -> bool:
    """Whether columns are chosen after this call: in the halves of a split, or by a step of a pipeline."""
    module = call.module
    if _SELECTORS & {name.rpartition(".")[2] for name in module.call_names}:
        return True
    statement = module.statement_of(call.node)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    halves = {n.id for target in targets for n in walk(target) if isinstance(n, ast.Name)}
    for node in module.nodes(ast.Call, ast.Subscript, ast.Delete):
        if getattr(node, "lineno", 0) <= call.node.lineno:
            continue
        match node:
            case ast.Call(
                func=ast.Attribute(attr="drop" | "pop" | "filter" | "select_dtypes", value=ast.Name(id=name))
            ):
                if name in halves:
                    return True
            case ast.Subscript(value=ast.Name(id=name), slice=ast.List() | ast.Name()) if name in halves:
                return True
            case ast.Subscript(value=ast.Attribute(attr="loc" | "iloc", value=ast.Name(id=name))) if name in halves:
                return True
            case ast.Delete(targets=targets) if any(n.id in halves for t in targets for n in walk(t) if _is_name(n)):
                return True
    return False


def _is_name(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)


def _column(module: Module, node: ast.expr) -> tuple[ast.Name, str] | None:
    """The frame and the column that a target is: `df["y"]`, `df.y.values`, `df[["y"]]`."""
    for _ in range(6):
        node = module.value(node) or node
        match node:
            case ast.Attribute(attr="values", value=inner) | ast.Call(func=ast.Attribute(attr="to_numpy", value=inner)):
                node = inner
            case ast.Call(func=ast.Attribute(attr="ravel" | "astype" | "copy" | "reshape" | "map", value=inner)):
                node = inner
            case ast.Subscript(value=ast.Name() as frame, slice=ast.Constant(value=str(name))):
                return frame, name
            case ast.Subscript(value=ast.Name() as frame, slice=ast.List(elts=[ast.Constant(value=str(name))])):
                return frame, name
            case ast.Attribute(value=ast.Name(id=owner) as frame, attr=name) if (
                owner not in ("self", "cls") and name not in _NO_COLUMNS
            ):
                return frame, name
            case _:
                return None
    return None


def _still_holds(module: Module, node: ast.expr, frame: ast.Name, column: str) -> bool:
    """Whether the features are that frame, with nothing on the way that could have dropped the column."""
    for _ in range(12):
        match node:
            case ast.Name():
                if _same_frame(module, node, frame):
                    return not _removed(module, node, column)
                if _removed(module, node, column):
                    return False
                bound = module.binding(node)
                if bound is None or bound.value is None or bound.suffix:
                    return False
                node = bound.value
            case ast.Attribute(attr="values", value=inner):
                node = inner
            case ast.Call(func=ast.Attribute(attr="drop", value=inner)):
                if not _drops_other_columns(module, node, column):
                    return False
                node = inner
            case ast.Call(func=ast.Attribute(attr=method, value=inner)) if method in _KEEPING:
                if method in _SCALING:
                    if not node.args:
                        return False
                    node = node.args[0]
                else:
                    node = inner
            case _:
                return False
    return False


def _same_frame(module: Module, left: ast.Name, right: ast.Name) -> bool:
    """The same name, and not bound anew between the two uses to something with other columns."""
    return left.id == right.id and module.binding(left) is module.binding(right)


def _drops_other_columns(module: Module, call: ast.Call, column: str) -> bool:
    """Whether a `drop` certainly leaves the column: its labels are literals and the column is not among them."""
    labels = [k.value for k in call.keywords if k.arg in ("labels", "columns")] or call.args[:1]
    if not labels or any(k.arg == "index" for k in call.keywords):
        return False
    if isinstance(labels[0], ast.Name) and _grows(module, labels[0].id):
        return False
    value = module.literal(labels[0])
    names = value if isinstance(value, list | tuple) else [value]
    return bool(names) and all(isinstance(name, str) for name in names) and column not in names


def _grows(module: Module, name: str) -> bool:
    """Whether something is added to a list after it was written: `id_cols.append("label")`."""
    for node in module.nodes(ast.Call, ast.AugAssign):
        match node:
            case ast.Call(func=ast.Attribute(attr="append" | "extend" | "insert", value=ast.Name(id=owner))):
                if owner == name:
                    return True
            case ast.AugAssign(target=ast.Name(id=owner)) if owner == name:
                return True
    return False


def _removed(module: Module, name: ast.Name, column: str) -> bool:
    """Whether the column is taken out in place before this use: pop, del, drop(inplace=True), loc, columns = …"""
    scope = module.scope_of(name)
    body = scope.node if scope is not None else module.tree
    for node in walk(body):
        if getattr(node, "lineno", name.lineno + 1) > name.lineno:
            continue
        match node:
            case ast.Call(func=ast.Attribute(attr="pop", value=ast.Name(id=owner))) if owner == name.id:
                return True
            case ast.Delete() if any(name.id in ast.unparse(target) for target in node.targets):
                return True
            case ast.Call(func=ast.Attribute(attr="drop", value=ast.Name(id=owner))) if owner == name.id:
                if any(k.arg == "inplace" for k in node.keywords) and not _drops_other_columns(module, node, column):
                    return True
            case ast.Assign(targets=[ast.Attribute(attr="columns", value=ast.Name(id=owner))]) if owner == name.id:
                return True
    return False
