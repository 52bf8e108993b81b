"""M5-28: an application object to which nothing is ever registered."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_FRAMEWORKS = ("flask", "fastapi", "quart", "sanic", "bottle")
# Extensions that are given the application, but answer no request of the service's own.
_HARMLESS = re.compile(
    r"flask_cors\.|flask_sqlalchemy\.|flask_migrate\.|flask_restful\.Api$|flask_restx\.Api$|flask_bcrypt\.|"
    r"flask_talisman\.|flask_limiter\.|logging\.|print$|uvicorn\.run$|waitress\.serve$|type$|gunicorn|.*\.add_middleware$"
)
_REGISTERING = re.compile(
    r"\.(route|get|post|put|delete|patch|add_url_rule|add_api_route|add_route|add_resource|add_namespace|mount|"
    r"register_blueprint|include_router|add_websocket_route|blueprint|static|register|errorhandler|websocket)\b"
)


def _makes_apps(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import apps

    return any(app.framework in _FRAMEWORKS for app in apps(repo))


@rule(
    id="MLE0528",
    name="no-route",
    step=5,
    severity=HIGH,
    title="The application registers no route",
    why="It starts and answers 404 to every request.",
    remedy="Register the handler: a route decorator, add_resource, include_router or add_url_rule.",
    source="observed in public services",
    applies=_makes_apps,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import apps

    for app in apps(repo):
        module = app.call.module
        if app.framework not in _FRAMEWORKS or module.is_notebook or "docs" in module.file.roles:
            continue
        if any(route.framework == app.framework for route in repo.routes) or _may_register(repo, app.call):
            continue
        resources = [route.site for route in repo.routes if route.framework == app.framework]
        patterns = ("route decorators", "add_url_rule", "add_resource", "include_router", "register_blueprint", "mount")
        yield Hit([repo.missing(app.site, patterns, [module]), *resources], anchor=app.site.path)


def _may_register(repo: Repo, made: Call) -> bool:
    """Whether some code registers on an application in a way that the resolver does not follow."""
    module = made.module
    statement = module.statement_of(made.node)
    names = {t.id for t in getattr(statement, "targets", []) if isinstance(t, ast.Name)}
    if not names:  # returned, kept as an attribute, or passed on
        return True
    for other in repo.modules:
        if "test" in other.file.roles or not any(name in other.file.text for name in names):
            continue
        for name in names:
            if re.search(rf"\b(\w*{re.escape(name)}\w*|api|server)\s*{_REGISTERING.pattern}", other.file.text):
                return True
        for call in other.calls:
            given = [*call.node.args, *(k.value for k in call.node.keywords)]
            passed = any(isinstance(a, ast.Name) and a.id in names for a in given)
            if passed and other.resolve(call.node.func) and not _HARMLESS.match(call.name):
                return True
    return False
