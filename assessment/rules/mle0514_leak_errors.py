"""M5-14: a handler answers with the text of an exception or with a traceback."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Function, Module
    from ml_engineer.assessment.repo import Repo

_BROAD = frozenset({"Exception", "BaseException", "RuntimeError", "OSError", "IOError"})
# Errors of libraries that talk to databases and other services: their text names hosts, queries and credentials.
_INSIDE = re.compile(
    r"(httpx|requests|aiohttp\.client\w*|aiohttp\.Client\w*|urllib3?|sqlalchemy|psycopg2?|pymysql|pymongo|redis|botocore|"
    r"grpc|subprocess|socket)\b"
)
_ANSWERS = re.compile(
    r"(.*\.)?(HTTPException|abort|jsonify|make_response|JSONResponse|Response|HTTPError|json_response)"
)
_TRACEBACK = re.compile(r"traceback\.(format_exc|format_exception|format_tb|print_exc)")


@rule(
    id="MLE0514",
    name="leak-errors",
    step=5,
    severity=MEDIUM,
    title="The answer carries the text of an internal error",
    why="Paths, queries and library internals reach the client, and bad input looks like a server fault.",
    remedy="Log the exception with an id, answer with a fixed error model, and use 4xx for what the client got wrong.",
    source="OWASP, improper error handling",
    peers=("devops-engineer",),
    applies=lambda repo: bool(repo.routes),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import handlers

    sites: list[Site] = []
    done: set[Function] = set()
    for handler in handlers(repo):
        if handler.function not in done:
            done.add(handler.function)
            sites += _leaks(handler.function.module, handler.function.node)
        wrapping = _wrapping(repo, handler.function)
        for function in [*wrapping, *handler.functions[1:]] if handler.model_calls else wrapping:
            if function not in done:  # what helpers give back on an error becomes the answer
                done.add(function)
                sites += _leaks(function.module, function.node)
    for module in repo.modules:
        if "test" not in module.file.roles and not module.is_notebook:
            for function in module.functions.values():
                if function not in done and _is_catch_all(module, function):
                    sites += _answers_with(module, function.node, {p.arg for p in function.parameters})
    for group in per_file(dict.fromkeys(sites)):
        yield Hit(group)


def _wrapping(repo: Repo, function: Function) -> list[Function]:
    """Functions of the repository that decorate a handler: what they catch becomes the answer."""
    from ml_engineer.assessment import callgraph

    names = (function.module.resolve(d) for d in function.node.decorator_list if not isinstance(d, ast.Call))
    return [found for name in names for found in callgraph.callees(repo, name)]


def _is_catch_all(module: Module, function: Function) -> bool:
    """An error handler registered for every exception."""
    for decorator in function.node.decorator_list:
        if isinstance(decorator, ast.Call) and decorator.args:
            name = module.resolve(decorator.func).rpartition(".")[2]
            broad = module.resolve(decorator.args[0]) == "Exception" or module.literal(decorator.args[0]) == 500
            if name in ("exception_handler", "errorhandler", "app_errorhandler") and broad:
                return True
    return False


def _leaks(module: Module, function: ast.AST) -> Iterator[Site]:
    for node in walk(function):
        if isinstance(node, ast.ExceptHandler) and _tells_internals(module, node.type):
            names = {node.name} if node.name else set()
            yield from _answers_with(module, node, names)
            kept = _kept(module, node, names)
            yield from _answers_with(module, function, kept) if kept else ()


def _kept(module: Module, handler: ast.ExceptHandler, names: set[str]) -> set[str]:
    """Names that take the text of the error out of the handler: `health = {"error": str(e)}`."""
    assigned = (node for node in walk(handler) if isinstance(node, ast.Assign) and _carries(module, node.value, names))
    return {target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)} - names


def _tells_internals(module: Module, kind: ast.expr | None) -> bool:
    """Whether what is caught may be any error, or one whose text was not written for the client."""
    if kind is None:
        return True
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(ast.unparse(k) in _BROAD or _INSIDE.match(module.resolve(k)) for k in kinds)


def _answers_with(module: Module, root: ast.AST, names: set[str]) -> Iterator[Site]:
    """Statements below `root` that return or raise an answer made of one of the names or of a traceback."""
    tainted = set(names)
    for node in walk(root):
        if isinstance(node, ast.Assign) and _carries(module, node.value, tainted):
            tainted |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    for node in walk(root):
        if isinstance(node, ast.Return) and node.value is not None and _carries(module, node.value, tainted):
            yield module.site(node)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            if _ANSWERS.fullmatch(module.resolve(node.exc.func)) and _carries(module, node.exc, tainted):
                yield module.site(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if module.resolve(node.value.func).endswith("abort") and _carries(module, node.value, tainted):
                yield module.site(node)


def _carries(module: Module, value: ast.expr, names: set[str]) -> bool:
    """Whether the text of the exception is part of a value; its type, or a flag made from it, is not the text."""
    for node in walk(value):
        if isinstance(node, ast.Name) and node.id in names:
            parent = module.parent(node)
            if isinstance(parent, ast.Attribute) and parent.attr not in ("args", "message", "msg", "strerror"):
                continue
            if isinstance(parent, ast.Call) and ast.unparse(parent.func) in ("type", "isinstance"):
                continue
            return True
        if isinstance(node, ast.Call) and _TRACEBACK.match(module.resolve(node.func)):
            return True
    return False
