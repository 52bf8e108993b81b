"""M3-11: writes that change a copy, results that are thrown away, loops over rows; only on known DataFrames."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.reachable import imports_any
from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_FRAME = re.compile(
    r"pandas\.(read_(csv|excel|parquet|json|sql\w*|table|feather|fwf|html|hdf|pickle|gbq|orc|stata|sas)|DataFrame(\.from_\w+)?|"
    r"concat|merge|get_dummies|json_normalize|pivot_table|melt)\(\)(\[\])?"
)
_KEEPS = re.compile(
    r"(\.(drop|dropna|fillna|drop_duplicates|rename|reset_index|set_index|sort_values|sort_index|copy|replace|astype|assign|"
    r"merge|join|query|head|tail|sample|append|reindex|melt|pivot|pivot_table|ffill|bfill|interpolate|transform|"
    r"filter|convert_dtypes|infer_objects|select_dtypes|to_frame|round|clip|agg|T|loc|iloc)(\(\))?(\[\])?)*"
)
# Methods that give a changed copy: as a statement of its own such a call does nothing.
_RESULTS = frozenset(
    "drop dropna fillna drop_duplicates rename reset_index set_index sort_values sort_index replace astype assign "
    "ffill bfill interpolate reindex clip round convert_dtypes".split()
)


def _uses_pandas(repo: Repo) -> bool:
    return repo.uses("pandas")


_TRANSFORM = re.compile(r"sklearn\.(preprocessing|impute|decomposition|feature_\w+)\.\w+\(\)\.(fit_)?transform")
_NO_COLUMN = frozenset("loc iloc at iat ix values columns index attrs T flags style iloc shape dtypes plot".split())


@rule(
    id="MLE0311",
    name="pandas-misuse",
    step=3,
    severity=MEDIUM,
    title="Chained assignment changes a copy, not the table",
    why="The first selection gives a copy, so that the new values may never reach the table that is used afterwards.",
    remedy="Write through one selection: `df.loc[rows, column] = value`.",
    source="smells paper; Sonar S6734",
    applies=_uses_pandas,
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.modules:
        if "test" in module.file.roles or not imports_any(repo, module, "pandas"):
            continue
        chained = list(_chained(repo, module))
        if repo.dependencies.may_be_at_least("pandas", "3.0", module.path) is not False:
            chained += [call.site() for call in module.calls if _changes_column_in_place(module, call)]
        if chained:
            yield Hit(chained, anchor=f"{module.path}\0chained")
        dropped = [call for call in module.calls if _is_dropped(module, call)]
        if dropped:
            yield Hit(
                [call.site() for call in dropped],
                title=f"Result of `{dropped[0].name.rpartition('.')[2]}` is thrown away",
                why="The method gives a changed copy and leaves the table as it was, so that the line does nothing.",
                remedy="Assign the result: `df = df.method(...)`.",
                anchor=f"{module.path}\0dropped",
            )
        unused = [call for call in module.calls if _is_unused_transform(module, call)]
        if unused:
            yield Hit(
                [call.site() for call in unused],
                title="Result of `transform` is thrown away",
                why="The transformer gives a changed copy: the model is trained on the values as they were.",
                remedy="Assign the result, or put the transformer into a Pipeline with the model.",
                anchor=f"{module.path}\0transform",
            )
        rows = [call.site() for call in module.calls if _is_row_loop(module, call)]
        if rows:
            yield Hit(
                rows,
                severity=LOW,
                title="Loop over the rows of a table",
                why="Each row becomes a Series of its own: hundreds of times slower than whole columns.",
                remedy="Work on columns, or use `itertuples` where a loop has to stay.",
                anchor=f"{module.path}\0rows",
            )


def is_frame(name: str) -> bool:
    """Whether a resolved name is a DataFrame, made by pandas and passed on by methods that keep it one."""
    match = _FRAME.match(name)
    return match is not None and not match[0].endswith("[]") and _KEEPS.fullmatch(name, match.end()) is not None


def _chained(repo: Repo, module: Module) -> Iterator[Site]:
    written: list[tuple[ast.stmt, ast.expr]] = [(n, target) for n in module.nodes(ast.Assign) for target in n.targets]
    written += [(node, node.target) for node in module.nodes(ast.AugAssign)]
    for node, target in sorted(written, key=lambda item: (item[0].lineno, item[0].col_offset)):
        if isinstance(target, ast.Subscript) and (
            _selects_copy(module, target.value) or _selects_of_parameter(repo, module, target.value)
        ):
            yield module.site(node)


def _selects_of_parameter(repo: Repo, module: Module, node: ast.expr) -> bool:
    """`df[a]` of a parameter that every call of the function gives a known frame."""
    from ml_engineer.assessment.dataflow import argument_for, callers

    scope = module.scope_of(node)
    if scope is None or not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        return False
    name = node.value.id
    if name not in {parameter.arg for parameter in scope.parameters}:
        return False
    given = [(call.module, argument_for(scope, call, name)) for call in callers(repo, scope)]
    return bool(given) and all(value is not None and is_frame(where.resolve(value)) for where, value in given)


def _changes_column_in_place(module: Module, call: Call) -> bool:
    """`df[column].fillna(0, inplace=True)`: since pandas 3 that changes the selected column and not the table."""
    owner = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
    if not isinstance(owner, ast.Subscript) or call.name.rpartition(".")[2] not in _RESULTS:
        return False
    inplace = call.keyword("inplace")
    return isinstance(inplace, ast.Constant) and inplace.value is True and _selects_copy(module, owner)


def _selects_copy(module: Module, node: ast.expr) -> bool:
    """`df[a]`, `df[a].loc`, `df.a` or `df.loc[a]` of a known frame, to which a second selection is applied."""
    if isinstance(node, ast.Attribute) and node.attr in ("loc", "iloc") and isinstance(node.value, ast.Subscript):
        return not isinstance(node.value.value, ast.Attribute) and _selects_copy(module, node.value)
    if isinstance(node, ast.Attribute):
        return node.attr not in _NO_COLUMN and is_frame(module.resolve(node.value))
    if not isinstance(node, ast.Subscript):
        return False
    inner = node.value
    if isinstance(inner, ast.Attribute) and inner.attr in ("loc", "iloc"):
        inner = inner.value
    if isinstance(inner, ast.Subscript):
        return False
    return is_frame(module.resolve(inner))


def _is_dropped(module: Module, call: Call) -> bool:
    owner, _, method = call.name.rpartition(".")
    if method not in _RESULTS or not is_frame(owner):
        return False
    statement = module.parent(call.node)
    if not isinstance(statement, ast.Expr) or _is_inplace(call):
        return False
    return not _is_shown(module, statement)


def _is_unused_transform(module: Module, call: Call) -> bool:
    statement = module.parent(call.node)
    if not isinstance(statement, ast.Expr) or not _TRANSFORM.fullmatch(call.name):
        return False
    return not _is_shown(module, statement)


def _is_inplace(call: Call) -> bool:
    given = call.keyword("inplace")
    return call.has_unpacked_keywords or (
        given is not None and not (isinstance(given, ast.Constant) and given.value is False)
    )


def _is_shown(module: Module, statement: ast.Expr) -> bool:
    """Whether a notebook prints the value: it is the last statement of its cell."""
    cell = module.source.cell_at(statement.lineno)
    if cell is None:
        return False
    below = (s for s in module.tree.body if s.lineno > statement.lineno)
    following = next(below, None)
    return following is None or module.source.cell_at(following.lineno) is not cell


def _is_row_loop(module: Module, call: Call) -> bool:
    if not call.name.endswith(".iterrows"):
        return False
    parent = module.parent(call.node)
    looped = isinstance(parent, ast.For | ast.comprehension) or (
        isinstance(parent, ast.Call) and isinstance(module.parent(parent), ast.For | ast.comprehension)
    )
    return looped and (is_frame(call.name.removesuffix(".iterrows")) or not call.name.startswith("?()"))
