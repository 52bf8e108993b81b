"""What a module's index is made of: functions, calls, imports and bindings."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(eq=False, slots=True)
class Function:
    """A function or method. `qualname` is `outer.inner` or `Class.method` inside the module."""

    module: Module
    node: FunctionNode
    qualname: str
    class_name: str | None

    @property
    def dotted(self) -> str:
        """Dotted name inside the repository."""
        return f"{self.module.dotted}.{self.qualname}"

    @property
    def parameters(self) -> list[ast.arg]:
        arguments = self.node.args
        return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]

    def site(self) -> Site:
        return self.module.site(self.node)


@dataclass(eq=False, slots=True)
class Call:
    """A call, with the dotted name of what it calls and the function it stands in (None: at module level)."""

    module: Module
    node: ast.Call
    name: str
    scope: Function | None

    def keyword(self, name: str) -> ast.expr | None:
        """The value given by keyword, or None."""
        return next((k.value for k in self.node.keywords if k.arg == name), None)

    def argument(self, position: int, name: str) -> ast.expr | None:
        """The value given by position or by keyword, or None (also where `*args` hides the position)."""
        given = self.node.args
        if position < len(given) and not any(isinstance(a, ast.Starred) for a in given[: position + 1]):
            return given[position]
        return self.keyword(name)

    @property
    def has_unpacked_keywords(self) -> bool:
        """Whether `**options` may bring keywords that cannot be seen."""
        return any(k.arg is None for k in self.node.keywords)

    @property
    def in_loop(self) -> bool:
        """Whether it stands in a loop or comprehension of its own function."""
        return self.module.enclosing(self.node, *_LOOPS) is not None

    def site(self, note: str | None = None) -> Site:
        return self.module.site(self.node, note=note)


class Import(NamedTuple):
    """A name bound by an import. `target` is what it stands for; `star` for `from x import *`."""

    name: str
    target: str
    node: ast.Import | ast.ImportFrom
    guarded: bool  # in a try block
    star: bool = False
    tests: tuple[ast.expr, ...] = ()  # of the `if`s that it stands in

    @property
    def top(self) -> str:
        """Top-level package of the target, empty for a relative import."""
        return "" if isinstance(self.node, ast.ImportFrom) and self.node.level else self.target.split(".")[0]


class Binding(NamedTuple):
    """A name bound to (part of) a value. `position` is where the binding has taken place: (line, column)."""

    position: tuple[int, int]
    value: ast.expr | None
    suffix: str = ""  # "[0]" for tuple unpacking, "[]" for an item of a loop, "()" for an annotated parameter
    target: str | None = None  # dotted name, for imports and definitions
