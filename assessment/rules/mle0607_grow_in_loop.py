"""M6-07: an array or frame is grown by copying it in every round of a loop."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_COPIES = (
    "torch.cat", "torch.concat", "torch.vstack", "numpy.append", "numpy.concatenate", "numpy.vstack", "numpy.hstack",
    "pandas.concat", "pandas.*().append", "tensorflow.concat",
)  # fmt: skip
_DECODING = re.compile(r"generate|decode|sampl|beam|rollout", re.I)
_SHORT = 16


@rule(
    id="MLE0607",
    name="grow-in-loop",
    step=6,
    severity=LOW,
    title="A growing array is copied in every round of a loop",
    why="Every round copies all rows so far: the time grows with the square of the number of rows.",
    remedy="Append to a list and stack or concatenate once after the loop.",
    source="Sonar S7708",
    applies=lambda repo: repo.uses("torch", "numpy", "pandas", "tensorflow"),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = [call.site() for call in repo.calls(*_COPIES, tests=False) if _grows(call)]
    if sites:
        yield Hit(sites, anchor="grow")


def _grows(call: Call) -> bool:
    """Whether the call's value replaces one of its own arguments, in a loop that may be long."""
    module = call.module
    loop = module.enclosing(call.node, ast.For, ast.While)
    statement = module.statement_of(call.node)
    if loop is None or not isinstance(statement, ast.Assign) or statement.value is not call.node:
        return False
    if call.scope is not None and _DECODING.search(call.scope.node.name):
        return False
    if isinstance(loop, ast.For) and isinstance(loop.iter, ast.Call) and ast.unparse(loop.iter.func) == "range":
        rounds = module.literal(loop.iter.args[-1]) if loop.iter.args else None
        if isinstance(rounds, int) and rounds <= _SHORT:
            return False
    if isinstance(loop, ast.For) and isinstance(loop.iter, ast.List | ast.Tuple) and len(loop.iter.elts) <= _SHORT:
        return False
    target = ast.unparse(statement.targets[0])
    given = list(call.node.args[:1])
    if isinstance(call.node.func, ast.Attribute) and call.name.endswith("().append"):
        given = [call.node.func.value]
    parts = [part for node in given for part in (node.elts if isinstance(node, ast.List | ast.Tuple) else [node])]
    bound_inside = any(
        isinstance(node, ast.Assign) and node is not statement and any(ast.unparse(t) == target for t in node.targets)
        for node in walk(loop)
    )
    return any(ast.unparse(part) == target for part in parts) and not bound_inside
