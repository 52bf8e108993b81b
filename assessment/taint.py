"""Where a value comes from: the request, the command line, the environment, a download.

`origins(repo, module, node)` follows names, attributes of `self`, string building, path joins, containers and wrapping
calls backwards inside a function, and its parameters to the places where the function is called. What cannot be
followed adds nothing. Sources are:

    request   content of an HTTP request or of a serverless event
    url       what a download gave back
    argv      the command line        env    the environment        input   typed in by a person
    parameter a parameter of a function that nobody in the repository calls
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from ml_engineer.assessment.module import Call, Function, Module

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_MAX_DEPTH = 14
_REQUEST = re.compile(
    r"(flask|quart|bottle)\.request\b|(fastapi|starlette)(\.requests)?\.Request\(\)|fastapi\.UploadFile\(\)"
)
_URL = re.compile(
    r"requests\.(get|post|Session\(\)\.get)\(\)|urllib\.request\.urlopen\(\)|httpx\.(get|Client\(\)\.get)\(\)"
)
_ARGV = re.compile(
    r"sys\.argv|argparse\.ArgumentParser\(\)\.parse_(args|known_args)\(\)|docopt\.docopt\(\)|absl\.flags\.FLAGS|"
    r"optparse\.OptionParser\(\)|tap\.Tap\(\)"
)
_ENV = re.compile(r"os\.(environ\b|getenv\(\))|decouple\.config\(\)|environs\.Env\(\)")
_INPUT = re.compile(r"^(input\(\)|streamlit\.(text_input|file_uploader|text_area)\(\))")
_SOURCES = {"request": _REQUEST, "url": _URL, "argv": _ARGV, "env": _ENV, "input": _INPUT}
# Calls whose value says nothing of their arguments' content.
_OPAQUE = re.compile(r"^(len|int|float|bool|isinstance|hash|id|range|sum|min|max)$|.*\.(isdigit|exists|isfile)$")
_CLI_DECORATORS = re.compile(r"(click|typer|fire)\.|.*\.(command|callback)$")


def origins(repo: Repo, module: Module, node: ast.expr | None) -> set[str]:
    """Sources that the value of an expression may come from."""
    found: set[str] = set()
    _follow(repo, module, node, found, set(), _MAX_DEPTH)
    return found


def _follow(
    repo: Repo, module: Module, node: ast.AST | None, found: set[str], seen: set[tuple[str, int, int, str]], depth: int
) -> None:
    if node is None or depth < 0:
        return
    key = (module.path, getattr(node, "lineno", 0), getattr(node, "col_offset", 0), type(node).__name__)
    if key in seen:
        return
    seen.add(key)
    if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
        resolved = module.resolve(node)
        sources = {source for source, pattern in _SOURCES.items() if pattern.search(resolved)}
        found |= sources
        if sources:
            return
    match node:
        case ast.Name():
            _follow_name(repo, module, node, found, seen, depth)
        case ast.Attribute():
            held = _held(module, node)
            _follow(repo, module, held if held is not None else node.value, found, seen, depth - 1)
        case ast.Call():
            if _OPAQUE.match(module.resolve(node.func)):
                return
            if isinstance(node.func, ast.Attribute):
                _follow(repo, module, node.func.value, found, seen, depth - 1)
            for argument in [*node.args, *(k.value for k in node.keywords)]:
                _follow(repo, module, argument, found, seen, depth - 1)
        case ast.Lambda() | ast.Constant():
            return
        case _:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr | ast.FormattedValue):
                    _follow(repo, module, child, found, seen, depth - 1)


def _held(module: Module, node: ast.Attribute) -> ast.expr | None:
    """What `self.name` was given, in the class around it."""
    if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
        return None
    scope = module.scope_of(node)
    while scope is not None and not scope.class_name:
        scope = module.scope_of(scope.node)
    bound = module.attribute(scope.class_name, node.attr) if scope is not None and scope.class_name else None
    return bound.value if bound is not None else None


def _follow_name(
    repo: Repo, module: Module, node: ast.Name, found: set[str], seen: set[tuple[str, int, int, str]], depth: int
) -> None:
    bound = module.binding(node)
    if bound is None:
        return
    function = _owner_of_parameter(module, node)
    if function is not None and (bound.value is None or bound.suffix == "()"):
        _follow_parameter(repo, function, node.id, found, seen, depth)
    elif bound.value is not None:
        _follow(repo, module, bound.value, found, seen, depth - 1)


def _owner_of_parameter(module: Module, node: ast.Name) -> Function | None:
    scope = module.scope_of(node)
    while scope is not None:
        if any(parameter.arg == node.id for parameter in scope.parameters):
            return scope
        scope = module.scope_of(scope.node)
    return None


def _follow_parameter(
    repo: Repo, function: Function, name: str, found: set[str], seen: set[tuple[str, int, int, str]], depth: int
) -> None:
    if any(route.handler is function for route in repo.routes):
        if name != "self" and not _is_injected(function, name):
            found.add("request")
        return
    for decorator in function.node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if _CLI_DECORATORS.match(function.module.resolve(called)):
            found.add("argv")
            return
    callers = callers_of(repo, function)
    if not callers:
        found.add("parameter")
    position = [parameter.arg for parameter in function.parameters].index(name)
    if function.class_name and function.parameters and function.parameters[0].arg in ("self", "cls"):
        position -= 1
    for call in callers:
        _follow(repo, call.module, call.argument(position, name), found, seen, depth - 1)


def _is_injected(function: Function, name: str) -> bool:
    """Whether a parameter's default is a dependency, which the framework fills in."""
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(zip([a.arg for a in positional[::-1]], arguments.defaults[::-1], strict=False))
    defaults |= {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None}
    default = defaults.get(name)
    return isinstance(default, ast.Call) and function.module.resolve(default.func).endswith("Depends")


def callers_of(repo: Repo, function: Function) -> list[Call]:
    """Calls of a local function (of its class, for `__init__`), tests left out."""
    index: dict[str, list[Call]] | None = repo.__dict__.get("_calls_by_target")
    if index is None:
        index = {}
        for module in repo.modules:
            if "test" not in module.file.roles:
                for call in module.calls:
                    index.setdefault(call.name.replace("()", ""), []).append(call)
        repo.__dict__["_calls_by_target"] = index
    name = function.dotted.removesuffix(".__init__")
    return index.get(name, [])
