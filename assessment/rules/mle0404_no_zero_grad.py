"""M4-04: gradients of one batch are added to those of the batches before."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.loops import Loop
    from ml_engineer.assessment.repo import Repo


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.loops import torch_loops

    return bool(torch_loops(repo))


@rule(
    id="MLE0404",
    name="no-zero-grad",
    step=4,
    severity=HIGH,
    title="Gradients are never set to zero in the training loop",
    why="backward() adds to the gradients that are there: each step follows the sum of all batches so far.",
    remedy="Call optimizer.zero_grad() before backward() in every step (or after step()).",
    source="Zhang et al., code smells for ML (2022); PyTorch documentation",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.loops import has_constant_data, optimizer_steps, torch_loops

    for loop in torch_loops(repo):
        steps = [step for step in optimizer_steps(loop.module, loop.node) if not _same_owner(step, loop.backward.node)]
        if steps and not has_constant_data(loop.backward) and not _cleared(repo, loop):
            yield Hit([loop.backward.site(), loop.module.site(steps[0])])


def _same_owner(step: ast.Call, backward: ast.Call) -> bool:
    """`engine.backward(loss); engine.step()`: the engine sets its gradients to zero itself."""
    owners = [c.func.value for c in (step, backward) if isinstance(c.func, ast.Attribute)]
    return len(owners) == 2 and ast.dump(owners[0]) == ast.dump(owners[1])


def _cleared(repo: Repo, loop: Loop) -> bool:
    """In the loop, in what it calls, or around the call of the function that the step stands in."""
    from ml_engineer.assessment.loops import called_from, clears_gradients, innermost_loop, outermost_loop

    if clears_gradients(repo, loop.module, loop.node):
        return True
    if isinstance(loop.node, ast.FunctionDef | ast.AsyncFunctionDef):
        for call in called_from(repo, loop.scope):
            around = call.scope.node if call.scope is not None else call.module.tree
            if clears_gradients(repo, call.module, around):
                return True
        return not called_from(repo, loop.scope)
    outer = outermost_loop(loop.module, loop.backward.node)
    if outer is not None and outer is not loop.node and clears_gradients(repo, loop.module, outer):
        # cleared once for the outer loop: wrong only where every turn of the inner one makes a step of its own
        conditional = loop.module.enclosing(loop.backward.node, ast.If)
        return conditional is not None or innermost_loop(loop.module, loop.backward.node) is not loop.node
    return False
