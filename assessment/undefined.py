"""Names that are read but bound nowhere, or only further down, where the program gets to the read first.

    for missing in undefined(repo, module):     missing.name, missing.node, missing.later (a binding below)

A wrong answer here would be a false alarm of the worst kind, so that everything that may bind a name out of sight
excuses it: star imports from packages that are not in the repository, `exec`, `globals()[...] = …`, magics, cells that
cannot be parsed, a check for the name itself, code for another Python version.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import children, walk
from ml_engineer.assessment.module import Function, Module
from ml_engineer.assessment.scopes import Read, Scopes, scan

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_MODULE_NAMES = frozenset(
    "get_ipython __IPYTHON__ _ profile PythonFinalizationError "
    "__file__ __name__ __doc__ __package__ __spec__ __loader__ __path__ __builtins__ __annotations__ __dict__ "
    "__class__ __module__ __qualname__ __debug__ __cached__ __version__ WindowsError reveal_type reveal_locals".split()
)
_ALWAYS_THERE = _MODULE_NAMES.union(dir(builtins), dir(type(builtins)))
# What IPython, its hosted notebooks and their kernels put into a notebook.
_NOTEBOOK_NAMES = frozenset(
    "get_ipython display In Out exit quit _ __ ___ _i _ii _iii _ih _oh _dh spark sc sqlContext dbutils displayHTML "
    "sql table udf getArgument context sagemaker_session".split()
)
# Built in until Python 3.
PYTHON2_NAMES = frozenset(
    "xrange unicode raw_input basestring unichr execfile cmp long reduce reload file intern".split()
)
_CELLS = re.compile(r"^# (?:%%|\+$|%(?:load_ext|autoreload|matplotlib)\b)|^#\s+jupytext:", re.M)
_HISTORY = re.compile(r"^_i?\d+$")
_BRINGS_NAMES = re.compile(r"^%pylab\b|^%run\b|^%load\b|^%store\s+-r\b|^%autoreload\b.*\bfrom\b|^%%(?:cython|px|spark)")
_OTHER_PYTHON = re.compile(
    r"version_info|hexversion|python_version|\bPY[23]\w*|\bpy[23]k?\b|\bsix\b|sys\.version", re.I
)
_NAME_CHECKS = frozenset({"globals", "locals", "vars", "dir", "hasattr"})
_NAME_MAKERS = re.compile(r"\b(globals|locals|vars|exec|execfile|eval_code|setattr)\s*\(|__dict__|builtins")
_NAME_MAKER_WORDS = ("globals", "locals", "vars", "exec", "eval_code", "setattr", "__dict__", "builtins")
_RUN_TIME_NAMES = frozenset({"exec", "execfile", "eval_code"})


@dataclass(frozen=True, eq=False, slots=True)
class Undefined:
    """A read without a binding. `later` is the binding that comes too late, or None: there is none at all."""

    module: Module
    node: ast.Name
    later: ast.AST | None
    certain: bool  # no star import of this repository could not be followed
    grown: bool = False  # a name of a function that is only ever added to: UnboundLocalError

    @property
    def name(self) -> str:
        return self.node.id


def undefined(repo: Repo, module: Module) -> list[Undefined]:
    """Reads of names that cannot have a value, by place. Computed once for a module."""
    found: list[Undefined] | None = module.__dict__.get("_undefined")
    if found is None:
        found = [*_undefined(repo, module), *_only_grown(module)]
        module.__dict__["_undefined"] = found
    return found


def _undefined(repo: Repo, module: Module) -> Iterator[Undefined]:
    if not _is_suspect(module) or (module.source.errors and not module.is_notebook):
        return  # a file that cannot be parsed as it stands is told as that
    scopes = scan(module.tree)
    candidates = [(read, later) for read in scopes.reads if (later := _late(module, read)) is not _FINE]
    if not candidates or _makes_names(module) or hides_names(module):
        return
    exported = _star_names(repo, module, scopes)
    if exported is None:
        return
    excused = exported | _hidden_words(module)
    for read, later in candidates:
        name = read.node.id
        if name not in excused and not _is_guarded(module, read.node):
            yield Undefined(module, read.node, later, certain=not scopes.stars)


def _only_grown(module: Module) -> Iterator[Undefined]:
    """First places where a function adds to a name of its own that it gives no value anywhere."""
    by_function: dict[Function, dict[str, ast.Name]] = {}
    for node in module.nodes(ast.AugAssign):
        function = module.scope_of(node)
        if function is not None and isinstance(node.target, ast.Name):
            by_function.setdefault(function, {}).setdefault(node.target.id, node.target)
    for function, grown in by_function.items():
        given = {a.arg for a in walk(function.node.args) if isinstance(a, ast.arg)}
        for inner in walk(function.node):
            match inner:
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    if not isinstance(module.parent(inner), ast.AugAssign):
                        given.add(name)
                case ast.Global(names=names) | ast.Nonlocal(names=names):
                    given.update(names)
                case ast.alias(name=name, asname=asname):
                    given.add(asname or name.split(".")[0])
                case _ if isinstance(named := getattr(inner, "name", None), str):
                    given.add(named)  # a handler's exception, a pattern, a function or class inside
        for name, target in grown.items():
            if name not in given:
                yield Undefined(module, target, None, certain=True, grown=True)


def _is_suspect(module: Module) -> bool:
    """Whether a closer look is worth its time. The compiler's own symbol table clears almost every file at once."""
    if module.is_notebook:
        return True
    table = _symbols(module)
    if table is None:
        return True
    known = top_names(module, table) | _ALWAYS_THERE
    for scope in _scopes(table):
        for name in scope.get_identifiers():
            if name not in known:
                symbol = scope.lookup(name)
                if symbol.is_referenced() and (symbol.is_global() or scope is table):
                    return True
    return _reads_ahead(module.tree)


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """The symbol table of a file and all in it."""
    stack = [table]
    while stack:
        scope = stack.pop()
        stack.extend(scope.get_children())
        yield scope


def _reads_ahead(tree: ast.Module) -> bool:
    """Whether a statement of the module's own level names something that no statement above it binds."""
    bound: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(statement.name)
            continue
        loads: set[str] = set()
        stack: list[ast.AST] = [statement]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Name):
                (loads if isinstance(node.ctx, ast.Load) else bound).add(node.id)
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound.add(node.name)
            stack.extend(children(node))
        if not loads - bound <= _ALWAYS_THERE:
            return True
    return False


def _symbols(module: Module) -> symtable.SymbolTable | None:
    """The compiler's symbol table of a `.py` file, or None where it refuses the source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return symtable.symtable(module.file.text, module.path, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


_FINE = ast.Pass()  # marks a read that has its binding


def _late(module: Module, read: Read) -> ast.AST | None:
    """`_FINE`, or the first binding where all come too late, or None where there is none."""
    name = read.node.id
    owner = read.scope.owner_of(name)
    if name in _ALWAYS_THERE:
        return _FINE
    if _is_hosted(module) and (name in _NOTEBOOK_NAMES or _HISTORY.match(name)):
        return _FINE
    if owner is None:
        return None
    if owner.kind != "module" or read.scope.deferred:
        return _FINE
    first = min(owner.bindings[name], key=_position)
    return first if _comes_too_late(module, read.node, owner.bindings[name]) else _FINE


def _is_hosted(module: Module) -> bool:
    """Whether a notebook's kernel runs the code: a notebook, or one that Databricks or Jupytext keeps as a script."""
    if module.is_notebook or module.file.text.startswith("# Databricks notebook source"):
        return True
    return _CELLS.search(module.file.text) is not None


def _comes_too_late(module: Module, read: ast.Name, bindings: list[ast.AST]) -> bool:
    """Whether code that runs once, from top to bottom, reads the name before any statement that binds it."""
    if module.is_notebook:
        cell = module.source.cell_at(read.lineno)
        if cell is not None:
            places = [module.source.cell_at(_position(b)[0]) for b in bindings]
            return all(place is not None and place.index > cell.index for place in places)
    if any(_position(b)[0] <= read.lineno for b in bindings):
        return False
    if module.enclosing(read, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.If, ast.comprehension) is not None:
        return False
    statement = module.statement_of(read)
    return all(_position(b)[0] > (statement.end_lineno or statement.lineno) for b in bindings)


def _position(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


# --- what may bind a name out of sight --------------------------------------------------------------------------------


def _makes_names(module: Module) -> bool:
    """Whether the program may make module names while it runs."""
    text = module.file.text
    if not any(word in text for word in _NAME_MAKER_WORDS) or not _NAME_MAKERS.search(text):
        return False
    for call in module.calls:
        function = call.node.func
        if isinstance(function, ast.Name) and function.id in _RUN_TIME_NAMES:
            return True
        if any(isinstance(argument, ast.Call) and ast.unparse(argument) == "globals()" for argument in call.node.args):
            return True  # what is handed the module's names may add to them, as generated code has it
        if isinstance(function, ast.Attribute) and function.attr in ("update", "setdefault", "__setitem__"):
            if _is_namespace(function.value):
                return True
        if isinstance(function, ast.Name) and function.id == "setattr" and call.node.args:
            if "sys.modules" in ast.unparse(call.node.args[0]) or "builtins" in ast.unparse(call.node.args[0]):
                return True
    return any(
        any(isinstance(t, ast.Subscript) and _is_namespace(t.value) for t in node.targets)
        for node in module.nodes(ast.Assign)
    ) or any("builtins" in item.target for item in module.imports)


def _is_namespace(node: ast.expr) -> bool:
    """`globals()`, `locals()`, `vars()`, `module.__dict__`."""
    if isinstance(node, ast.Attribute):
        return node.attr == "__dict__"
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAME_CHECKS


def _star_names(repo: Repo, module: Module, scopes: Scopes) -> frozenset[str] | None:
    """Names that star imports bring, or None where they cannot be known."""
    names: set[str] = set()
    for item in module.imports:
        if item.star:
            found = repo.local(module, item.target) if item.target else None
            if found is None or found[1]:
                return None
            exported = exports(repo, found[0], {module})
            if exported is None:
                return None
            names |= exported
    return frozenset(names)


def exports(repo: Repo, module: Module, seen: set[Module]) -> frozenset[str] | None:
    """Names that `from module import *` brings, or None where they cannot be known. Computed once for a module."""
    if module in seen:
        return frozenset()
    if "_exports" not in module.__dict__:
        module.__dict__["_exports"] = _exports(repo, module, seen | {module})
    found: frozenset[str] | None = module.__dict__["_exports"]
    return found


def _exports(repo: Repo, module: Module, seen: set[Module]) -> frozenset[str] | None:
    if module.source.errors or _makes_names(module):
        return None
    names: set[str] = set(top_names(module))
    for item in module.imports:
        if item.star:
            found = repo.local(module, item.target) if item.target else None
            more = exports(repo, found[0], seen) if found is not None and not found[1] else None
            if more is None:
                return None
            names |= more
    return None if "__getattr__" in names else frozenset(names)


def top_names(module: Module, table: symtable.SymbolTable | None = None) -> frozenset[str]:
    """Names that the module's own code binds at its top level, or by `global` anywhere. `table`: its symbols."""
    if "_top_names" not in module.__dict__:
        table = None if module.is_notebook else table or _symbols(module)
        if table is None:
            names = frozenset(scan(module.tree).module.bindings)
        else:
            names = frozenset(_bound_at_top(table, inner="global" in module.file.text))
        module.__dict__["_top_names"] = names
    found: frozenset[str] = module.__dict__["_top_names"]
    return found


def _bound_at_top(table: symtable.SymbolTable, *, inner: bool) -> Iterator[str]:
    """Names that the top level binds, and with `inner` those that functions declare global."""
    for scope in _scopes(table) if inner else (table,):
        for symbol in scope.get_symbols():
            binds = symbol.is_assigned() or symbol.is_imported()
            if binds and (scope is table or symbol.is_declared_global()):
                yield symbol.get_name()


def _hidden_words(module: Module) -> frozenset[str]:
    """Words of a notebook's magics and broken cells: any of them may be a name bound there."""
    if not module.is_notebook:
        return frozenset()
    texts = [text for _, text in module.source.magics]
    broken = [cell for e in module.source.errors if (cell := module.source.cell_at(e.line)) is not None]
    texts += [cell.source for cell in broken]
    return frozenset(re.findall(r"[A-Za-z_]\w*", "\n".join(texts)))


def hides_names(module: Module) -> bool:
    """Whether a magic of a notebook brings names that are not written in it."""
    return any(_BRINGS_NAMES.match(text) for _, text in module.source.magics)


def _is_guarded(module: Module, node: ast.Name) -> bool:
    """Whether the program is prepared for the name not to exist, or does not get here."""
    child: ast.AST = node
    for ancestor in module.ancestors(node):
        if isinstance(ancestor, ast.Try) and child in ancestor.body and _expects_missing(ancestor):
            return True
        if isinstance(ancestor, ast.If | ast.IfExp):
            if _OTHER_PYTHON.search(ast.unparse(ancestor.test)) or _asks_for(ancestor.test, node.id):
                return True
            if isinstance(ancestor.test, ast.Constant) and not ancestor.test.value and child not in _orelse(ancestor):
                return True
        if isinstance(ancestor, ast.Delete):
            return True
        if _follows_exit(ancestor, child):
            return True
        child = ancestor
    return False


def _orelse(node: ast.If | ast.IfExp) -> list[ast.AST]:
    return list(node.orelse) if isinstance(node.orelse, list) else [node.orelse]


def _expects_missing(node: ast.Try) -> bool:
    for handler in node.handlers:
        caught = ast.unparse(handler.type) if handler.type is not None else ""
        if "NameError" in caught:
            return True
        if caught in ("", "Exception", "BaseException") and len(node.body) <= 1:
            return True
    return False


def _asks_for(test: ast.expr, name: str) -> bool:
    """Whether a condition asks if the name exists: `"x" in globals()`."""
    return any(isinstance(n, ast.Constant) and n.value == name for n in walk(test))


def _follows_exit(block: ast.AST, child: ast.AST) -> bool:
    """Whether a statement stands behind a `return` or `raise` of its own block, where nothing gets."""
    for name in ("body", "orelse", "finalbody"):
        statements = getattr(block, name, None)
        if isinstance(statements, list) and child in statements:
            before = statements[: statements.index(child)]
            return any(isinstance(s, ast.Return | ast.Raise | ast.Continue | ast.Break) for s in before)
    return False
