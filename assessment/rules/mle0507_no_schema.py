"""M5-07: a model answers to input that nothing has checked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_PROTOCOL = re.compile(r"/v1/((chat/)?completions|embeddings|responses)$")
_CLIENT = re.compile(r"(httpx|aiohttp|requests)\.")


def _has_model_route(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import open_handlers

    return bool(open_handlers(repo))


@rule(
    id="MLE0507",
    name="no-schema",
    step=5,
    severity=HIGH,
    title="Request content reaches the model without a schema",
    why="A missing, mistyped or out-of-range field crashes the handler or gives a prediction that means nothing.",
    remedy="Describe the input as a typed model (pydantic, marshmallow, JSON Schema) with ranges, and answer 422.",
    source="ML Test Score data-1, monitoring-2",
    peers=("cloud-architect",),
    applies=_has_model_route,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import open_handlers

    bare: dict[str, list[Site]] = {}
    tables: dict[str, list[Site]] = {}
    partly: dict[str, list[Site]] = {}
    for handler in open_handlers(repo):
        if not handler.reads or handler.schema is not None or _passes_on(repo, handler):
            continue
        reads = [read for read in handler.reads if not _is_unpickled(read.module, read.node)]
        if not reads:
            continue
        first = reads[0]
        group = partly if handler.rejects else tables if _looks_up(repo, handler) else bare
        group.setdefault(handler.module.path, []).append(first.module.site(first.node))
    for path, sites in sorted(tables.items()):
        yield Hit(sites, severity=MEDIUM, title="Request content is used without a schema", anchor=f"{path}\0table")
    for path in sorted({*bare, *partly}):
        if path in bare:
            yield Hit([*bare[path], *partly.get(path, [])])
        else:
            yield Hit(
                partly[path],
                severity=MEDIUM,
                confidence="medium",
                title="Request content is checked by hand only, without a schema",
            )


def _looks_up(repo: Repo, handler: Handler) -> bool:
    """Whether only the name of a function of one's own speaks of a model, and no model is loaded anywhere: predictions
    that were made before are read from a table."""
    from ml_engineer.assessment import values

    asked = handler.model_calls
    if not asked or any(values.is_model_call(repo, call) for call in asked):
        return False
    by_name = all(call.name in repo.functions for call in asked)
    return by_name and next(repo.closure("serve").calls(*values.ARTEFACT_LOADERS), None) is None


def _is_unpickled(module: Module, node: ast.AST) -> bool:
    """Whether the body is loaded as an object of Python: no schema can describe that, and MLE0502 speaks of it."""
    from ml_engineer.assessment.repo import matches

    called = [module.resolve(parent.func) for parent in module.ancestors(node) if isinstance(parent, ast.Call)]
    return any(matches(name, "dill.load*", "pickle.load*", "cloudpickle.load*") for name in called)


def _passes_on(repo: Repo, handler: Handler) -> bool:
    """Whether a route of OpenAI's protocol only hands the body to another server, which knows its schema."""
    from ml_engineer.assessment.callgraph import callees

    if not any(_PROTOCOL.search(route.path or "") for route in handler.routes):
        return False
    called = [callees(repo, call.name) for call in handler.model_calls]
    inner = [[c.name for f in found for c in f.module.calls_by_scope.get(f, [])] for found in called]
    return bool(inner) and all(any(_CLIENT.match(name) for name in names) for names in inner)
