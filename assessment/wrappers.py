"""Functions that only pass on: `def load_pickle(path): return pickle.load(open(path, "rb"))`.

What is loaded or written by such a wrapper is decided where it is called, so that is where a finding belongs.
"""

from __future__ import annotations

import ast
from collections.abc import Container
from typing import TYPE_CHECKING

from ml_engineer.assessment.dataflow import callers
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.module import Call, Function

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_MAX_WRAPPERS = 3


def deciding_calls(repo: Repo, call: Call, within: Container[Function] | None = None) -> list[Call]:
    """The calls that decide what `call` loads or writes: itself, or the calls of the wrappers around it.

    `within`: only callers that stand in these functions, where there are some.
    """
    found = [call]
    for _ in range(_MAX_WRAPPERS):
        outer: list[Call] = []
        for inner in found:
            above = _callers(repo, inner, within) if passes_on(inner) else []
            outer += above or [inner]
        if outer == found:
            break
        found = outer
    return list(dict.fromkeys(found))


def _callers(repo: Repo, call: Call, within: Container[Function] | None) -> list[Call]:
    assert call.scope is not None, "what passes on a parameter stands in a function"
    above = [c for c in callers(repo, call.scope) if "test" not in c.module.file.roles]
    if within is None:
        return above
    return [c for c in above if c.scope is not None and c.scope in within] or above


def passes_on(call: Call) -> bool:
    """Whether every name in the call's arguments leads back to a parameter of the function around it."""
    if call.scope is None:
        return False
    parameters = {parameter.arg for parameter in call.scope.parameters} - {"self", "cls"}
    given = [*call.node.args, *(k.value for k in call.node.keywords)]
    named = [_leads_to_parameter(call, node, parameters) for node in given if not isinstance(node, ast.Constant)]
    return bool(named) and all(named)


def _leads_to_parameter(call: Call, node: ast.expr, parameters: set[str]) -> bool:
    for name in walk(node):
        if isinstance(name, ast.Name):
            if name.id in parameters:
                return True
            value = call.module.value(name)
            if value is not None and value is not name:
                if any(isinstance(n, ast.Name) and n.id in parameters for n in walk(value)):
                    return True
    return False
