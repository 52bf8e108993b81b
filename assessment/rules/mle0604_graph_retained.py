"""M6-04: losses are summed up with the graph that made them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_CUTS = frozenset({"item", "detach", "data", "cpu", "numpy", "tolist"})


@rule(
    id="MLE0604",
    name="graph-retained",
    step=6,
    severity=HIGH,
    title="A running total keeps the computation graph of every step",
    why="Each summed loss holds the graph that made it: memory grows with every step until the run dies.",
    remedy="Add loss.item() (or loss.detach()) to the total.",
    source="PyTorch FAQ, memory",
    applies=lambda repo: repo.uses("torch") and any(True for _ in repo.calls("*.backward", tests=False)),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    for call in repo.calls("*.backward", tests=False):
        sites += _retained(call)
    for group in per_file(dict.fromkeys(sites)):
        yield Hit(group)


def _retained(call: Call) -> Iterator[Site]:
    """Statements of the loop around a backward pass that add the same loss to something that outlives the step."""
    module = call.module
    loss = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
    loop = module.enclosing(call.node, ast.For, ast.While)
    if not isinstance(loss, ast.Name) or loop is None:
        return
    scope = call.scope.node if call.scope else module.tree
    for node in walk(loop):
        total = _sum_target(node)
        if total is not None and total != loss.id and _keeps(module, node, loss.id):
            if not (
                _is_differentiated(scope, total)
                or _is_reset(module, node, total)
                or _is_one_step(module, scope, loop, total)
            ):
                yield module.site(node)


def _sum_target(node: ast.AST) -> str | None:
    """The name that a statement adds to: `total += x` or `total = total + x`."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        return ast.unparse(node.target)
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.Add):
        target = ast.unparse(node.targets[0])
        return target if target in (ast.unparse(node.value.left), ast.unparse(node.value.right)) else None
    return None


def _keeps(module: Module, node: ast.AST, loss: str) -> bool:
    """Whether the added value holds the loss itself, not a number taken out of it."""
    value = node.value if isinstance(node, ast.AugAssign | ast.Assign) else None
    for inner in walk(value) if value is not None else ():
        if isinstance(inner, ast.Name) and inner.id == loss:
            parent = module.parent(inner)
            if isinstance(parent, ast.Attribute) and parent.attr in _CUTS:
                continue
            if isinstance(parent, ast.Call) and inner in parent.args:  # float(loss), reduce(loss): a value of its own
                continue
            return not isinstance(parent, ast.Subscript | ast.Attribute)
    return False


def _is_differentiated(scope: ast.AST, total: str) -> bool:
    """Whether the total is what the backward pass, or a later one, starts from."""
    return any(
        isinstance(node, ast.Attribute) and node.attr == "backward" and ast.unparse(node.value) == total
        for node in walk(scope)
    )


def _is_reset(module: Module, node: ast.AST, total: str) -> bool:
    """Whether the name is bound anew in the same loop body, so that nothing outlives the step; or, where the loop only
    counts some passes over one batch, in the body of the loop around it."""
    loop = module.enclosing(node, ast.For, ast.While)
    if isinstance(loop, ast.For) and ast.unparse(loop.iter).startswith("range("):
        outer = module.enclosing(loop, ast.For, ast.While)
        if outer is not None and _is_bound_in(module, outer, node, total) and _gives_batches(outer):
            return True
    return loop is not None and _is_bound_in(module, loop, node, total)


def _is_one_step(module: Module, scope: ast.AST, loop: ast.AST, total: str) -> bool:
    """Whether a function counts a few passes, the one optimiser step comes after them and the total goes with the
    return: the graphs were freed by their backward passes, and the next step begins with a new total."""
    if not isinstance(scope, ast.FunctionDef) or _gives_batches(loop):
        return False
    if module.enclosing(loop, ast.For, ast.While) is not None or "." in total:
        return False
    steps = [n for n in walk(scope) if isinstance(n, ast.Attribute) and n.attr == "step"]
    inside = {id(n) for n in walk(loop)}
    return bool(steps) and not any(id(n) in inside for n in steps)


def _gives_batches(loop: ast.AST) -> bool:
    """Whether a loop goes over the batches of a data set, and not over epochs."""
    return isinstance(loop, ast.For) and not re.match(r"range\(|itertools\.count", ast.unparse(loop.iter))


def _is_bound_in(module: Module, loop: ast.AST, node: ast.AST, total: str) -> bool:
    return any(
        isinstance(other, ast.Assign)
        and other is not node
        and any(ast.unparse(target) == total for target in other.targets)
        and module.enclosing(other, ast.For, ast.While) is loop
        and module.enclosing(other, ast.If) is None
        for other in walk(loop)
    )
