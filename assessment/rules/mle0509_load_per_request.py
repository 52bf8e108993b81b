"""M5-09: the model is read again for each request."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Function
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_CACHES = re.compile(
    r"(.*\.)?\w*(lru_cache|cached|cache|cache_resource|cache_data|singleton|memoize|memoise)\w*$", re.I
)
_TEST_OF_ABSENCE = (ast.Is, ast.IsNot, ast.In, ast.NotIn)
# Calls that only configure or make an object around weights that are there already are no loads by themselves.
_NO_LOAD = re.compile(r"transformers\.\w*(Config|Tokenizer\w*)\.from_pretrained|timm\.create_model")


def _has_model_route(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import model_handlers

    return bool(model_handlers(repo))


@rule(
    id="MLE0509",
    name="load-per-request",
    step=5,
    severity=HIGH,
    title="The model is loaded again for each request",
    why="Each request waits for the file and the unpickling, and concurrent ones multiply the memory.",
    remedy="Load once at start-up (module level, lifespan) or behind functools.lru_cache, and reuse the object.",
    source="observed in public services",
    peers=("performance-engineer",),
    applies=_has_model_route,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import model_handlers

    groups: dict[str, list[Site]] = {}
    for handler in model_handlers(repo):
        loads = _loads(repo, handler)
        if loads:
            handled = handler.module.site(handler.function.node, note="this handler leads to the load")
            groups.setdefault(handler.module.path, []).extend([*loads, handled])
    for sites in groups.values():
        # The model itself before scalers and vocabularies, and before the places that are only on the way.
        ordered = sorted(dict.fromkeys(sites), key=lambda s: (s.note is not None, "model" not in s.quote.lower()))
        yield Hit(ordered)


def _loads(repo: Repo, handler: Handler) -> list[Site]:
    from ml_engineer.assessment.repo import matches
    from ml_engineer.assessment.serving import reached
    from ml_engineer.assessment.values import ARTEFACT_LOADERS, calls_of
    from ml_engineer.assessment.wrappers import deciding_calls

    if is_cached(handler.function):
        return []
    functions = reached(repo, handler.function, enter=lambda call: not _is_kept(repo, call))
    sites: list[Site] = []
    for function in functions:
        if is_cached(function):
            continue
        for call in calls_of(function.module, function):
            if matches(call.name, *ARTEFACT_LOADERS) and not _NO_LOAD.match(call.name) and not is_guarded(call):
                outer = deciding_calls(repo, call, functions)
                sites += [c.site() for c in outer]
                sites += [call.site(note="the load itself")] if call not in outer else []
    return sites


def _is_kept(repo: Repo, call: Call) -> bool:
    """Whether what the call leads to runs once only: it stands behind a test, or the callee is cached."""
    from ml_engineer.assessment import callgraph

    return is_guarded(call) or any(is_cached(function) for function in callgraph.callees(repo, call.name))


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
    for node in ast.walk(test):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], _TEST_OF_ABSENCE):
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
            if value is not None and isinstance(value, ast.Name | ast.Attribute | ast.Subscript):
                if ast.unparse(value).split("[")[0] in ast.unparse(statement.test):
                    return True
    return False
