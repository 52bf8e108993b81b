"""M5-06: a debugger or a code reloader switched on in the service."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_SERVERS = ("flask.Flask()", "dash.Dash()", "quart.Quart()", "sanic.Sanic()", "flask_socketio.SocketIO()", "bottle",
            "bottle.Bottle()", "connexion.App()", "connexion.FlaskApp()", "apiflask.APIFlask()")  # fmt: skip
_PRODUCTION = re.compile(r"\b(gunicorn|uwsgi|waitress|hypercorn|mod_wsgi|uvicorn|daphne)\b", re.I)
_ENV_DEBUG = re.compile(r"\b(FLASK_DEBUG|FLASK_ENV)\b[\"']?\s*[=: ]\s*[\"']?(1|true|development)\b", re.I)
_RELOADING = re.compile(r"\b(uvicorn|flask|gunicorn|hypercorn|quart)\b.*--(reload|debug)\b|\bfastapi[\"', ]+dev\b")
_START_FILES = ("Dockerfile*", "*.dockerfile", "Procfile", "docker-compose*.y*ml", "compose*.y*ml", "supervisord.conf")


@rule(
    id="MLE0506",
    name="debug-on",
    step=5,
    severity=HIGH,
    title="The service starts in debug mode",
    why="The debugger's console runs any Python for whoever reaches the port, and error pages show source and data.",
    remedy="Leave debug and reload off, or read them from the environment with off as default.",
    source="bandit B201; Flask documentation",
    peers=("devops-engineer",),
    applies=lambda repo: bool(repo.closure("serve")) or repo.uses("flask", "fastapi", "django", "uvicorn", "dash"),
)
def check(repo: Repo) -> Iterator[Hit]:
    debugged: list[Site] = []
    local: list[Site] = []
    assigned: list[Site] = []
    reloaded = []
    for module in repo.modules:
        if "test" in module.file.roles or module.is_notebook:
            continue
        for call in module.calls:
            if _is_debugged(repo, call):
                alone = call.module.literal(call.keyword("host")) in ("127.0.0.1", "localhost")
                (local if alone else debugged).append(call.site())
            elif _is_set(call):
                assigned.append(call.site())
            elif call.name == "uvicorn.run" and _is_on(call, "reload"):
                reloaded.append((call, call.site()))
        guarded = range(module.main_guard.lineno, (module.main_guard.end_lineno or 0) + 1) if module.main_guard else ()
        for site in _assigned(module):
            (debugged if site.line in guarded else assigned).append(site)
    served = [f for f in repo.glob(*_START_FILES) if _PRODUCTION.search(f.text)]
    always = {site.path for site in assigned}
    for sites in per_file(sorted([*debugged, *assigned], key=lambda site: (site.path, site.line))):
        # A main block that production never runs is the lesser evil; a setting holds under any server.
        lesser = served and sites[0].path not in always
        yield Hit(sites, severity=MEDIUM if lesser else HIGH, title="The service starts with its debugger on")
    for sites in per_file(local):  # nobody else reaches the port
        yield Hit(
            sites, severity=MEDIUM, title="The service starts with its debugger on", anchor=f"local {sites[0].path}"
        )
    for call, site in reloaded:
        yield Hit(
            [site],
            severity=HIGH if _starts(repo, call.module) else MEDIUM,
            title="The server starts with code reloading on",
            why="Reloading is for development: it watches the tree, runs one worker and restarts on any file change.",
        )
    for file in repo.glob(*_START_FILES, ".env", ".flaskenv"):
        lines = [
            file.site(line) for line, _ in file.find(_ENV_DEBUG) if not file.lines[line - 1].lstrip().startswith("#")
        ]
        if lines and "docs" not in file.roles:
            yield Hit(lines, title="The environment of the image switches Flask's debug mode on")
        started = [file.site(line) for line, match in file.find(_RELOADING) if "#" not in match.string[: match.start()]]
        if started and "docs" not in file.roles:
            yield Hit(
                started,
                severity=MEDIUM if "compose" in file.name else HIGH,  # compose files are often for development
                title="The start command reloads code or debugs",
                why="Reloading is for development: it watches the tree, runs one worker and restarts on any change.",
            )


def _is_on(call: Call, keyword: str) -> bool:
    return call.module.literal(call.keyword(keyword)) is True


def _is_debugged(repo: Repo, call: Call) -> bool:
    """Whether the call starts a server, or makes an application, with its debugger on."""
    if not _is_on(call, "debug"):
        return False
    if call.name in ("fastapi.FastAPI", "starlette.applications.Starlette"):
        return True
    return call.name.endswith((".run", ".run_server")) and _is_server(repo, call)


def _is_set(call: Call) -> bool:
    """`app.config.update(DEBUG=True)`, also with a dict."""
    if call.name != "flask.Flask().config.update":
        return False
    if _is_on(call, "DEBUG"):
        return True
    given = call.module.value(call.node.args[0]) if call.node.args else None
    match given:
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            return any(k.arg == "DEBUG" and call.module.literal(k.value) is True for k in keywords)
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return any(call.module.literal(k) == "DEBUG" and call.module.literal(v) is True for k, v in pairs)
    return False


def _is_server(repo: Repo, call: Call) -> bool:
    from ml_engineer.assessment.values import origin

    return origin(repo, call.name.rpartition(".")[0]) in _SERVERS


def _assigned(module: Module) -> list[Site]:
    """`app.debug = True`, `app.config["DEBUG"] = True`, and DEBUG in Django's settings."""
    found = []
    for node in module.nodes(ast.Assign) if "debug" in module.file.text.lower() else ():
        if not (isinstance(node.value, ast.Constant) and node.value.value is True):
            continue
        for target in node.targets:
            text = ast.unparse(target)
            owner = module.resolve(target.value) if isinstance(target, ast.Attribute | ast.Subscript) else ""
            if (owner.startswith("flask.Flask()") and re.search(r"\.debug$|config\[['\"]DEBUG['\"]\]$", text)) or (
                text == "DEBUG" and module.file.name == "settings.py" and "INSTALLED_APPS" in module.file.text
            ):
                found.append(module.site(node))
    return found


def _starts(repo: Repo, module: Module) -> bool:
    """Whether a start command of an image or platform runs this script."""
    script = re.compile(rf"python3?\W+[^\n]*\b{re.escape(module.file.name)}\b|-m\W+{re.escape(module.dotted)}\b")
    return any(script.search(file.text) for file in repo.glob(*_START_FILES))
