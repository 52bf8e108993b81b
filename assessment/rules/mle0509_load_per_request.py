"""M5-09: the model is read again for each request."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Function, Module
    from ml_engineer.assessment.repo import Repo

_CACHES = re.compile(
    r"(.*\.)?\w*(lru_cache|cached|cache|cache_resource|cache_data|singleton|memoize|memoise)\w*$", re.I
)
_MODEL = re.compile(r"(model|clf|net|classifier|regressor|predictor)\w*\s*=(?!=)", re.I)
_GIVEN = re.compile(r"gradio\.(Interface|ChatInterface)$|gradio\..*\.(click|submit|change|then|load|upload)$")
_TEST_OF_ABSENCE = (ast.Is, ast.IsNot, ast.In, ast.NotIn)
# Calls that only configure or make an object around weights that are there already are no loads by themselves.
_NO_LOAD = re.compile(r"transformers\.\w*(Config|Tokenizer\w*)\.from_pretrained|timm\.create_model")


def _answers(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import model_handlers

    return bool(model_handlers(repo)) or bool(repo.closure("serve"))


@rule(
    id="MLE0509",
    name="load-per-request",
    step=5,
    severity=HIGH,
    title="The model is loaded again for each request",
    why="Each request waits for the file and the unpickling, and concurrent ones multiply the memory.",
    remedy="Load once at start-up (module level, lifespan) or behind functools.lru_cache, and reuse the object.",
    source="observed in public services",
    peers=("aiops-specialist",),
    applies=_answers,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import model_handlers

    groups: dict[str, list[Site]] = {}
    for handler in model_handlers(repo):
        loads = [] if is_cached(handler.function) else _loads(repo, [handler.function])
        if loads:
            handled = handler.module.site(handler.function.node, note="this handler leads to the load")
            groups.setdefault(handler.module.path, []).extend([*loads, handled])
    for module, starts, again in _interfaces(repo):
        groups.setdefault(module.path, []).extend([*again, *_loads(repo, starts)])
    for sites in filter(None, groups.values()):
        # The model itself before scalers and vocabularies, and before the places that are only on the way.
        ordered = sorted(dict.fromkeys(sites), key=lambda s: (s.note is not None, not _MODEL.search(s.quote)))
        yield Hit(ordered)


def _loads(repo: Repo, starts: list[Function]) -> list[Site]:
    """Loads that running these functions repeats, a wrapper's caller before the load in the wrapper."""
    from ml_engineer.assessment.serving import reached
    from ml_engineer.assessment.values import calls_of
    from ml_engineer.assessment.wrappers import deciding_calls

    sites: list[Site] = []
    for start in starts:
        functions = reached(repo, start, enter=lambda call: not _is_kept(repo, call))
        for function in functions:
            if is_cached(function):
                continue
            for call in filter(_is_load, calls_of(function.module, function)):
                outer = deciding_calls(repo, call, functions)
                sites += [c.site() for c in outer]
                sites += [call.site(note="the load itself")] if call not in outer else []
    return sites


def _is_load(call: Call) -> bool:
    from ml_engineer.assessment.repo import matches
    from ml_engineer.assessment.values import ARTEFACT_LOADERS

    return matches(call.name, *ARTEFACT_LOADERS) and not _NO_LOAD.match(call.name) and not is_guarded(call)


def _interfaces(repo: Repo) -> Iterator[tuple[Module, list[Function], list[Site]]]:
    """Scripts of user interfaces: the functions that each interaction runs, and the loads of a body that is run again.

    Streamlit runs the whole script for every interaction, Gradio the functions that it was given.
    """
    from ml_engineer.assessment import callgraph
    from ml_engineer.assessment.values import calls_of

    for entry in repo.entries:
        if entry.kind != "serve" or entry.unit is not None:
            continue
        module = entry.module
        used = {item.top for item in module.imports}
        body = [call for call in calls_of(module, None) if not is_guarded(call)]
        if "streamlit" in used:
            called = [f for call in body for f in callgraph.callees(repo, call.name) if f.module is module]
            yield module, [f for f in called if not is_cached(f)], [c.site() for c in body if _is_load(c)]
        elif "gradio" in used:
            given = [
                call.keyword("fn") or call.argument(0, "fn")
                for call in module.calls
                if _GIVEN.match(call.name) and not _goes_into_state(call)
            ]
            names = [module.resolve(node) for node in given if isinstance(node, ast.Name | ast.Attribute)]
            yield module, [f for name in names for f in callgraph.callees(repo, name) if not is_cached(f)], []


def _goes_into_state(call: Call) -> bool:
    """Whether all that the function gives is kept for the session: `outputs=[gr.State()]`."""
    outputs = call.keyword("outputs")
    items = outputs.elts if isinstance(outputs, ast.List | ast.Tuple) else [outputs] if outputs is not None else []
    return bool(items) and all(call.module.resolve(item) == "gradio.State()" for item in items)


def _is_kept(repo: Repo, call: Call) -> bool:
    """Whether what the call leads to runs once only: it stands behind a test, or the callee is cached."""
    from ml_engineer.assessment import callgraph

    if call.name in repo.classes and _is_made_once(repo, call.name):
        return True
    return is_guarded(call) or any(is_cached(function) for function in callgraph.callees(repo, call.name))


def _is_made_once(repo: Repo, class_name: str) -> bool:
    """Whether a class gives the same object again: by a metaclass or a decorator for singletons. (`__new__` alone does
    not do it: `__init__` runs again.)"""
    from ml_engineer.assessment import callgraph

    for name in callgraph.lineage(repo, class_name):
        module, node = repo.classes[name]
        if any(_CACHES.match(module.resolve(d.func if isinstance(d, ast.Call) else d)) for d in node.decorator_list):
            return True
        for metaclass in (module.resolve(k.value) for k in node.keywords if k.arg == "metaclass"):
            called = callgraph.method(repo, metaclass, "__call__") if metaclass in repo.classes else None
            tests = [n.test for n in walk(called.node) if isinstance(n, ast.If | ast.IfExp)] if called else []
            if _CACHES.match(metaclass) or any(map(_asks_for_absence, tests)):
                return True
    return False


def is_cached(function: Function) -> bool:
    """Whether a decorator keeps the function's result."""
    module = function.module
    return any(
        _CACHES.match(module.resolve(d.func if isinstance(d, ast.Call) else d)) for d in function.node.decorator_list
    )


def is_guarded(call: Call) -> bool:
    """Whether a call only runs where its result is not there yet: `if model is None:` around or before it."""
    module = call.module
    for ancestor in module.ancestors(call.node):
        if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef):
            return _returns_early(ancestor, call.node.lineno)
        if isinstance(ancestor, ast.If | ast.IfExp) and _asks_for_absence(ancestor.test):
            return True
        if isinstance(ancestor, ast.ExceptHandler) and ancestor.type is not None:
            if ast.unparse(ancestor.type) in ("KeyError", "AttributeError", "NameError"):
                return True
        if isinstance(ancestor, ast.Lambda):
            return False
    return False


def _asks_for_absence(test: ast.expr) -> bool:
    for node in walk(test):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], _TEST_OF_ABSENCE):
            return True
        if isinstance(node, ast.Compare) and isinstance(node.comparators[0], ast.Constant):
            if node.comparators[0].value is None:  # `if cls.model == None:`
                return True
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            return True
    return False


def _returns_early(function: ast.FunctionDef | ast.AsyncFunctionDef, line: int) -> bool:
    """Whether something kept outside the function is given back before the line: `if x is not None: return x`."""
    for statement in function.body:
        if statement.lineno >= line:
            return False
        if isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Return):
            value = statement.body[-1].value
            if value is None and _is_the_same(statement.test):
                return True
            kept = value.elts if isinstance(value, ast.Tuple) else [value]
            if all(isinstance(item, ast.Name | ast.Attribute | ast.Subscript) for item in kept):
                test = ast.unparse(statement.test)
                if all(ast.unparse(item).split("[")[0] in test for item in kept if item is not None):
                    return True
    return False


def _is_the_same(test: ast.expr) -> bool:
    """Whether what is asked for is compared with what an object has: `if name == self.name: return`."""
    return any(
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.Eq)
        and any(isinstance(side, ast.Attribute) for side in (node.left, *node.comparators))
        for node in walk(test)
    )
