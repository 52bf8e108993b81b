"""M5-16, first half: neither the answer nor the log says which model gave it. The second half is MLE0516/registry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import MEDIUM, Hit, rule
from ml_engineer.assessment.values import return_values

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_VERSION = re.compile(
    r"(model|artefact|artifact|weights)_?(version|id|name|sha|hash|tag|revision|digest|uri)|^_*version_*$|run_?id|"
    r"\bmodel[-_ ]version|trained_?at|model_info|git_?sha|commit_?(id|sha|hash)",
    re.I,
)


def _has_model_route(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import answering_handlers

    return bool(answering_handlers(repo))


@rule(
    id="MLE0516",
    name="no-version-in-response",
    step=5,
    severity=MEDIUM,
    title="Neither the answer nor the log says which model version gave it",
    why="A wrong prediction cannot be traced to a model, and a rollback cannot be checked from outside.",
    remedy="Return and log the model's version or registry alias with every prediction.",
    source="ML Test Score infra-7",
    applies=_has_model_route,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import answering_handlers, serving_modules

    handlers = answering_handlers(repo)
    if any(_names_version(handler) for handler in handlers):
        return
    modules = [m for m in serving_modules(repo) if _is_near(m, handlers)]
    first = handlers[0]
    need = first.module.site(_answer(first))
    yield Hit([repo.missing(need, ("model_version, run_id, model_id, revision, trained_at",), modules)])


def _is_near(module: Module, handlers: list[Handler]) -> bool:
    return any(function.module is module for handler in handlers for function in handler.functions)


def _names_version(handler: Handler) -> bool:
    from ml_engineer.assessment.serving import annotated_schemas

    repo = handler.repo
    nodes: list[ast.AST] = [function.node for function in handler.functions]
    called = [call.name for call in handler.calls]
    for name in [*annotated_schemas(handler), *called, *_response_models(handler)]:
        if name in repo.classes:
            nodes.append(repo.classes[name][1])
    if any(_mentions(node) for root in nodes for node in walk(root)):
        return True
    endpoints = any(call.name.endswith(".invoke_endpoint") for call in handler.model_calls)
    return endpoints and any("endpoint" in ast.unparse(answer) for answer in return_values(handler.function))


def _mentions(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="model_name" | "MODEL_NAME"):
            return False  # a variable that a path is put together from; a key or a field of that name is an answer
        case ast.Name(id=text) | ast.Attribute(attr=text) | ast.keyword(arg=str(text)) | ast.arg(arg=text):
            return bool(_VERSION.search(text))
        case ast.Constant(value=str(text)):
            return len(text) < 200 and bool(_VERSION.search(text))
    return False


def _response_models(handler: Handler) -> list[str]:
    module = handler.module
    found = [module.resolve(handler.function.node.returns)] if handler.function.node.returns is not None else []
    for decorator in handler.function.node.decorator_list:
        if isinstance(decorator, ast.Call):
            found += [module.resolve(k.value) for k in decorator.keywords if k.arg == "response_model"]
    return found


def _answer(handler: Handler) -> ast.AST:
    """The last return of the handler that gives more than a fixed value and stands in no except block."""
    module = handler.module
    returns = [
        node
        for node in walk(handler.function.node)
        if isinstance(node, ast.Return)
        and not isinstance(node.value, ast.Constant | None)
        and module.enclosing(node, ast.ExceptHandler) is None
    ]
    return max(returns, key=lambda node: node.lineno, default=handler.function.node)
