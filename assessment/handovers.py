"""Tables that one program of the repository writes and another reads: the file between two steps of a pipeline.

`handed_over` leads from a read to what was written there, so that a walk over a value can go on in the step before.
Two places are the same where both are the same literal path, or the same entry of a configuration
(`params["featurize"]["path"]`); anything less certain is no match.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import values
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.dataflow import Step
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_READS = (
    "pandas.read_csv", "pandas.read_parquet", "pandas.read_feather", "pandas.read_pickle", "pandas.read_hdf",
    "pandas.read_excel", "polars.read_*",
)  # fmt: skip
_WRITES = (
    "*.to_csv", "*.to_parquet", "*.to_feather", "*.to_pickle", "*.to_hdf", "*.to_excel", "*.write_csv",
    "*.write_parquet",
)  # fmt: skip


def handed_over(repo: Repo, step: Step) -> Iterator[tuple[Module, ast.expr]]:
    """The tables that other modules, or lines above, write to the place that a step reads from; none where it is no
    read."""
    if not isinstance(step.node, ast.Call) or not step.node.args or not matches(step.name, *_READS):
        return
    place = _place(repo, step.module, step.node.args[0])
    for module, table in _written(repo).get(place, ()) if place else ():
        if module is not step.module or table.lineno < step.node.lineno:
            yield module, table


def writers_of(repo: Repo, read: Call) -> list[Module]:
    """The other modules that write the table which a call reads."""
    if not read.node.args or not matches(read.name, *_READS):
        return []
    place = _place(repo, read.module, read.node.args[0])
    return [module for module, _ in _written(repo).get(place, ()) if module is not read.module] if place else []


def _written(repo: Repo) -> dict[str, list[tuple[Module, ast.expr]]]:
    """Place -> tables that are written there. Gathered once."""
    found: dict[str, list[tuple[Module, ast.expr]]] | None = repo.__dict__.get("_written_tables")
    if found is None:
        found = {}
        for call in repo.calls(*_WRITES, tests=False):
            if call.node.args and isinstance(call.node.func, ast.Attribute):
                place = _place(repo, call.module, call.node.args[0])
                if place:
                    found.setdefault(place, []).append((call.module, call.node.func.value))
        repo.__dict__["_written_tables"] = found
    return found


def _place(repo: Repo, module: Module, node: ast.expr) -> str:
    """A name for the file behind an expression, the same in each module; empty where there is no sure one."""
    known = values.known_text(repo, module, node)
    if known is not None:
        path = posixpath.normpath(known.replace("\\", "/"))
        while path.startswith("../"):
            path = path.removeprefix("../")
        return path
    entry = module.value(node)
    keys, inner = 0, entry
    while isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant):
        keys += isinstance(inner.slice.value, str)
        inner = inner.value
    return ast.unparse(entry) if keys >= 2 and isinstance(inner, ast.Name) and entry is not None else ""
