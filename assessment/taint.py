"""What a value is made of that someone outside decides: a request, the command line, the environment, a URL."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_engineer.assessment.dataflow import Step, sources
from ml_engineer.assessment.module import Function, Module

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_WEB = "flask|quart|sanic|bottle|fastapi|starlette|aiohttp|django"
_TAINTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("request", re.compile(rf"({_WEB})\b.*\b(request|Request|UploadFile)\b")),
    ("argv", re.compile(r"sys\.argv|argparse\.ArgumentParser\(\)\.parse_(known_)?args\(\)|input\(\)|(click|typer)\.")),
    ("env", re.compile(r"os\.(environ|getenv|environb)\b")),
    ("url", re.compile(r"(requests|httpx|urllib3?|aiohttp|wget|gdown)\.")),
)  # fmt: skip
_COMMANDS = re.compile(r"(click|typer)\..*|.*\.(command|callback|option|argument)\(?\)?$")


def taint(
    repo: Repo, module: Module, node: ast.expr | None, through: Callable[[Step], bool] = lambda step: True
) -> frozenset[str]:
    """What a value is made of: any of request (also a route's parameter), argv, env, url; empty: none that is seen.

    Where `through` is false the walk back stops.
    """
    found: set[str] = set()
    handlers = {route.handler for route in repo.routes}
    for step in sources(repo, module, node, through):
        if isinstance(step.node, ast.Constant):
            if isinstance(step.node.value, str) and re.match(r"(https?|s3|gs|ftp)://", step.node.value):
                found.add("url")
            continue
        if isinstance(step.node, ast.Name):
            scope = step.module.scope_of(step.node)
            if scope in handlers and scope is not None and any(p.arg == step.node.id for p in scope.parameters):
                if step.node.id not in ("self", "cls", "context"):
                    found.add("request")
            elif scope is not None and _is_command(scope) and any(p.arg == step.node.id for p in scope.parameters):
                found.add("argv")
        elif not isinstance(step.node, ast.Attribute | ast.Call | ast.Subscript):
            continue
        name = step.module.resolve(step.node)
        found.update(kind for kind, pattern in _TAINTS if pattern.match(name))
    return frozenset(found)


def _is_command(function: Function) -> bool:
    """Whether click or typer fills in the function's parameters."""
    module = function.module
    called = [d.func if isinstance(d, ast.Call) else d for d in function.node.decorator_list]
    return any(item.top in ("click", "typer") for item in module.imports) and any(
        _COMMANDS.fullmatch(module.resolve(d)) for d in called
    )
