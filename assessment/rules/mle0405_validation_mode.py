"""M4-05, second part: validation runs in training mode, or keeps gradients that nobody needs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Function, Module
    from ml_engineer.assessment.repo import Repo

_GIVES = re.compile(r"load|build|make|create|restore|get|prepare|init", re.I)
_GRADIENTS_OFF = ("no_grad", "inference_mode", "set_grad_enabled")
_MODEL = re.compile(
    r"(^|[._])(model|net|network|classifier|clf|encoder|decoder|backbone|resnet|cnn|lstm|bert)\d*(\.module)?$", re.I
)


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.loops import torch_loops

    return bool(torch_loops(repo))


@rule(
    id="MLE0405",
    part="validation",
    name="validation-mode",
    step=4,
    severity=MEDIUM,
    title="Validation runs in training mode",
    why="Dropout and batch statistics stay on: the figure depends on chance and on the batch, and the model changes.",
    remedy="Call model.eval() and open torch.no_grad() around the validation loop, and model.train() afterwards.",
    source="Zhang et al., code smells for ML (2022); Sonar S6982",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.loops import has_mode_layers, torch_loops

    modules = {loop.module for loop in torch_loops(repo)}
    for module in sorted(modules, key=lambda m: m.path):
        training_mode, with_gradients = [], []
        for loop in _validation_loops(repo, module):
            evaluates, gradients_off = _mode_around(repo, module, loop)
            if not evaluates:
                training_mode.append(module.site(loop.iter))
            elif not gradients_off:
                with_gradients.append(module.site(loop.iter))
        if training_mode:
            yield Hit(training_mode, severity=MEDIUM if has_mode_layers(repo) else LOW)
        if with_gradients:
            yield Hit(
                with_gradients,
                title="Validation keeps gradients",
                why="Every validation batch builds a graph for a backward pass that never comes: time and memory.",
                anchor=f"{module.path}\0gradients",
            )


def _validation_loops(repo: Repo, module: Module) -> Iterator[ast.For]:
    """Loops over held-out batches that call a model, themselves or by a helper, and do not train."""
    from ml_engineer.assessment.loops import region
    from ml_engineer.assessment.splits import half_by_name

    for node in module.nodes(ast.For):
        over = module.value(node.iter) or node.iter
        if isinstance(over, ast.Call) and over.args and module.resolve(over.func).endswith("tqdm"):
            over = over.args[0]  # a bar of progress that was made before the loop
        else:
            over = node.iter
        names = [n for n in walk(over) if isinstance(n, ast.Name | ast.Attribute)]
        held_out = any(half_by_name(n) in ("test", "valid") for n in names)
        if not held_out and not (names and _is_given_held_out(repo, module, node)):
            continue
        inner = [n for _, n in region(repo, module, node, depth=1)]
        trains = any(isinstance(n, ast.Attribute) and n.attr in ("backward", "step", "fit") for n in inner)
        if not trains and any(isinstance(n, ast.Call) and _MODEL.search(ast.unparse(n.func)) for n in inner):
            yield node


def _is_given_held_out(repo: Repo, module: Module, loop: ast.For) -> bool:
    """Whether the loop runs over a parameter for which a caller passes held-out batches."""
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.splits import half_by_name

    scope = module.scope_of(loop)
    if scope is None or not isinstance(loop.iter, ast.Name) or loop.iter.id not in {p.arg for p in scope.parameters}:
        return False
    return any(
        isinstance(step.node, ast.Name | ast.Attribute) and half_by_name(step.node) in ("test", "valid")
        for step in sources(repo, module, loop.iter)
    )


def _mode_around(repo: Repo, module: Module, loop: ast.For) -> tuple[bool, bool]:
    """Whether evaluation mode is set and gradients are off: in the function, its decorators, or where it is called."""
    from ml_engineer.assessment.loops import called_from, region

    scope = module.scope_of(loop)
    places: list[tuple[Module, Function | None]] = [(module, scope)]
    places += [(call.module, call.scope) for call in called_from(repo, scope)]
    evaluates = gradients_off = False
    for where, function in places:
        start = function.node if function is not None else where.tree
        for _, node in region(repo, where, start, depth=1 if function is scope and scope is not None else 0):
            match node:
                case ast.Call(func=ast.Attribute(attr="eval"), args=[]):
                    evaluates = True
                case ast.Call(func=ast.Attribute(attr="train"), args=[ast.Constant(value=False)]):
                    evaluates = True
                case ast.Attribute(attr=attr) if attr in _GRADIENTS_OFF:
                    gradients_off = True
                case ast.Name(id=name) if name in _GRADIENTS_OFF:
                    gradients_off = True
                case ast.keyword(arg="volatile"):
                    gradients_off = True
                case ast.Call(func=func) if not evaluates and _gives_judging_model(repo, where.resolve(func)):
                    evaluates = True
    return evaluates, gradients_off


def _gives_judging_model(repo: Repo, name: str) -> bool:
    """Whether a local function loads or makes a model and gives it back in evaluation mode."""
    from ml_engineer.assessment.callgraph import callees

    if not _GIVES.search(name.rpartition(".")[2]):
        return False
    texts = (ast.unparse(n) for f in callees(repo, name) for n in walk(f.node) if isinstance(n, ast.Return | ast.Expr))
    return any(".eval()" in text for text in texts)
