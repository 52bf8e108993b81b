"""M2-03: the same function, class or block of code in files of two different entry points."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.callgraph import Closure
from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule
from ml_engineer.assessment.similarity import function_shape, runs, shape, size, without_docstring, working

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

MIN_STATEMENTS = 8
MIN_SHARE = 0.5  # of the shorter one, where two pieces of code are the same but for some statements
MIN_NAMED = 5  # statements, where the two functions bear one name too
MIN_NAMED_SHARE = 0.6
COMMON = 12  # a statement that stands in more places is a habit
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
    told: set[ast.stmt] = set()  # a piece is told once, not with each of its copies
    for name, group in [*_same_classes(modules), *_same_functions(modules)]:
        (first, node), *others = group
        for module, copy in others:
            if _differ(closures, first, module):
                found.setdefault((first, module), []).append((name, first.site(node), module.site(copy)))
                told.add(copy)
    for left, right, one, other in _same_blocks(modules):
        if _differ(closures, left, right) and (left, right) not in found:
            found.setdefault((left, right), []).append(("a block of code", left.site(one), right.site(other)))
    for what, ours, theirs in _near_copies(modules):
        pair = (ours.module, theirs.module)
        if not _differ(closures, *pair) or pair in found or (theirs.node in told and _crosses(closures, *pair)):
            continue
        if _crosses(closures, *pair):
            told.add(theirs.node)
        found[pair] = [(what, ours.module.site(ours.node), theirs.module.site(theirs.node))]
    minor: list[Site] = []
    for (left, right), copies in found.items():
        sites = [site for _, *both in copies for site in both]
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


@dataclass(frozen=True, slots=True)
class _Piece:
    """A function, or the module level of a script or notebook: its statements that compute something, by text."""

    module: Module
    name: str
    node: ast.stmt
    statements: dict[str, ast.stmt]


def _near_copies(modules: list[Module]) -> Iterator[tuple[str, _Piece, _Piece]]:
    """Pieces of code of two files that are the same for the most part, the most alike first."""
    pieces = [piece for module in modules for piece in _pieces(module)]
    places: dict[str, list[int]] = {}
    for number, piece in enumerate(pieces):
        for text in piece.statements:
            places.setdefault(text, []).append(number)
    shared: Counter[tuple[int, int]] = Counter()
    for numbers in places.values():
        if 1 < len(numbers) <= COMMON:
            shared.update((left, right) for n, left in enumerate(numbers) for right in numbers[n + 1 :])
    for (left, right), count in shared.most_common():
        if count < MIN_NAMED:
            return
        ours, theirs = pieces[left], pieces[right]
        share = count / min(len(ours.statements), len(theirs.statements))
        named = ours.name != "" and ours.name == theirs.name and share >= MIN_NAMED_SHARE
        if ours.module is not theirs.module and (named or (count >= MIN_STATEMENTS and share >= MIN_SHARE)):
            name = ours.name or theirs.name
            yield f"Most of `{name}`" if name else "Most of a script", ours, theirs


def _pieces(module: Module) -> Iterator[_Piece]:
    for function in module.functions.values():
        if size(without_docstring(function.node.body)) >= MIN_NAMED:
            found = working(module, function.node.body)
            if len(found) >= MIN_NAMED:
                yield _Piece(module, function.node.name, function.node, found)
    found = working(module, [statement for statement in module.tree.body if not isinstance(statement, _NO_BLOCK)])
    if len(found) >= MIN_STATEMENTS:
        yield _Piece(module, "", next(iter(found.values())), found)


_NO_BLOCK = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _is_minor(statement: ast.stmt) -> bool:
    """Imports, definitions and settings: every script has them."""
    if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant):
        return True
    return isinstance(statement, _NO_BLOCK)
