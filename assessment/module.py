"""Names in a module: what is imported, defined, bound and called, and which dotted name an expression stands for.

One pass over the tree fills the index. `resolve(expression)` follows imports, assignments, attributes of `self` and
annotations, and writes what it finds as a dotted name in which `()` stands for "the value of that call" and `[]` for
"an item of":

    import torch as t;  t.load(p)                      torch.load
    clf = svm.SVC();    clf.fit(X, y)                  sklearn.svm.SVC().fit
    df = pd.read_csv(); df.dropna().merge(o)           pandas.read_csv().dropna().merge
    a, b = train_test_split(X);  a                     sklearn.model_selection.train_test_split()[0]
    def handler(req: Request): req.json()              fastapi.Request().json
    from .data import load;  load()                    pkg.data.load   (dotted name inside the repository)
    something unknown .fit(X)                          ?.fit
"""

from __future__ import annotations

import ast
import builtins
import operator
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from ml_engineer.assessment.files import File
from ml_engineer.assessment.index import Index, build, imports, walk
from ml_engineer.assessment.names import Binding, Call, Function, FunctionNode, Import
from ml_engineer.assessment.rule import Site
from ml_engineer.assessment.source import Source, parse

# What others import from here; `UNKNOWN` stands for a value that cannot be known.
__all__ = ["UNKNOWN", "Binding", "Call", "Function", "FunctionNode", "Import", "Module"]

_Node = TypeVar("_Node", bound=ast.AST)
_PATCHED = re.compile(r"\bsys\.path\.(?:append|insert)\((.*)")
_FOLDERS = re.compile(r"[\"']([\w./-]*\w)[\"']")
_MAX_RESOLVE = 40  # steps one resolution may take: enough for real code, and an end for cyclic bindings


@dataclass(eq=False)
class Module:
    """A Python file or notebook with its index of names."""

    file: File
    dotted: str
    package: str  # dotted name that relative imports start from
    link: Callable[[Module, str], str] = lambda module, name: name  # set by the repository: names across modules
    defines: Callable[[Module, str], bool] = lambda module, name: False  # and whether a module of its own makes one

    @property
    def path(self) -> str:
        return self.file.path

    @cached_property
    def is_notebook(self) -> bool:
        return self.file.suffix == ".ipynb"

    @cached_property
    def source(self) -> Source:
        return parse(self.file)

    @property
    def tree(self) -> ast.Module:
        return self.source.tree

    @cached_property
    def _index(self) -> Index:
        return build(self)

    @cached_property
    def imports(self) -> list[Import]:
        return imports(self)

    @cached_property
    def import_bases(self) -> list[str]:
        """Where an absolute import may start from: the folder of the file, its parents, the root, `src`, and folders
        that the file puts on the path, `sys.path.insert(1, join(…, "../utils"))`."""
        parts = self.package.split(".") if self.package else []
        found = [".".join(parts[:n]) for n in range(len(parts), -1, -1)] + ["src"]
        with self.file.borrowed():  # nearly every file of a large tree is asked
            lines = self.file.lines if b"sys.path." in self.file.data else ()
        for patched in filter(None, map(_PATCHED.search, lines)):
            names = _FOLDERS.findall(patched[1])
            for base in (self.file.folder, "") if names else ():
                found.append(posixpath.normpath(posixpath.join(base, *names)).replace("/", "."))
        return list(dict.fromkeys(found))

    @property
    def functions(self) -> dict[str, Function]:
        """Functions and methods by qualified name."""
        return self._index.functions

    @property
    def classes(self) -> dict[str, ast.ClassDef]:
        return self._index.classes

    @cached_property
    def calls(self) -> list[Call]:
        """Every call, in source order."""
        return [self.call_of(node) for node in self.nodes(ast.Call)]

    @cached_property
    def calls_by_scope(self) -> dict[Function | None, list[Call]]:
        """Calls by the function they stand in directly (None: module level), each in source order."""
        found: dict[Function | None, list[Call]] = {}
        for call in self.calls:
            found.setdefault(call.scope, []).append(call)
        return found

    @cached_property
    def call_names(self) -> frozenset[str]:
        return frozenset(call.name for call in self.calls)

    @cached_property
    def functions_by_scope(self) -> dict[Function | None, list[Function]]:
        """The functions defined directly in each function, and under None those at module or class level."""
        grouped: dict[Function | None, list[Function]] = defaultdict(list)
        for function in self.functions.values():
            grouped[self.scope_of(function.node)].append(function)
        return grouped

    def nodes(self, *kinds: type[_Node]) -> list[_Node]:
        """Every node of these kinds, in source order, without another walk of the tree. Not to be changed."""
        found = self._ordered.get(kinds)
        if found is None:
            nodes = [node for kind in kinds for node in self._index.nodes.get(kind, ())]
            placed = all("lineno" in kind._attributes for kind in kinds)
            found = self._ordered[kinds] = sorted(nodes, key=_LINE_AND_COLUMN if placed else _place)
        return found  # type: ignore[return-value]

    @cached_property
    def _ordered(self) -> dict[tuple[type[ast.AST], ...], list[ast.AST]]:
        return {}

    def call_of(self, node: ast.Call) -> Call:
        """The call that a node is."""
        return Call(self, node, self.resolve(node.func), self.scope_of(node))

    def site(self, node: ast.AST | int, *, note: str | None = None) -> Site:
        """The place of a node; its anchor is the qualified name of the function that holds it."""
        scope = self.scope_of(node) if isinstance(node, ast.AST) else None
        return self.source.site(node, anchor=scope.qualname if scope else "", note=note)

    # --- tree navigation -----------------------------------------------------------------------------------------

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self._index.parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Parents from the nearest to the module."""
        parents = self._index.parents
        current = parents.get(node)
        while current is not None:
            yield current
            current = parents.get(current)

    def enclosing(self, node: ast.AST, *kinds: type[ast.AST]) -> ast.AST | None:
        """The nearest ancestor of these kinds inside the same function."""
        for ancestor in self.ancestors(node):
            if isinstance(ancestor, kinds):
                return ancestor
            if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                return None
        return None

    def scope_of(self, node: ast.AST) -> Function | None:
        """The function that holds a node (for a function's own node: the one around it)."""
        index = self._index
        current: ast.AST | None = node
        while current is not None:
            if current in index.scopes:
                inside = index.by_node.get(current) if current is not node else None
                return inside or index.scopes[current]
            current = index.parents.get(current)
        return None

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """The statement that a node is part of."""
        current: ast.AST | None = node
        while current is not None and not isinstance(current, ast.stmt):
            current = self.parent(current)
        assert current is not None, "every expression stands in a statement"
        return current

    @cached_property
    def main_guard(self) -> ast.If | None:
        """The `if __name__ == "__main__":` block, if there is one."""
        for node in self.tree.body:
            if isinstance(node, ast.If) and any(
                isinstance(n, ast.Name) and n.id == "__name__" for n in walk(node.test)
            ):
                return node
        return None

    # --- names ---------------------------------------------------------------------------------------------------

    def resolve(self, node: ast.expr | None) -> str:
        """Dotted name of what an expression stands for; parts that cannot be known are `?`.

        Names that are defined in the repository come out as `path.of.module.name`, wherever they were imported.
        """
        if node is None:
            return "?"
        known = self._resolved.get(node)
        if known is None:
            known = self._resolved[node] = self.link(self, self._resolve(node, [_MAX_RESOLVE]))
        return known

    @cached_property
    def _resolved(self) -> dict[ast.expr, str]:
        return {}

    def raw(self, node: ast.expr | None) -> str:
        """As `resolve`, without following names into other modules."""
        return self._resolve(node, [_MAX_RESOLVE])

    def binding(self, name: ast.Name) -> Binding | None:
        """What a name is bound to where it is read, or None: unknown, a parameter without annotation, a builtin."""
        return self._lookup(name.id, name)

    def value(self, node: ast.expr | None) -> ast.expr | None:
        """The expression behind a name, followed through plain assignments; the node itself for anything else."""
        for _ in range(8):
            if not isinstance(node, ast.Name):
                return node
            bound = self.binding(node)
            if bound is None or bound.value is None or bound.suffix:
                return node
            node = bound.value
        return node

    def literal(self, node: ast.expr | None) -> object:
        """The constant an expression stands for (numbers, strings, tuples, lists, dicts of them), or `UNKNOWN`."""
        node = self.value(node)
        if node is None:
            return UNKNOWN
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return UNKNOWN

    def bindings_of(self, name: str, scope: Function | None) -> list[Binding]:
        """Every binding of a name in one scope, in source order."""
        return self._index.bindings[scope.qualname if scope else ""].get(name, [])

    def attribute(self, class_name: str, name: str) -> Binding | None:
        """What a class of this module keeps under a name: `self.name = value` or a class attribute."""
        return self._index.attributes[class_name].get(name)

    def _resolve(self, node: ast.expr | None, fuel: list[int]) -> str:
        fuel[0] -= 1
        if fuel[0] < 0:
            return "?"
        match node:
            case ast.Name():
                bound = self._lookup(node.id, node)
                if bound is not None:
                    if bound.target is not None:
                        return bound.target + bound.suffix
                    return self._resolve(bound.value, fuel) + bound.suffix if bound.value is not None else "?"
                return node.id if node.id in _BUILTINS else self._star_name(node.id)
            case ast.Attribute():
                return self._resolve_attribute(node, fuel)
            case ast.Call():
                return f"{self._resolve(node.func, fuel)}()"
            case ast.Subscript():
                return f"{self._resolve(node.value, fuel)}[]"
            case ast.Await() | ast.NamedExpr() | ast.Starred():
                return self._resolve(node.value, fuel)
            case ast.IfExp():
                return self._resolve(node.body, fuel)
            case ast.BoolOp():
                return self._resolve(node.values[0], fuel)
            case ast.BinOp():
                return self._resolve(node.left, fuel)
            case ast.Constant():
                return f"<{type(node.value).__name__}>"
            case ast.JoinedStr():
                return "<str>"
            case ast.List() | ast.Tuple() | ast.Dict() | ast.Set():
                return f"<{type(node).__name__.lower()}>"
            case _:
                return "?"

    def _resolve_attribute(self, node: ast.Attribute, fuel: list[int]) -> str:
        owner = self._own_class(node.value)
        if owner is not None:
            if f"{owner}.{node.attr}" in self.functions:
                return f"{self.dotted}.{owner}.{node.attr}"
            bound = self._index.attributes[owner].get(node.attr)
            if bound is not None and bound.value is not None:
                return self._resolve(bound.value, fuel) + bound.suffix
            return f"{self.dotted}.{owner}().{node.attr}"
        return f"{self._resolve(node.value, fuel)}.{node.attr}"

    def _star_name(self, name: str) -> str:
        """What an unbound name stands for where `from x import *` may have brought it."""
        stars = [i.target for i in self.imports if i.star]
        for target in stars:
            full = f"{target}.{name}"
            if (
                self.link(self, full) != full
                or self.defines(self, full)
                or name in _KERAS_NAMES.get(target.partition("keras.")[2], ())
            ):
                return full
        return f"{stars[0]}.{name}" if len(stars) == 1 and name[:1].isupper() else "?"

    def _own_class(self, node: ast.expr) -> str | None:
        """The class of `self` or `cls` where the node is that name inside a method."""
        if not isinstance(node, ast.Name) or node.id not in ("self", "cls"):
            return None
        function = self.scope_of(node)
        while function is not None:
            if function.class_name:
                return function.class_name
            function = self.scope_of(function.node)
        return None

    def _lookup(self, name: str, at: ast.AST) -> Binding | None:
        position = (getattr(at, "lineno", 0), getattr(at, "col_offset", 0))
        scope = self.scope_of(at)
        inner = True
        while True:
            bindings = self._index.bindings[scope.qualname if scope else ""].get(name)
            if bindings:
                # Inside its own scope the latest binding before the use counts; from an inner function, the last one.
                before = [b for b in bindings if b.position <= position] if inner else bindings
                return before[-1] if before else bindings[0]
            if scope is None:
                return None
            scope = self.scope_of(scope.node)
            inner = False


_LINE_AND_COLUMN = operator.attrgetter("lineno", "col_offset")


def _place(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        return False


UNKNOWN = _Unknown()
# What `from keras.… import *` brings, as far as rules ask for it by name.
_KERAS_NAMES = {
    "models": frozenset({"Model", "Sequential", "load_model", "model_from_json"}),
    "optimizers": frozenset({"SGD", "RMSprop", "Adam", "Adadelta", "Adagrad", "Adamax", "Nadam"}),
    "layers": frozenset(
        "Input Dense Dropout Flatten Conv1D Conv2D Conv3D MaxPooling2D UpSampling2D LSTM GRU Embedding Lambda "
        "BatchNormalization Activation Bidirectional GlobalAveragePooling2D".split()
    ),
}
_BUILTINS = frozenset(dir(builtins))
