"""Which functions and module bodies are reached from an entry point.

A unit is a function, or a module (its body, run when it is imported). Edges: a resolved call, a function handed over
as an argument or kept in a table (`{"a": A, "b": B}[name]()`); a module that is handed over reaches all that it
defines, for something picks from it by name (`getattr(models, config["type"])`); instantiating a class reaches all its
methods, because frameworks call them (forward, __getitem__, training_step …); importing a local module reaches its
body. A name that cannot be resolved makes no edge.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_engineer.assessment.module import Call, Function, Module

if TYPE_CHECKING:
    from ml_engineer.assessment.entrypoints import Entry
    from ml_engineer.assessment.repo import Repo

Unit = Function | Module
MAX_UNITS = 3_000  # more than a project reaches of its own; an entry into a large library would reach all of it


@dataclass(eq=False)
class Closure:
    """What is reached from some entry points."""

    entries: list[Entry]
    functions: set[Function] = field(default_factory=set)
    bodies: set[Module] = field(default_factory=set)  # modules whose body runs
    started: set[Module] = field(default_factory=set)  # modules run as a script: their main guard runs too
    cut: bool = False  # more would be reached: what is not in here may be there all the same

    @property
    def modules(self) -> set[Module]:
        """Every module of which some code is reached."""
        return self.bodies | {function.module for function in self.functions}

    def __bool__(self) -> bool:
        return bool(self.entries)

    def covers(self, module: Module, node: ast.AST) -> bool:
        """Whether a node is reached: its function is, or it runs with a module body that is."""
        scope = module.scope_of(node)
        while scope is not None:
            if scope in self.functions:
                return True
            outer = module.scope_of(scope.node)
            if outer is None:
                return False
            scope = outer
        if module not in self.bodies:
            return False
        guard = module.main_guard
        return guard is None or module in self.started or not _inside(module, node, guard)

    def calls(self, *patterns: str) -> Iterator[Call]:
        """Reached calls whose resolved name matches one of the patterns, by path and place."""
        from ml_engineer.assessment.repo import matching

        for module in sorted(self.modules, key=lambda m: m.path):
            names = matching(module.call_names, *patterns)
            if names:
                yield from (call for call in module.calls if call.name in names and self.covers(module, call.node))

    def imports(self, *packages: str) -> bool:
        """Whether a reached module imports one of the top-level packages."""
        return any(item.top in packages for module in self.modules for item in module.imports)


def closure_of(repo: Repo, entries: Iterable[Entry]) -> Closure:
    """Everything reached from the entries."""
    closure = Closure(list(entries))
    stack: list[Unit] = []
    for entry in closure.entries:
        stack.append(entry.module)
        if entry.unit is None:
            closure.started.add(entry.module)
        else:
            stack.append(entry.unit)
            made = entry.module.functions.get(f"{entry.unit.class_name}.__init__")
            if made is not None:  # a method needs an object
                stack.append(made)
    limit = MAX_UNITS if len(repo.all_modules) == len(repo.modules) else MAX_UNITS // 30
    while stack and len(closure.functions) + len(closure.bodies) < limit:
        unit = stack.pop()
        if isinstance(unit, Module):
            if unit in closure.bodies:
                continue
            closure.bodies.add(unit)
        else:
            if unit in closure.functions:
                continue
            closure.functions.add(unit)
            if unit.module not in closure.bodies:
                stack.append(unit.module)
        stack.extend(successors(repo, unit, started=unit in closure.started))
    closure.cut = bool(stack)
    return closure


def successors(repo: Repo, unit: Unit, *, started: bool) -> Collection[Unit]:
    """Units that a unit leads to directly, in the order of its text: a closure that is cut short is the same each time.

    `started`: the module is run as a script, so its main guard counts.
    """
    key = (unit, started)
    cache: dict[tuple[Unit, bool], dict[Unit, None]] = repo.kept("successor_cache")
    if key not in cache:
        cache[key] = dict.fromkeys(_edges(repo, unit, started))
    return cache[key]


def _edges(repo: Repo, unit: Unit, started: bool) -> Iterator[Unit]:
    module = unit if isinstance(unit, Module) else unit.module
    scope = unit if isinstance(unit, Function) else None
    guard = None if started else module.main_guard
    for call in module.calls_by_scope.get(scope, []):
        if scope is None and guard is not None and _inside(module, call.node, guard):
            continue
        yield from callees(repo, call.name)
        for argument in [*call.node.args, *(k.value for k in call.node.keywords)]:
            if isinstance(argument, ast.Name | ast.Attribute):
                name = module.resolve(argument)
                yield from callees(repo, name)
                if name in repo.by_dotted:
                    yield from repo.by_dotted[name].functions.values()
    for value in _table_values(module).get(scope, ()):
        yield from callees(repo, module.resolve(value))
    for item in module.imports:
        if module.scope_of(item.node) is scope:
            found = repo.local(module, item.target)
            if found is not None and found[0] is not module:
                yield found[0]
    if scope is not None:  # decorators and nested functions belong to the unit
        yield from module.functions_by_scope.get(scope, [])


def _table_values(module: Module) -> dict[Function | None, list[ast.expr]]:
    """Names that stand as values in dictionary displays, by scope: something picks one by its key."""
    found: dict[Function | None, list[ast.expr]] | None = module.__dict__.get("_table_values")
    if found is None:
        found = {}
        for node in module.nodes(ast.Dict):
            names = [value for value in node.values if isinstance(value, ast.Name | ast.Attribute)]
            if names:
                found.setdefault(module.scope_of(node), []).extend(names)
        module.__dict__["_table_values"] = found
    return found


def callees(repo: Repo, name: str) -> Iterator[Function]:
    """The functions that calling (or instantiating) a resolved name may run. Looked up once for a name."""
    known: dict[str, tuple[Function, ...]] = repo.kept("callees")
    if name not in known:
        known[name] = tuple(_callees(repo, name))
    return iter(known[name])


def _callees(repo: Repo, name: str) -> Iterator[Function]:
    plain = name.replace("()", "")
    function = repo.functions.get(plain)
    if function is not None:
        yield function
        return
    if plain in repo.classes:
        yield from methods(repo, plain)
        return
    owner, _, attribute = plain.rpartition(".")
    if owner in repo.classes:
        inherited = method(repo, owner, attribute)
        if inherited is not None:
            yield inherited


def methods(repo: Repo, class_name: str) -> Iterator[Function]:
    """All methods of a local class and of its local bases."""
    for name in lineage(repo, class_name):
        module, _ = repo.classes[name]
        inside = name.removeprefix(module.dotted).removeprefix(".")
        yield from (f for f in module.functions.values() if f.class_name == inside)


def method(repo: Repo, class_name: str, attribute: str) -> Function | None:
    """A method of a local class, looked up through its local bases."""
    for name in lineage(repo, class_name):
        found = repo.functions.get(f"{name}.{attribute}")
        if found is not None:
            return found
    return None


def lineage(repo: Repo, class_name: str) -> list[str]:
    """A local class and its local bases, nearest first."""
    order: list[str] = []
    queue = [class_name]
    while queue and len(order) < 32:
        name = queue.pop(0)
        if name in order or name not in repo.classes:
            continue
        order.append(name)
        module, node = repo.classes[name]
        queue.extend(module.resolve(base) for base in node.bases)
    return order


def bases(repo: Repo, class_name: str) -> set[str]:
    """Resolved names of everything a local class inherits from, foreign bases included."""
    found: set[str] = set()
    for name in lineage(repo, class_name):
        module, node = repo.classes[name]
        found.update(module.resolve(base) for base in node.bases)
    return found


def _inside(module: Module, node: ast.AST, ancestor: ast.AST) -> bool:
    return node is ancestor or any(parent is ancestor for parent in module.ancestors(node))
