"""Which scope binds and which scope reads every name of a program, as Python itself decides it.

`scan(tree)` walks once, without recursion, and gives the module's scope, every read with the scope it stands in, and
what makes the answer uncertain (star imports, names made at run time). Classes hide their names from the functions
inside them, comprehensions and lambdas are scopes of their own, `global` binds in the module, annotations that are
never evaluated are no reads.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ml_engineer.assessment.index import children

ScopeKind = Literal["module", "class", "function", "comprehension"]


@dataclass(eq=False)
class Scope:
    """Where names live. `bindings` are the nodes that bind each name, in the order they were met."""

    kind: ScopeKind
    outer: Scope | None = None
    deferred: bool = False  # its code runs when it is called, not where it stands
    bindings: dict[str, list[ast.AST]] = field(default_factory=dict)
    redirected: dict[str, Scope] = field(default_factory=dict)  # names declared global or nonlocal

    def bind(self, name: str, node: ast.AST) -> None:
        self.redirected.get(name, self).bindings.setdefault(name, []).append(node)

    def owner_of(self, name: str) -> Scope | None:
        """The scope whose binding a read of the name in this scope sees, or None."""
        if name in self.redirected:
            target = self.redirected[name]
            return target if name in target.bindings else None
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bindings and (scope is self or scope.kind != "class"):
                return scope
            scope = scope.outer
        return None


@dataclass(frozen=True, eq=False, slots=True)
class Read:
    node: ast.Name
    scope: Scope


@dataclass(eq=False)
class Scopes:
    """Every scope and read of a program."""

    module: Scope
    reads: list[Read] = field(default_factory=list)
    stars: list[ast.ImportFrom] = field(default_factory=list)
    evaluated_annotations: bool = True


def scan(tree: ast.Module) -> Scopes:
    """Scopes of a program."""
    top = Scope("module")
    found = Scopes(top)
    found.evaluated_annotations = not any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )
    stack: list[tuple[ast.AST, Scope]] = [(node, top) for node in reversed(tree.body)]
    while stack:
        node, scope = stack.pop()
        _bind(found, node, scope)
        stack.extend(reversed(list(_children(found, node, scope))))
    return found


def _bind(found: Scopes, node: ast.AST, scope: Scope) -> None:
    """Record what a node itself binds or reads."""
    match node:
        case ast.Name():
            if isinstance(node.ctx, ast.Load):
                found.reads.append(Read(node, scope))
            else:
                scope.bind(node.id, node)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            scope.bind(node.name, node)
        case ast.Import():
            for alias in node.names:
                scope.bind(alias.asname or alias.name.split(".")[0], node)
        case ast.ImportFrom():
            for alias in node.names:
                if alias.name == "*":
                    found.stars.append(node)
                else:
                    scope.bind(alias.asname or alias.name, node)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            scope.bind(name, node)
        case ast.MatchMapping(rest=str(name)):
            scope.bind(name, node)


def _children(found: Scopes, node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
    """The node's children with the scope that each belongs to."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            yield from _function(found, node, scope)
        case ast.ClassDef():
            yield from ((child, scope) for child in [*node.decorator_list, *node.bases, *node.keywords])
            inner = Scope("class", scope, scope.deferred)
            _bind_type_parameters(node, inner)
            yield from ((child, inner) for child in node.body)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _comprehension(node, scope)
        case ast.NamedExpr():
            target = scope
            while target.kind == "comprehension" and target.outer is not None:
                target = target.outer
            yield node.value, scope
            yield node.target, target
        case ast.AnnAssign():
            yield node.target, scope
            if node.value is not None:
                yield node.value, scope
            if found.evaluated_annotations and scope.kind in ("module", "class"):
                yield node.annotation, scope
        case ast.Global():
            for name in node.names:
                scope.redirected[name] = found.module
        case ast.Nonlocal():
            for name in node.names:
                outer = scope.outer.owner_of(name) if scope.outer else None
                scope.redirected[name] = outer or scope
        case ast.Assign():  # the value is read before the target is bound
            yield node.value, scope
            yield from ((target, scope) for target in node.targets)
        case ast.For() | ast.AsyncFor():
            yield node.iter, scope
            yield node.target, scope
            yield from ((child, scope) for child in [*node.body, *node.orelse])
        case _:
            yield from ((child, scope) for child in children(node))


def _function(
    found: Scopes, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
) -> Iterator[tuple[ast.AST, Scope]]:
    arguments = node.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    parameters += [p for p in (arguments.vararg, arguments.kwarg) if p is not None]
    yield from ((value, scope) for value in [*arguments.defaults, *arguments.kw_defaults] if value is not None)
    inner = Scope("function", scope, deferred=True)
    if not isinstance(node, ast.Lambda):
        yield from ((child, scope) for child in node.decorator_list)
        _bind_type_parameters(node, inner)
        if found.evaluated_annotations and not getattr(node, "type_params", None):
            annotations = [*(p.annotation for p in parameters), node.returns]
            yield from ((annotation, scope) for annotation in annotations if annotation is not None)
    for parameter in parameters:
        inner.bind(parameter.arg, parameter)
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    yield from ((child, inner) for child in body)


def _bind_type_parameters(node: ast.AST, scope: Scope) -> None:
    """Names of `def f[T]` and `class C[T]` (Python 3.12)."""
    for parameter in getattr(node, "type_params", []):
        scope.bind(parameter.name, parameter)


def _comprehension(
    node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: Scope
) -> Iterator[tuple[ast.AST, Scope]]:
    """The first iterable is evaluated outside; everything else inside."""
    inner = Scope("comprehension", scope, scope.deferred)
    for number, part in enumerate(node.generators):
        yield part.iter, scope if number == 0 else inner
        yield part.target, inner
        yield from ((condition, inner) for condition in part.ifs)
    if isinstance(node, ast.DictComp):
        yield node.key, inner
        yield node.value, inner
    else:
        yield node.elt, inner
