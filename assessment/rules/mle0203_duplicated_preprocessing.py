"""M2-03: the same function, class or block of code in files of two different entry points."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.callgraph import Closure
from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule
from ml_engineer.assessment.similarity import function_shape, runs, shape, size, without_docstring

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

MIN_STATEMENTS = 8
MAX_FILES = 400  # pairs of files are compared, which is more than a large library needs
_Copy = tuple["Module", ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]
_KINDS = ("serve", "train", "predict", "evaluate")


def _has_two(repo: Repo) -> bool:
    return len({entry.module for entry in repo.entries}) > 1


@rule(
    id="MLE0203",
    name="duplicated-preprocessing",
    step=2,
    severity=MEDIUM,
    title="The same code stands in two places",
    why="An edit reaches one copy only, and training and serving drift apart without an error.",
    remedy="Move it into one module that both sides import.",
    source="ML Test Score Monitoring-3; Hidden Technical Debt",
    applies=_has_two,
)
def check(repo: Repo) -> Iterator[Hit]:
    closures = [repo.closure(kind) for kind in _KINDS]
    modules = sorted({m for closure in closures for m in closure.modules}, key=lambda m: (_rank(closures, m), m.path))
    modules = [m for m in modules if "test" not in m.file.roles][:MAX_FILES]
    found: dict[tuple[Module, Module], list[tuple[str, Site, Site]]] = {}
    for name, group in [*_same_classes(modules), *_same_functions(modules)]:
        (first, node), *others = group
        for module, copy in others:
            if _differ(closures, first, module):
                found.setdefault((first, module), []).append((name, first.site(node), module.site(copy)))
    for left, right, ours, theirs in _same_blocks(modules):
        if _differ(closures, left, right) and (left, right) not in found:
            found.setdefault((left, right), []).append(("a block of code", left.site(ours), right.site(theirs)))
    minor: list[Site] = []
    for (left, right), copies in found.items():
        sites = [site for _, ours, theirs in copies for site in (ours, theirs)]
        if not _crosses(closures, left, right):
            minor += sites
            continue
        yield Hit(
            sites,
            title=f"{copies[0][0]} stands in {left.file.name} and in {right.path}",
            anchor=f"{left.path}\0{right.path}",
        )
    if minor:
        yield Hit(minor, severity=LOW, title="The same code stands in files of several entry points", anchor="minor")


def _rank(closures: list[Closure], module: Module) -> int:
    return next((n for n, closure in enumerate(closures) if module in closure.modules), len(closures))


def _kinds(closures: list[Closure], module: Module) -> set[str]:
    return {kind for kind, closure in zip(_KINDS, closures, strict=True) if module in closure.modules}


def _differ(closures: list[Closure], left: Module, right: Module) -> bool:
    """Whether the two belong to different entry points. Two notebooks repeat each other by their nature."""
    return (
        left is not right
        and not (left.is_notebook and right.is_notebook)
        and bool(_kinds(closures, left) and _kinds(closures, right))
    )


def _crosses(closures: list[Closure], left: Module, right: Module) -> bool:
    """Whether one copy trains and the other answers."""
    ours, theirs = _kinds(closures, left), _kinds(closures, right)
    answers = {"serve", "predict"}
    return ("train" in ours and bool(theirs & answers - ours)) or ("train" in theirs and bool(ours & answers - theirs))


def _same_functions(modules: list[Module]) -> Iterator[tuple[str, list[_Copy]]]:
    groups: dict[str, list[_Copy]] = {}
    for module in modules:
        for function in module.functions.values():
            if size(without_docstring(function.node.body)) >= MIN_STATEMENTS:
                groups.setdefault(function_shape(function), []).append((module, function.node))
    yield from _of_several(groups)


def _same_classes(modules: list[Module]) -> Iterator[tuple[str, list[_Copy]]]:
    """Classes whose methods are the same: a network that training and serving define each for itself."""
    groups: dict[str, list[_Copy]] = {}
    for module in modules:
        for node in module.classes.values():
            if size(node.body) >= MIN_STATEMENTS and any(isinstance(s, ast.FunctionDef) for s in node.body):
                groups.setdefault(shape(node), []).append((module, node))
    yield from _of_several(groups)


def _of_several(groups: dict[str, list[_Copy]]) -> Iterator[tuple[str, list[_Copy]]]:
    for group in groups.values():
        if len({module for module, _ in group}) > 1:
            yield f"`{group[0][1].name}`", group


def _same_blocks(modules: list[Module]) -> Iterator[tuple[Module, Module, ast.stmt, ast.stmt]]:
    """The first equal block of the module level of two files. Imports and definitions are no block."""
    levels = [(module, [s for s in module.tree.body if not _is_minor(s)]) for module in modules]
    levels = [(module, body) for module, body in levels if len(body) >= MIN_STATEMENTS]
    for number, (left, ours) in enumerate(levels):
        for right, theirs in levels[number + 1 :]:
            run = (
                next(runs(ours, theirs, MIN_STATEMENTS), None) if not (left.is_notebook and right.is_notebook) else None
            )
            if run is not None:
                yield left, right, run.left[0], run.right[0]


_NO_BLOCK = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _is_minor(statement: ast.stmt) -> bool:
    """Imports, definitions and settings: every script has them."""
    if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant):
        return True
    return isinstance(statement, _NO_BLOCK)
