"""Training loops written by hand in PyTorch, and what is done in them or in the functions they call.

A `Loop` is the innermost `for` or `while` around a backward pass, or the whole function where the loop stands in its
caller. `region` yields the syntax that runs in a node: the node itself and the bodies of the local functions it calls.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment import callgraph
from ml_engineer.assessment.dataflow import callers
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.module import Call, Function, Module

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_NO_OPTIMIZER = re.compile(
    r"sched|lr_|env|prof|progress|bar|writer|logger|engine|svi|game|sim|run\b|pbar|ema|tracker", re.I
)
_STATEFUL = re.compile(r"Dropout|BatchNorm|InstanceNorm|dropout\b|bn\d*\b|from_pretrained|torchvision\.models|\btimm\b")
_MEASURES = re.compile(r"time(it)?\.|pynvml\.|nvidia_smi\.|torch\.cuda\.((max_)?memory|Event)")
# Trainers that do these steps themselves.
_DONE_FOR_YOU = ("deepspeed", "pyro")


@dataclass(frozen=True, eq=False, slots=True)
class Loop:
    """A hand-written training loop: `node` is the loop, or the function that is called in one."""

    module: Module
    node: ast.AST
    backward: Call

    @property
    def scope(self) -> Function | None:
        return self.backward.scope


def torch_loops(repo: Repo) -> list[Loop]:
    """Hand-written training loops outside tests, by path and place. Computed once for a repository."""
    found: list[Loop] | None = repo.__dict__.get("_torch_loops")
    if found is None:
        found = []
        seen: set[ast.AST] = set()
        for call in repo.calls("*.backward", tests=False):
            if any(item.top in _DONE_FOR_YOU for item in call.module.imports):
                continue
            node = innermost_loop(call.module, call.node) or (call.scope.node if call.scope else None)
            if node is not None and node not in seen:
                seen.add(node)
                found.append(Loop(call.module, node, call))
        repo.__dict__["_torch_loops"] = found
    return found


def innermost_loop(module: Module, node: ast.AST) -> ast.For | ast.While | ast.AsyncFor | None:
    found = module.enclosing(node, ast.For, ast.While, ast.AsyncFor)
    return found if isinstance(found, ast.For | ast.While | ast.AsyncFor) else None


def outermost_loop(module: Module, node: ast.AST) -> ast.AST | None:
    """The outermost loop around a node inside its function."""
    found: ast.AST | None = None
    for ancestor in module.ancestors(node):
        if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            break
        if isinstance(ancestor, ast.For | ast.While | ast.AsyncFor):
            found = ancestor
    return found


def region(repo: Repo, module: Module, node: ast.AST, depth: int = 2) -> Iterator[tuple[Module, ast.AST]]:
    """Every syntax node that runs in `node`, local functions that it calls included, up to `depth` calls deep."""
    seen: set[ast.AST] = set()
    queue = [(module, node, depth)]
    while queue:
        where, start, left = queue.pop()
        if start in seen:
            continue
        seen.add(start)
        for inner in walk(start):
            yield where, inner
            if left and isinstance(inner, ast.Call):
                name = where.resolve(inner.func)
                if name.replace("()", "") not in repo.classes:
                    queue.extend((f.module, f.node, left - 1) for f in callgraph.callees(repo, name))


def clears_gradients(repo: Repo, module: Module, node: ast.AST) -> bool:
    """Whether gradients are set to zero or to None somewhere in what runs."""
    for _, inner in region(repo, module, node):
        match inner:
            case ast.Attribute(attr="zero_grad" | "zero_grads" | "clear_grad" | "clear_gradients" | "clearGradients"):
                return True
            case ast.Call(func=ast.Attribute(attr="zero_" | "fill_" | "detach_", value=owner)) if "grad" in ast.unparse(
                owner
            ):
                return True
            case ast.Assign(targets=[ast.Attribute(attr="grad"), *_]):
                return True
    return False


def optimizer_steps(module: Module, node: ast.AST) -> list[ast.Call]:
    """Calls of an optimizer's `step` in a node, in source order."""
    found = []
    for inner in walk(node):
        match inner:
            case ast.Call(func=ast.Attribute(attr="step", value=owner)) if not _NO_OPTIMIZER.search(ast.unparse(owner)):
                if "lr_scheduler" not in module.resolve(owner):
                    found.append(inner)
    return sorted(found, key=lambda call: call.lineno)


def mode_calls(nodes: Iterator[tuple[Module, ast.AST]]) -> tuple[list[tuple[Module, ast.Call]], bool]:
    """Calls of `model.eval()`, and whether training mode is set anywhere (`train()`, `train(True)`, `train(mode)`)."""
    evals: list[tuple[Module, ast.Call]] = []
    trains = False
    for module, node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr="eval"), args=[], keywords=[]):
                evals.append((module, node))
            case ast.Call(func=ast.Attribute(attr="train", value=owner), args=args) if len(args) <= 1:
                if not (args and isinstance(args[0], ast.Constant) and args[0].value is False):
                    trains = trains or not isinstance(owner, ast.Constant)
    return evals, trains


def has_mode_layers(repo: Repo) -> bool:
    """Whether a model here behaves differently in training: dropout, batch normalisation, a pretrained net."""
    found: bool | None = repo.__dict__.get("_has_mode_layers")
    if found is None:
        modules = (
            m for m in repo.modules if any(i.top in ("torch", "torchvision", "transformers", "timm") for i in m.imports)
        )
        found = any(_STATEFUL.search(m.file.text) for m in modules)
        repo.__dict__["_has_mode_layers"] = found
    return found


def called_from(repo: Repo, scope: Function | None) -> list[Call]:
    """Where the function of a loop is called."""
    return callers(repo, scope) if scope is not None else []


def has_constant_data(backward: Call) -> bool:
    """Whether a function takes the time or the memory of steps on tensors of ones: nothing is learned from them."""
    if backward.scope is None:
        return False
    names = {call.name for call in backward.module.calls_by_scope.get(backward.scope, [])}
    measured = any(_MEASURES.match(name) for name in names)
    return (
        measured and "torch.ones" in names and not any(re.search(r"loader|dataset|read|load", n, re.I) for n in names)
    )
