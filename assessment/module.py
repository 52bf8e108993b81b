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
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from ml_engineer.assessment.files import File
from ml_engineer.assessment.rule import Site
from ml_engineer.assessment.source import Source, parse

_Node = TypeVar("_Node", bound=ast.AST)
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_MAX_RESOLVE = 40  # steps one resolution may take: enough for real code, and an end for cyclic bindings


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


@dataclass(frozen=True, slots=True)
class Import:
    """A name bound by an import. `target` is what it stands for; `star` for `from x import *`."""

    name: str
    target: str
    node: ast.Import | ast.ImportFrom
    guarded: bool  # in a try block
    star: bool = False

    @property
    def top(self) -> str:
        """Top-level package of the target, empty for a relative import."""
        return "" if isinstance(self.node, ast.ImportFrom) and self.node.level else self.target.split(".")[0]


@dataclass(frozen=True, slots=True)
class Binding:
    """A name bound to (part of) a value. `position` is where the binding has taken place: (line, column)."""

    position: tuple[int, int]
    value: ast.expr | None
    suffix: str = ""  # "[0]" for tuple unpacking, "[]" for an item of a loop, "()" for an annotated parameter
    target: str | None = None  # dotted name, for imports and definitions


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

    @property
    def is_notebook(self) -> bool:
        return self.file.suffix == ".ipynb"

    @cached_property
    def source(self) -> Source:
        return parse(self.file)

    @property
    def tree(self) -> ast.Module:
        return self.source.tree

    @cached_property
    def _index(self) -> _Index:
        return _build(self)

    @property
    def imports(self) -> list[Import]:
        return self._index.imports

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
        found = (Call(self, node, self.resolve(node.func), self.scope_of(node)) for node in self._index.calls)
        return sorted(found, key=lambda call: (call.node.lineno, call.node.col_offset))

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
        """Every node of these kinds, in source order: from the index, without walking the tree again."""
        found = [node for kind in kinds for node in self._index.nodes.get(kind, ())]
        return sorted(found, key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)))  # type: ignore[arg-type]

    def call_of(self, node: ast.Call) -> Call:
        """The indexed call of a node."""
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
        for ancestor in self.ancestors(node):
            function = self._index.by_node.get(ancestor)
            if function is not None:
                return function
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
                isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test)
            ):
                return node
        return None

    # --- names ---------------------------------------------------------------------------------------------------

    def resolve(self, node: ast.expr | None) -> str:
        """Dotted name of what an expression stands for; parts that cannot be known are `?`.

        Names that are defined in the repository come out as `path.of.module.name`, wherever they were imported.
        """
        return self.link(self, self._resolve(node, [_MAX_RESOLVE]))

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


# --- the one pass over the tree ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Index:
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    imports: list[Import] = field(default_factory=list)
    functions: dict[str, Function] = field(default_factory=dict)
    by_node: dict[ast.AST, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    calls: list[ast.Call] = field(default_factory=list)
    bindings: dict[str, dict[str, list[Binding]]] = field(default_factory=lambda: defaultdict(dict))
    attributes: dict[str, dict[str, Binding]] = field(default_factory=lambda: defaultdict(dict))
    globals: list[tuple[str, list[str]]] = field(default_factory=list)  # scope, names declared global in it
    nodes: dict[type[ast.AST], list[ast.AST]] = field(default_factory=lambda: defaultdict(list))


# Fields that hold plain values or markers such as Load and Add: half of a tree, of which nobody asks for the parent.
_PLAIN_FIELDS = frozenset(
    "ctx op ops id attr arg name asname module level names kind lineno n s conversion simple is_async type_comment "
    "type_ignores tag rest kwd_attrs cls_name".split()
)


class _ChildFields(dict[type[ast.AST], tuple[str, ...]]):
    """Kind of node -> names of its fields that hold nodes."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        plain = _PLAIN_FIELDS - {"name"} if kind.__name__ == "TypeAlias" else _PLAIN_FIELDS
        leaf = kind is ast.Constant or kind is ast.MatchSingleton  # their value is a plain one
        self[kind] = () if leaf else tuple(name for name in kind._fields if name not in plain)
        return self[kind]


_CHILD_FIELDS = _ChildFields()


def _build(module: Module) -> _Index:
    """Walk the tree without recursion, so that deeply nested source is no danger."""
    index = _Index()
    # (node, qualified name of the scope, class that the scope belongs to directly)
    stack: list[tuple[ast.AST, str, str | None]] = [(module.tree, "", None)]
    while stack:
        node, scope, owner = stack.pop()
        child_scope, child_owner = scope, owner
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            prefix = owner or scope
            qualname = f"{prefix}.{node.name}" if prefix else node.name
            function = Function(module, node, qualname, owner)
            index.functions[qualname] = index.by_node[node] = function
            if owner is None:
                _bind(index, scope, node.name, Binding(_start(node), None, target=f"{module.dotted}.{qualname}"))
            _bind_parameters(index, function)
            child_scope, child_owner = qualname, None
        elif isinstance(node, ast.ClassDef):
            name = f"{owner or scope}.{node.name}" if owner or scope else node.name
            index.classes[name] = node
            _bind(index, scope, node.name, Binding(_start(node), None, target=f"{module.dotted}.{name}"))
            child_owner = name
        else:
            _index_node(index, module, node, scope, owner)
        kind = type(node)
        index.nodes[kind].append(node)
        for name in _CHILD_FIELDS[kind]:
            value = getattr(node, name, None)
            if isinstance(value, list):
                for child in value:
                    if child.__class__ is not str and child is not None:
                        index.parents[child] = node
                        stack.append((child, child_scope, child_owner))
            elif value is not None:
                index.parents[value] = node
                stack.append((value, child_scope, child_owner))
    for scope, names_declared in index.globals:
        for name in names_declared:
            index.bindings[""].setdefault(name, []).extend(index.bindings[scope].pop(name, []))
    for names in index.bindings.values():
        for bindings in names.values():
            bindings.sort(key=lambda b: b.position)
    return index


def _index_node(index: _Index, module: Module, node: ast.AST, scope: str, owner: str | None) -> None:
    match node:
        case ast.Call():
            index.calls.append(node)
        case ast.Import() | ast.ImportFrom():
            _bind_import(index, module, node, scope)
        case ast.Assign():
            for target in node.targets:
                _bind_target(index, scope, owner, target, node.value, "", _end(node.value))
        case ast.AnnAssign():
            if node.value is not None:
                _bind_target(index, scope, owner, node.target, node.value, "", _end(node.value))
            else:
                _bind_target(index, scope, owner, node.target, node.annotation, "()", _end(node))
        case ast.NamedExpr():
            _bind_target(index, scope, owner, node.target, node.value, "", _end(node.value))
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            _bind_target(index, scope, owner, node.target, node.iter, "[]", _start(node.target))
        case ast.With() | ast.AsyncWith():
            for item in node.items:
                if item.optional_vars is not None:
                    end = _end(item.context_expr)
                    _bind_target(index, scope, owner, item.optional_vars, item.context_expr, "", end)
        case ast.Global():
            if scope:
                index.globals.append((scope, node.names))
        case ast.ExceptHandler():
            if node.name:
                _bind(index, scope, node.name, Binding(_start(node), node.type, "()"))


def _bind_target(
    index: _Index, scope: str, owner: str | None, target: ast.expr, value: ast.expr, suffix: str, at: tuple[int, int]
) -> None:
    match target:
        case ast.Name():
            _bind(index, scope, target.id, Binding(at, value, suffix))
            if owner is not None:  # a class attribute is read as self.name
                _bind_attribute(index, owner, target.id, Binding(at, value, suffix))
        case ast.Tuple() | ast.List():
            for number, item in enumerate(target.elts):
                if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts) and not suffix:
                    _bind_target(index, scope, owner, item, value.elts[number], suffix, at)
                else:
                    _bind_target(index, scope, owner, item, value, f"{suffix}[{number}]", at)
        case ast.Starred():
            _bind_target(index, scope, owner, target.value, value, f"{suffix}[]", at)
        case ast.Attribute(value=ast.Name(id="self")):
            class_name = _class_of(index, scope)
            if class_name:
                _bind_attribute(index, class_name, target.attr, Binding(at, value, suffix))


def _bind_attribute(index: _Index, class_name: str, name: str, binding: Binding) -> None:
    """Keep the first binding in source order, but let any value win over a `None` that only declares the name."""
    known = index.attributes[class_name].get(name)
    if known is None or (_is_none(known), known.position) > (_is_none(binding), binding.position):
        index.attributes[class_name][name] = binding


def _is_none(binding: Binding) -> bool:
    return isinstance(binding.value, ast.Constant) and binding.value.value is None


def _class_of(index: _Index, scope: str) -> str | None:
    while scope:
        function = index.functions.get(scope)
        if function is not None and function.class_name:
            return function.class_name
        scope = scope.rpartition(".")[0]
    return None


def _bind_parameters(index: _Index, function: Function) -> None:
    at = (function.node.lineno, function.node.col_offset)
    arguments = function.node.args
    for parameter in [*function.parameters, *filter(None, [arguments.vararg, arguments.kwarg])]:
        annotation = parameter.annotation
        _bind(index, function.qualname, parameter.arg, Binding(at, annotation, "()" if annotation is not None else ""))


def _bind_import(index: _Index, module: Module, node: ast.Import | ast.ImportFrom, scope: str) -> None:
    guarded = any(isinstance(parent, ast.Try) for parent in _parents(index, node))
    at = _end(node)
    if isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            index.imports.append(Import(name, alias.name, node, guarded))
            _bind(index, scope, name, Binding(at, None, target=alias.name if alias.asname else name))
        return
    base = node.module or ""
    if node.level:
        parts = module.package.split(".") if module.package else []
        parts = parts[: len(parts) - (node.level - 1)] if node.level > 1 else parts
        base = ".".join([*parts, *([base] if base else [])])
    for alias in node.names:
        target = f"{base}.{alias.name}" if base else alias.name
        if alias.name == "*":
            index.imports.append(Import("*", base, node, guarded, star=True))
            continue
        name = alias.asname or alias.name
        index.imports.append(Import(name, target, node, guarded))
        _bind(index, scope, name, Binding(at, None, target=target))


def _parents(index: _Index, node: ast.AST) -> Iterator[ast.AST]:
    current = index.parents.get(node)
    while current is not None:
        yield current
        current = index.parents.get(current)


def _bind(index: _Index, scope: str, name: str, binding: Binding) -> None:
    index.bindings[scope].setdefault(name, []).append(binding)


def _start(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _end(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "end_lineno", 0) or 0, getattr(node, "end_col_offset", 0) or 0
