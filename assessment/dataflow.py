"""Where a value comes from and where it goes: def-use over functions, module bodies and notebooks.

`sources` walks backwards from an expression and yields every expression whose value goes into it, nearest first:
through assignments (all that may reach, one for each branch), attributes, items, method chains, tuple unpacking, writes
into a part (`df["x"] = …`, `rows.append(…)`), attributes of `self`, and into or out of functions of this repository. On

    X = scaler.fit_transform(X);  a, b = train_test_split(X)

it leads from `b` to the call of `train_test_split` (with suffix `[1]`: that item of its value), to `X`, to the call of
`fit_transform`, and on. `flows` asks the same question forwards. Everything is bounded; what cannot be followed ends
the walk.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ml_engineer.assessment import callgraph
from ml_engineer.assessment.index import children, walk
from ml_engineer.assessment.module import Binding, Call, Function, Module

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

MAX_STEPS = 1500
MAX_CALLS_IN = 3  # functions entered from a call, one inside the other
MAX_CALLS_OUT = 2  # callers followed from a parameter
MAX_CALLERS = 8
_ITEM = re.compile(r"^\[(\d*)\]")
# Attributes and calls that tell something about the data, but hold none of it.
_METADATA = frozenset({"shape", "dtype", "dtypes", "ndim", "size", "columns", "index", "name", "names", "device"})
_NO_DATA = frozenset({"len", "range", "print", "type", "isinstance", "id", "hasattr", "super"})
_GROWS = frozenset({"append", "extend", "insert", "add", "update", "appendleft"})
_SHUFFLES = ("random.shuffle", "numpy.random.shuffle", "numpy.random.default_rng().shuffle")


class Step(NamedTuple):
    """An expression on the way of a value. `suffix` says which part of it counts: `[0]` its first item, `[]` any."""

    module: Module
    node: ast.expr
    suffix: str = ""
    inside: tuple[Call, ...] = ()  # calls that were entered on the way here
    callers: int = 0  # how often the walk left a function through its parameters

    @property
    def name(self) -> str:
        """Resolved name of what is called here; empty where the step is no call."""
        return self.module.resolve(self.node.func) if isinstance(self.node, ast.Call) else ""


class Write(NamedTuple):
    """A part of a named value is written: `x[k] = value`, `x.append(value)`, `x += value`."""

    position: tuple[int, int]
    value: ast.expr


def _everywhere(step: Step) -> bool:
    return True


def sources(
    repo: Repo,
    module: Module,
    node: ast.expr | None,
    through: Callable[[Step], bool] = _everywhere,
    *,
    suffix: str = "",
) -> Iterator[Step]:
    """Every expression whose value goes into `node`, itself first. Where `through` is false the walk stops there."""
    if node is None:
        return
    queue = deque([Step(module, node, suffix)])
    seen: set[tuple[ast.expr, str, tuple[ast.Call, ...]]] = set()
    while queue and len(seen) < MAX_STEPS:
        step = queue.popleft()
        key = (step.node, step.suffix, tuple([call.node for call in step.inside]) if step.inside else ())
        if key in seen:
            continue
        seen.add(key)
        yield step
        if through(step):
            queue.extend(_directly_behind(repo, step))


def flows(
    repo: Repo,
    value: ast.expr,
    sinks: Iterable[tuple[Module, ast.expr]],
    through: Callable[[Step], bool] = _everywhere,
) -> tuple[Module, ast.expr] | None:
    """The first of the sinks that the value of an expression goes into, or None."""
    for module, sink in sinks:
        if any(step.node is value for step in sources(repo, module, sink, through)):
            return module, sink
    return None


def same_value(module: Module, left: ast.expr, right: ast.expr) -> bool:
    """Whether two expressions are the same text over names that have the same bindings."""
    if ast.dump(left) != ast.dump(right):
        return False
    names = zip(_names(left), _names(right), strict=True)
    return all(_latest(module, a) is _latest(module, b) for a, b in names)


def _latest(module: Module, name: ast.Name) -> Binding | None:
    """The last binding before a use; None where the first one comes later."""
    bindings = [b for b in module.bindings_of(name.id, module.scope_of(name)) if b.position <= _position(name)]
    return bindings[-1] if bindings else module.binding(name) if module.scope_of(name) is not None else None


def root(node: ast.expr | None) -> ast.Name | None:
    """The name that a chain of attributes, items and method calls starts from."""
    while True:
        match node:
            case ast.Name():
                return node
            case ast.Attribute() | ast.Subscript() | ast.Starred() | ast.Await():
                node = node.value
            case ast.Call(func=ast.Attribute()):
                node = node.func
            case _:
                return None


def texts(node: ast.AST | None) -> set[str]:
    """Strings that are written below a node."""
    if node is None:
        return set()
    return {n.value for n in walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


# --- one step back ----------------------------------------------------------------------------------------------------


def _directly_behind(repo: Repo, step: Step) -> tuple[Step, ...]:
    """The steps directly behind one, kept: many rules walk over the same data."""
    known: dict[Step, tuple[Step, ...]] = repo.kept("steps_behind")
    found = known.get(step)
    if found is None:
        found = known[step] = tuple(_behind(repo, step))
    return found


def _behind(repo: Repo, step: Step) -> Iterator[Step]:
    node, suffix = step.node, step.suffix

    def go(child: ast.expr, part: str = "") -> Step:
        return Step(step.module, child, part, step.inside, step.callers)

    match node:
        case ast.Name():
            yield from _behind_name(repo, step, node)
        case ast.Attribute():
            if node.attr not in _METADATA:
                yield from _behind_attribute(repo, step, node)
        case ast.Subscript():
            index = node.slice.value if isinstance(node.slice, ast.Constant) else None
            known = isinstance(index, str) or (isinstance(index, int) and index >= 0)
            yield go(node.value, f"[{index!r}]{suffix}" if known else "")
        case ast.Tuple() | ast.List() | ast.Set():
            number = _ITEM.match(suffix)
            if number and number[1] and int(number[1]) < len(node.elts):
                yield go(node.elts[int(number[1])], suffix[number.end() :])
            else:
                rest = suffix[number.end() :] if number else ""
                yield from (go(item, rest) for item in node.elts)
        case ast.Dict():
            yield from (go(item, part) for item, part in _dict_items(node, suffix))
        case ast.Call():
            yield from _behind_call(repo, step, node)
        case ast.Starred() | ast.Await() | ast.NamedExpr() | ast.FormattedValue():
            yield go(node.value, suffix)
        case ast.IfExp():
            yield go(node.body, suffix)
            yield go(node.orelse, suffix)
        case ast.BinOp():
            yield go(node.left)
            yield go(node.right)
        case ast.UnaryOp():
            yield go(node.operand)
        case ast.BoolOp() | ast.JoinedStr():
            yield from (go(item, suffix) for item in node.values)
        case ast.Compare():
            yield go(node.left)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            number = _ITEM.match(suffix)
            yield go(node.elt, suffix[number.end() :] if number else "")
            yield from (go(part.iter) for part in node.generators)
        case ast.DictComp():
            yield go(node.value)
            yield from (go(part.iter) for part in node.generators)


def _dict_items(node: ast.Dict, suffix: str) -> Iterator[tuple[ast.expr, str]]:
    """The values of a dict display; one only, where the suffix names its key."""
    for key, value in zip(node.keys, node.values, strict=True):
        named = f"[{key.value!r}]" if isinstance(key, ast.Constant) else ""
        if named and suffix.startswith(named):
            yield value, suffix[len(named) :]
            return
    yield from ((value, "") for value in node.values)


def _behind_name(repo: Repo, step: Step, node: ast.Name) -> Iterator[Step]:
    module = step.module
    scope, bindings = reaching(module, node)
    for bound in bindings:
        if bound.value is not None and not _is_annotation(scope, bound, node.id):
            yield Step(module, bound.value, bound.suffix + step.suffix, step.inside, step.callers)
        elif bound.target is not None:
            yield from _behind_import(repo, step, bound.target)
        elif scope is not None:
            yield from _behind_parameter(repo, step, scope, node.id)
    since = max((b.position for b in bindings), default=(0, 0)) if len(bindings) == 1 else (0, 0)
    here = module.scope_of(node)
    for write in writes(module, node.id, scope):
        if scope is not here or since <= write.position <= _position(node):
            yield Step(module, write.value, "", step.inside, step.callers)


def _behind_import(repo: Repo, step: Step, target: str) -> Iterator[Step]:
    """A value of another module of this repository."""
    found = repo.local(step.module, target)
    if found is None or not found[1] or "." in found[1]:
        return
    module, name = found
    for bound in module.bindings_of(name, None)[-1:]:
        if bound.value is not None:
            yield Step(module, bound.value, bound.suffix + step.suffix, (), step.callers)


def _behind_parameter(repo: Repo, step: Step, function: Function, name: str) -> Iterator[Step]:
    if step.inside and _enters(repo, step.inside[-1], function):
        call = step.inside[-1]
        given = argument_for(function, call, name)
        if given is not None:
            yield Step(call.module, given, step.suffix, step.inside[:-1], step.callers)
        return
    if step.callers < MAX_CALLS_OUT:
        for call in callers(repo, function)[:MAX_CALLERS]:
            given = argument_for(function, call, name)
            if given is not None:
                yield Step(call.module, given, step.suffix, (), step.callers + 1)
    default = _default(function, name)
    if default is not None:
        yield Step(step.module, default, step.suffix, step.inside, step.callers)


def _behind_attribute(repo: Repo, step: Step, node: ast.Attribute) -> Iterator[Step]:
    function = step.module.scope_of(node)
    if isinstance(node.value, ast.Name) and node.value.id == "self" and function is not None:
        for bound in attribute_writes(step.module).get((class_of(step.module, function), node.attr), []):
            if bound.value is not None:
                yield Step(step.module, bound.value, bound.suffix + step.suffix, step.inside, step.callers)
        return
    yield Step(step.module, node.value, "", step.inside, step.callers)


def _behind_call(repo: Repo, step: Step, node: ast.Call) -> Iterator[Step]:
    module, name, suffix = step.module, step.name, step.suffix
    if name in _NO_DATA:
        return
    functions = [] if name.replace("()", "") in repo.classes else list(callgraph.callees(repo, name))
    if len(functions) == 1 and len(step.inside) < MAX_CALLS_IN:
        values = returns(functions[0])
        if values:
            inside = (*step.inside, module.call_of(node))
            yield from (Step(functions[0].module, value, suffix, inside, step.callers) for value in values)
            return
    picked, part = _picked_argument(node, name, suffix)
    if picked is not None:
        yield Step(module, picked, part, step.inside, step.callers)
        return
    if isinstance(node.func, ast.Attribute):
        yield Step(module, node.func.value, "", step.inside, step.callers)
    for argument in [*node.args, *(k.value for k in node.keywords)]:
        yield Step(module, argument, "", step.inside, step.callers)


def _picked_argument(node: ast.Call, name: str, suffix: str) -> tuple[ast.expr | None, str]:
    """The argument that one item of the call's value is made of, and which part of it."""
    number = _ITEM.match(suffix)
    if name.endswith("train_test_split") and number and number[1] and int(number[1]) // 2 < len(node.args):
        return node.args[int(number[1]) // 2], ""
    if name in ("zip", "enumerate") and number:
        inner = _ITEM.match(suffix[number.end() :])
        if inner and inner[1]:
            position = int(inner[1]) if name == "zip" else 0
            if position < len(node.args) and (name == "zip" or inner[1] == "1"):
                return node.args[position], "[]"
    return None, ""


# --- definitions ------------------------------------------------------------------------------------------------------


def reaching(module: Module, node: ast.Name) -> tuple[Function | None, list[Binding]]:
    """The scope that a name belongs to, and the bindings of it that may reach this use, the latest first."""
    scope = module.scope_of(node)
    inner = True
    while True:
        bindings = module.bindings_of(node.id, scope)
        if bindings:
            if not inner:
                return scope, bindings[-1:]
            at = _position(node)
            earlier = [b for b in bindings if b.position <= at]
            return scope, list(_until_certain(module, node, earlier)) if earlier else bindings[:1]
        if scope is None:
            return None, []
        scope = module.scope_of(scope.node)
        inner = False


def _until_certain(module: Module, use: ast.AST, bindings: list[Binding]) -> Iterator[Binding]:
    """Backwards through the bindings, up to the first that has taken place whichever way the program went."""
    around = [use, *module.ancestors(use)]
    held = set(around)
    for bound in reversed(bindings):
        yield bound
        if bound.value is None or module.parent(bound.value) is None:
            return
        statement = module.statement_of(bound.value)
        if statement in held:
            return
        parent = module.parent(statement)
        if parent in held:
            child = around[around.index(parent) - 1]
            if any(statement in block and child in block for block in _blocks(parent)):
                return


def _blocks(node: ast.AST) -> Iterator[list[ast.AST]]:
    for field in ("body", "orelse", "finalbody", "handlers"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield block


def writes(module: Module, name: str, scope: Function | None) -> list[Write]:
    """Writes into parts of a name in one scope, in source order."""
    index: dict[tuple[str, str], list[Write]] | None = module.__dict__.get("_writes")
    if index is None:
        index = defaultdict(list)
        for node in module.nodes(ast.Assign, ast.AugAssign, ast.Expr):
            for target, value in _written(module, node):
                start = root(target)
                if start is not None and start.id not in ("self", "cls"):
                    owner = module.scope_of(start)
                    index[(owner.qualname if owner else "", start.id)].append(Write(_position(node), value))
        for found in index.values():
            found.sort(key=lambda write: write.position)
        module.__dict__["_writes"] = index
    return index.get((scope.qualname if scope else "", name), [])


def _written(module: Module, node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign():
            for target in node.targets:
                if isinstance(target, ast.Subscript | ast.Attribute):
                    yield target, node.value
        case ast.AugAssign():
            yield node.target, node.value
        case ast.Expr(value=ast.Call() as call):
            if isinstance(call.func, ast.Attribute) and call.func.attr in _GROWS:
                yield from ((call.func.value, argument) for argument in call.args)
            elif any(k.arg == "inplace" and getattr(k.value, "value", False) is True for k in call.keywords):
                yield call.func, call
            elif call.args and module.resolve(call.func) in _SHUFFLES:
                yield call.args[0], call


def attribute_writes(module: Module) -> dict[tuple[str, str], list[Binding]]:
    """Every assignment to `self.name`, by class and name, in source order."""
    index: dict[tuple[str, str], list[Binding]] | None = module.__dict__.get("_attribute_writes")
    if index is None:
        index = defaultdict(list)
        for function in module.functions.values():
            owner = class_of(module, function)
            if not owner:
                continue
            for node in walk(function.node):
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        _attribute_target(index, owner, target, node.value, "")
                elif isinstance(node, ast.AnnAssign) and node.value is not None:
                    _attribute_target(index, owner, node.target, node.value, "")
        module.__dict__["_attribute_writes"] = index
    return index


def _attribute_target(
    index: dict[tuple[str, str], list[Binding]], owner: str, target: ast.expr, value: ast.expr, suffix: str
) -> None:
    match target:
        case ast.Attribute(value=ast.Name(id="self")):
            index[(owner, target.attr)].append(Binding(_position(target), value, suffix))
        case ast.Tuple() | ast.List():
            for number, item in enumerate(target.elts):
                if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts) and not suffix:
                    _attribute_target(index, owner, item, value.elts[number], "")
                else:
                    _attribute_target(index, owner, item, value, f"{suffix}[{number}]")


def class_of(module: Module, function: Function | None) -> str:
    """The class that a function is a method of, or is defined inside a method of; empty otherwise."""
    while function is not None:
        if function.class_name:
            return function.class_name
        function = module.scope_of(function.node)
    return ""


# --- functions --------------------------------------------------------------------------------------------------------


def returns(function: Function) -> list[ast.expr]:
    """What a function returns or yields."""
    cache: dict[Function, list[ast.expr]] = function.module.__dict__.setdefault("_returns", {})
    if function not in cache:
        found = []
        stack: list[ast.AST] = list(function.node.body)
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value is not None:
                found.append(node.value)
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                stack.extend(children(node))
        cache[function] = sorted(found, key=_position)
    return cache[function]


def callers(repo: Repo, function: Function) -> list[Call]:
    """The calls of a function in this repository, test files left out. A class is a call of its `__init__`."""
    index: dict[Function, list[Call]] | None = repo.__dict__.get("_callers")
    if index is None:
        index = defaultdict(list)
        for module in repo.modules:
            if "test" in module.file.roles:
                continue
            for call in module.calls:
                for callee in _called(repo, call):
                    index[callee].append(call)
        repo.__dict__["_callers"] = index
    return index.get(function, [])


def _called(repo: Repo, call: Call) -> list[Function]:
    plain = call.name.replace("()", "")
    if plain in repo.classes:
        made = callgraph.method(repo, plain, "__init__")
        return [made] if made is not None else []
    return list(callgraph.callees(repo, call.name))


def _enters(repo: Repo, call: Call, function: Function) -> bool:
    return function in _called(repo, call)


def argument_for(function: Function, call: Call, name: str) -> ast.expr | None:
    """What a call gives for a parameter of the function; None where it gives nothing or cannot be seen."""
    positional = [a.arg for a in [*function.node.args.posonlyargs, *function.node.args.args]]
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.node.decorator_list)
    if function.class_name and not static:
        positional = positional[1:]
    if name in positional:
        return call.argument(positional.index(name), name)
    return call.keyword(name)


def _default(function: Function, name: str) -> ast.expr | None:
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    for parameter, value in zip(reversed(positional), reversed(arguments.defaults), strict=False):
        if parameter.arg == name:
            return value
    for parameter, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if parameter.arg == name:
            return default
    return None


def _is_annotation(scope: Function | None, bound: Binding, name: str) -> bool:
    """Whether a binding is a parameter: its value is the annotation, which is not where the value comes from."""
    if scope is None or bound.position != (scope.node.lineno, scope.node.col_offset):
        return False
    return any(p.arg == name for p in scope.parameters)


def _names(node: ast.AST) -> list[ast.Name]:
    return [n for n in walk(node) if isinstance(n, ast.Name)]


def _position(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
