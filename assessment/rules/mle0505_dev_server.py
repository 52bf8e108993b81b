"""M5-05: a development server is what the deployment, or the only way to start the service, runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.commands import Command
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

# Calls that start a development server, by resolved name.
_RUNS = (
    "flask.Flask().run", "werkzeug.serving.run_simple", "flask_restx.Api().app.run", "bottle.run",
    "bottle.Bottle().run",
    "flask_openapi3.OpenAPI().run",
    "apiflask.APIFlask().run", "quart.Quart().run", "connexion.FlaskApp().run", "dash.Dash().run",
    "dash.Dash().run_server", "jupyter_dash.JupyterDash().run_server",
)  # fmt: skip
_PRODUCTION = frozenset(
    "gunicorn uwsgi waitress-serve waitress uvicorn hypercorn daphne mod_wsgi-express granian gevent cheroot".split()
)
_PRODUCTION_MODULES = (
    "gunicorn",
    "waitress",
    "uvicorn",
    "gevent",
    "hypercorn",
    "cheroot",
    "meinheld",
    "bjoern",
    "eventlet",
)


def _starts(repo: Repo) -> list[Call]:
    return [
        c
        for c in repo.calls(*_RUNS, "*.run", "*.run_server", tests=False)
        if _is_dev_server(repo, c) and not c.module.is_notebook
    ]


def _is_dev_server(repo: Repo, call: Call) -> bool:
    """Whether the receiver is an application of such a framework, also one that a local function makes."""
    from ml_engineer.assessment.repo import matches
    from ml_engineer.assessment.values import origin

    if matches(call.name, *_RUNS):
        return call.name != "bottle.run" or call.keyword("server") is None
    return (
        call.name.endswith((".run", ".run_server"))
        and not call.name.startswith("?")
        and matches(origin(repo, call.name), *_RUNS)
    )


@rule(
    id="MLE0505",
    name="dev-server",
    step=5,
    severity=HIGH,
    title="The development server serves in production",
    why="It is made for one developer: not hardened, no worker processes, no limits, no graceful restart.",
    remedy="Start the app with gunicorn, waitress or uvicorn, and keep the built-in server for local runs.",
    source="Flask documentation on deployment",
    applies=lambda repo: (
        any(route.framework in ("flask", "bottle", "quart", "django") for route in repo.routes) or bool(_starts(repo))
    ),
)
def check(repo: Repo) -> Iterator[Hit]:
    yield from _by_command(repo)
    calls = _starts(repo)
    if not calls:
        return
    started: dict[str, Command] = {}
    for command in repo.commands.starts_services:
        for path in repo.commands.runs(command):
            if command.program not in _PRODUCTION and command.program != "flask":
                started.setdefault(path, command)
    deployed = [call for call in calls if call.module.path in started]
    if deployed:
        for call in deployed:
            sites: list[Site] = [call.site(), started[call.module.path].site]
            yield Hit(sites, title=f"{_shown(call)} is what the deployment starts", anchor=call.module.path)
        return
    if all(_is_beside(repo, command) for command in repo.commands.starts_services) and not _has_server(repo):
        for call in _with_model(repo, calls):
            if _runs_for_real(call):
                yield Hit([call.site()], title=f"{_shown(call)} is the only way to start the service")


def _is_beside(repo: Repo, command: Command) -> bool:
    """Whether an image starts a notebook, or a program that answers no request: the service is started otherwise."""
    if command.program.startswith("jupyter"):
        return True
    served = {module.path for module in repo.closure("serve").modules}
    scripts = [word for word in command.words if word.endswith(".py")]
    paths = repo.commands.runs(command) or [p for p in repo.by_path for word in scripts if word.endswith(f"/{p}")]
    return bool(paths) and served.isdisjoint(paths)


def _with_model(repo: Repo, calls: list[Call]) -> list[Call]:
    """Of several applications, those that reach a framework of models: a demonstration beside them is no service."""
    from ml_engineer.assessment.callgraph import closure_of
    from ml_engineer.assessment.catalogue import PACKAGES
    from ml_engineer.assessment.entrypoints import Entry

    frameworks = set(PACKAGES["framework"])
    found = []
    for call in calls:
        modules = closure_of(repo, [Entry("serve", call.module, None, call.site())]).modules
        if any(item.top in frameworks for module in modules for item in module.imports):
            found.append(call)
    return found or calls


def _shown(call: Call) -> str:
    return f"The development server ({ast.unparse(call.node.func)})"


def _runs_for_real(call: Call) -> bool:
    """Whether starting the file reaches the call: at module level, in its main guard, or in a function called there."""
    if call.scope is None:
        return True
    guard = call.module.main_guard
    name = call.scope.qualname
    return guard is not None and any(
        isinstance(n, ast.Call) and ast.unparse(n.func).endswith(name.rpartition(".")[2]) for n in walk(guard)
    )


def _platform_serves(repo: Repo) -> bool:
    """Elastic Beanstalk, App Engine and Azure's web apps put a WSGI server of their own before an application."""
    if any(b"WSGIPath" in file.data for file in repo.glob(".ebextensions/*")):
        return True
    if any(re.search(rb"(?m)^runtime:\s*python", file.data) for file in repo.glob("app.yaml", "app.yml")):
        return True
    return any((step.uses or "").startswith("azure/webapps-deploy@") for w in repo.workflows for step in w.steps)


def _has_server(repo: Repo) -> bool:
    """Whether a server for production is imported, declared or run anywhere."""
    if repo.uses(*_PRODUCTION_MODULES) or _platform_serves(repo):
        return True
    if any(repo.dependencies.of(name) for name in ("gunicorn", "waitress", "uwsgi", "uvicorn", "hypercorn", "cheroot")):
        return True
    return any(command.program in _PRODUCTION for command in repo.commands)


def _by_command(repo: Repo) -> Iterator[Hit]:
    for command in repo.commands.starts_services:
        words = command.words
        if command.program == "flask" and "run" in words:
            shown = "flask run"
        elif "runserver" in words and any(w.endswith("manage.py") or w == "django-admin" for w in words):
            shown = "manage.py runserver"
        else:
            continue
        yield Hit([command.site], title=f"The development server ({shown}) is what the deployment starts")
