"""Imports and calls inside the repository that cannot work: no such module, no such name, wrong arguments.

    for broken in broken_imports(repo, module):   broken.node, broken.reason
    for broken in wrong_calls(repo, module):

Only what the repository alone decides: a name that some installed package could bring, a module that a build step or
an ignored file could bring, a function that is decorated or defined twice are left alone.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import children
from ml_engineer.assessment.module import Call, Function, Import, Module
from ml_engineer.assessment.undefined import exports

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# Modules that a build writes: protocol buffers, versions, compiled extensions.
_GENERATED = re.compile(r"(_pb2(_grpc)?|_?version(_info)?|_ext|_C|_cuda|_generated\w*|build_info)$")
_MODULE_ATTRIBUTES = frozenset({"__name__", "__file__", "__doc__", "__path__", "__version__", "__all__", "__dict__"})
_CALLED_AS_IS = frozenset({"staticmethod", "classmethod"})


@dataclass(frozen=True, eq=False, slots=True)
class Broken:
    """An import or call that fails, and why."""

    module: Module
    node: ast.stmt | ast.Call
    reason: str


# --- imports ----------------------------------------------------------------------------------------------------------


def broken_imports(repo: Repo, module: Module) -> Iterator[Broken]:
    """Imports of local modules or names that do not exist, by place."""
    if module.is_notebook:
        return
    for item in module.imports:
        if item.guarded or not isinstance(item.node, ast.ImportFrom) or _is_conditional(module, item.node):
            continue
        base = item.target if item.star else item.target.rpartition(".")[0]
        owner = _module(repo, module, item, base)
        if owner is None:
            elsewhere = misplaced(repo, module, item)
            if elsewhere is not None:
                name = item.target.rpartition(".")[2]
                where = f"`{name}` is defined in {elsewhere.path}"
                yield Broken(module, item.node, f"there is no module `{base}` in this repository, {where}")
                continue
            gone = base if item.node.level else _submodule(repo, module, base)
            if gone and _is_gone(repo, gone):
                yield Broken(module, item.node, f"there is no module `{base}` in this repository")
            continue
        if item.star:
            continue
        name = item.target.rpartition(".")[2]
        if not _has(repo, owner, name):
            yield Broken(module, item.node, f"`{name}` is not defined in {owner.path}")


def _is_conditional(module: Module, node: ast.AST) -> bool:
    return any(isinstance(parent, ast.If | ast.Try) for parent in module.ancestors(node))


def _module(repo: Repo, module: Module, item: Import, base: str) -> Module | None:
    """The local module that an import reads from, where no other can be meant."""
    assert isinstance(item.node, ast.ImportFrom)
    if item.node.level:
        return repo.by_dotted.get(base)
    if not base or _is_foreign(repo, base):
        return None
    places = [f"{prefix}.{base}".lstrip(".") for prefix in _prefixes(repo, module.package)]
    found = [repo.by_dotted[place] for place in places if place in repo.by_dotted]
    return found[0] if len(set(found)) == 1 and not found[0].is_notebook else None


def misplaced(repo: Repo, module: Module, item: Import) -> Module | None:
    """The one local module that defines a class which is imported from a module that exists nowhere in the tree.

    A script that was left behind when a file moved: no package is meant that is only not declared.
    """
    from ml_engineer.assessment.distributions import PLATFORM, canonical, is_standard, providers
    from ml_engineer.assessment.releases import BRINGS

    if not isinstance(item.node, ast.ImportFrom) or item.node.level or item.star or not item.name[:1].isupper():
        return None
    top = item.top
    if top in _local_names(repo) or is_standard(top) or top in PLATFORM or providers(item.target)[0] != canonical(top):
        return None
    if canonical(top) in BRINGS or _is_foreign(repo, top) or _may_be_ignored(repo, top):
        return None
    name = item.target.rpartition(".")[2]
    homes = [m for m in _named_classes(repo).get(name, ()) if name in m.classes]
    if len(homes) != 1 or homes[0] is module:
        return None
    base = item.target.rpartition(".")[0]  # a file that was moved keeps its name
    return homes[0] if "." not in base or base.endswith(f".{homes[0].file.name.removesuffix('.py')}") else None


def _named_classes(repo: Repo) -> dict[str, list[Module]]:
    """Names behind the word `class` -> the programs outside tests that have them."""
    found: dict[str, list[Module]] | None = repo.__dict__.get("_named_classes")
    if found is None:
        found = {}
        for module in repo.all_modules:
            if "test" not in module.file.roles and not module.is_notebook:
                for name in repo.facts[module.path].classes:
                    found.setdefault(name, []).append(module)
        repo.__dict__["_named_classes"] = found
    return found


def _local_names(repo: Repo) -> frozenset[str]:
    """Every part of the dotted name of a module of the repository."""
    found: frozenset[str] | None = repo.__dict__.get("_local_names")
    if found is None:
        found = frozenset(part for module in repo.all_modules for part in module.dotted.split("."))
        repo.__dict__["_local_names"] = found
    return found


def _may_be_ignored(repo: Repo, name: str) -> bool:
    """Whether .gitignore keeps a module of that name out, so that the author's disk may have it."""
    ignored = "\n".join(file.text for file in repo.glob(".gitignore"))
    return re.search(rf"(?m)^[^#\n]*\b{re.escape(name)}(\.py|/|\s*$)", ignored) is not None


def _submodule(repo: Repo, module: Module, base: str) -> str:
    """Full name of `package.name` where the package is surely one of this repository; empty elsewhere.

    What .gitignore names may be on the author's disk only, and a package of the same name may be installed.
    """
    package, _, name = base.rpartition(".")
    if not package or _is_foreign(repo, base):
        return ""
    places = [f"{prefix}.{package}".lstrip(".") for prefix in _prefixes(repo, module.package)]
    found = [place for place in places if f"{place.replace('.', '/')}/__init__.py" in repo.files]
    if len(found) != 1:
        return ""
    return "" if name.startswith("_") or _may_be_ignored(repo, name) else f"{found[0]}.{name}"


def _is_foreign(repo: Repo, base: str) -> bool:
    """Whether the name is one of the standard library, or of a package that is declared."""
    from ml_engineer.assessment.distributions import providers

    return base.split(".")[0] in sys.stdlib_module_names or any(repo.dependencies.of(name) for name in providers(base))


def _prefixes(repo: Repo, package: str) -> list[str]:
    """Where an absolute import may start: the file's folder and every folder above it, `src` too; never a package."""
    parts = package.split(".") if package else []
    above = [".".join(parts[:n]) for n in range(len(parts), -1, -1)]
    roots = [p for p in above if not p or f"{p.replace('.', '/')}/__init__.py" not in repo.files]
    return [*roots, *(f"{p}.src".lstrip(".") for p in above)]


def _is_gone(repo: Repo, base: str) -> bool:
    """Whether nothing of that name is in the tree: no module, no folder, no compiled or generated file."""
    if not base or _GENERATED.search(base):
        return False
    path = base.replace(".", "/")
    if any(name == path or name.startswith((f"{path}/", f"{path}.")) for name in repo.files):
        return False
    return not any(name.startswith(path) for name, _ in repo.skipped if name)


def _has(repo: Repo, owner: Module, name: str) -> bool:
    """Whether a module holds a name: defined, imported, a submodule, or brought by means that cannot be followed."""
    if name in _MODULE_ATTRIBUTES or _GENERATED.search(name):
        return True
    known = exports(repo, owner, set())
    if known is None or name in known or owner.file.unread or (not owner.file.data and owner.file.size):
        return True
    package = owner.dotted if owner.file.name == "__init__.py" else ""
    if owner.file.name == "__init__.py":
        path = f"{package.replace('.', '/')}/{name}" if package else name
        if any(p == path or p.startswith((f"{path}/", f"{path}.")) for p in repo.files):
            return True
        return any(p.startswith(path) for p, _ in repo.skipped if p)
    return False


# --- calls ------------------------------------------------------------------------------------------------------------


def wrong_calls(repo: Repo, module: Module) -> Iterator[Broken]:
    """Calls of local functions and classes with arguments that they do not take, by place."""
    for call in module.calls:
        target = _target(repo, call)
        if target is not None and (reason := _mismatch(*target, call)) and not _is_tried(module, call.node):
            yield Broken(module, call.node, reason)


def _is_tried(module: Module, node: ast.AST) -> bool:
    """Whether a call stands in a `try` that expects a TypeError: it asks which arguments are taken."""
    child = node
    for parent in module.ancestors(node):
        if isinstance(parent, ast.Try) and child in parent.body:
            if any("TypeError" in ast.unparse(h.type) for h in parent.handlers if h.type is not None):
                return True
        child = parent
    return False


def _target(repo: Repo, call: Call) -> tuple[Function, int] | None:
    """The function that a call surely runs, and how many of its first parameters are filled without being given."""
    function = repo.functions.get(call.name)
    if function is not None and function.class_name is None:
        return (function, 0) if _is_plain(repo, call, function) else None
    if call.name in repo.classes:
        return _constructor(repo, call)
    if function is not None and isinstance(call.node.func, ast.Attribute) and _is_self(call.node.func.value):
        if _is_plain(repo, call, function) and not _is_overridden(repo, function):
            return function, 0 if _decorators(function) == ["staticmethod"] else 1
    return None


def _is_plain(repo: Repo, call: Call, function: Function) -> bool:
    """Whether the name always stands for this very function, as it is written."""
    module = function.module
    if any(name not in _CALLED_AS_IS for name in _decorators(function)):
        return False
    outer = module.scope_of(function.node)
    if function.class_name is None and len(module.bindings_of(function.node.name, outer)) != 1:
        return False
    if function.class_name is not None and _definitions(module, function) != 1:
        return False
    if call.module is not module:
        if any(item.star and _may_bring(repo, call, item) for item in call.module.imports):
            return False
        if _has_namesake(repo, module) and call.module.file.folder != module.file.folder:
            return False
        root = call.node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name):
            return False
        scope = call.module.scope_of(call.node)
        bound = call.module.bindings_of(root.id, scope) or call.module.bindings_of(root.id, None)
        return len(bound) == 1
    return True


def _may_bring(repo: Repo, call: Call, item: Import) -> bool:
    """Whether `from … import *` may give the called name another meaning than its own import gives it."""
    root = call.node.func
    while isinstance(root, ast.Attribute):
        root = root.value
    named = [i for i in call.module.imports if not i.star and isinstance(root, ast.Name) and i.name == root.id]
    if named and all(i.node.lineno > item.node.lineno for i in named):
        return False  # what is imported later counts
    found = repo.local(call.module, item.target)
    if found is None or any(other.star for other in found[0].imports) or not isinstance(root, ast.Name):
        return True
    return bool(found[0].bindings_of(root.id, None))


def _definitions(module: Module, function: Function) -> int:
    """How often the function's class defines a method of its name, conditional definitions included."""
    counts: Counter[tuple[str, str]] | None = module.__dict__.get("_method_counts")
    if counts is None:
        counts = Counter()
        for class_name, node in module.classes.items():
            stack: list[ast.AST] = list(node.body)
            while stack:
                inner = stack.pop()
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    counts[class_name, inner.name] += 1
                elif isinstance(inner, ast.If | ast.Try | ast.ExceptHandler):
                    stack.extend(children(inner))
        module.__dict__["_method_counts"] = counts
    return counts[function.class_name or "", function.node.name]


def _decorators(function: Function) -> list[str]:
    return [ast.unparse(decorator) for decorator in function.node.decorator_list]


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _is_overridden(repo: Repo, function: Function) -> bool:
    """Whether some other local class defines a method of that name: it may inherit from this one."""
    counts: Counter[str] | None = repo.__dict__.get("_method_names")
    if counts is None:
        counts = Counter(f.node.name for m in repo.modules for f in m.functions.values() if f.class_name is not None)
        repo.__dict__["_method_names"] = counts
    return counts[function.node.name] > 1


def _has_namesake(repo: Repo, module: Module) -> bool:
    """Whether another file of the same name could be meant."""
    counts: Counter[str] | None = repo.__dict__.get("_file_names")
    if counts is None:
        counts = Counter(m.file.name for m in repo.all_modules)
        repo.__dict__["_file_names"] = counts
    return counts[module.file.name] > 1


def _constructor(repo: Repo, call: Call) -> tuple[Function, int] | None:
    """The `__init__` of a class that decides alone what it takes."""
    module, node = repo.classes[call.name]
    qualname = call.name.removeprefix(f"{module.dotted}.").lstrip(".")
    function = module.functions.get(f"{qualname}.__init__")
    if function is None or node.decorator_list or node.keywords or f"{qualname}.__new__" in module.functions:
        return None
    if len(module.bindings_of(node.name, module.scope_of(node))) != 1 or not _is_plain(repo, call, function):
        return None
    return function, 1


def _mismatch(function: Function, filled: int, call: Call) -> str | None:
    """How the arguments of a call differ from what the function takes, or None."""
    arguments = function.node.args
    positional = [a.arg for a in [*arguments.posonlyargs, *arguments.args]][filled:]
    only_position = {a.arg for a in arguments.posonlyargs}
    required = set(positional[: max(0, len(positional) - len(arguments.defaults))])
    keyword_only = {a.arg for a in arguments.kwonlyargs}
    required |= {a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None}
    name = function.qualname.removesuffix(".__init__")
    starred = any(isinstance(a, ast.Starred) for a in call.node.args)
    given = len(call.node.args)
    keywords = [k.arg for k in call.node.keywords]
    if not starred and given > len(positional) and arguments.vararg is None:
        return f"`{name}` takes {len(positional)} positional arguments, {given} are given"
    unknown = [k for k in keywords if k is not None and k not in set(positional) - only_position | keyword_only]
    if unknown and arguments.kwarg is None:
        return f"`{name}` has no parameter `{unknown[0]}`"
    if starred or None in keywords:
        return None
    missing = [
        p
        for p in [*positional, *sorted(keyword_only)]
        if p in required and p not in positional[:given] and p not in keywords
    ]
    return f"`{name}` needs `{missing[0]}`, which is not given" if missing else None
