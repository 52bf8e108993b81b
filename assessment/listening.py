"""Which port and address a start command listens on, read from its options, its script or the server's default.

`listens(repo, command)` follows a command through shell scripts and tasks to the server that it starts in the end.
What is read from the environment, or given by a file that is not looked at, is None: unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.shell import is_python

if TYPE_CHECKING:
    import ast

    from ml_engineer.assessment.commands import Command
    from ml_engineer.assessment.compose import Service
    from ml_engineer.assessment.docker import Dockerfile
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rule import Site

LOOPBACK = frozenset(["127.0.0.1", "localhost", "::1"])


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that is started. `port` and `host` are None where they are not known; `site` is where they are said."""

    server: str
    port: int | None
    host: str | None
    site: Site


@dataclass(frozen=True, slots=True)
class _Server:
    """How a server is told its port and address on the command line, and what it takes by default."""

    port: tuple[str, ...]
    host: tuple[str, ...]
    bind: tuple[str, ...]
    default_port: int
    default_host: str
    variables: tuple[str, ...]  # in the environment: they change it, so it is unknown


_SERVERS = {
    "uvicorn": _Server(("--port",), ("--host",), ("--uds", "--fd"), 8000, "127.0.0.1", ("UVICORN_PORT",)),
    "gunicorn": _Server((), (), ("--bind", "-b"), 8000, "127.0.0.1", ("PORT", "GUNICORN_CMD_ARGS")),
    "hypercorn": _Server((), (), ("--bind", "-b"), 8000, "127.0.0.1", ()),
    "waitress-serve": _Server(("--port",), ("--host",), ("--listen",), 8080, "0.0.0.0", ()),
    "flask": _Server(("--port", "-p"), ("--host", "-h"), (), 5000, "127.0.0.1", ("FLASK_RUN_PORT", "FLASK_RUN_HOST")),
    "streamlit": _Server(
        ("--server.port",), ("--server.address",), (), 8501, "0.0.0.0", ("STREAMLIT_SERVER_PORT",)
    ),
    "fastapi": _Server(("--port",), ("--host",), (), 8000, "0.0.0.0", ()),
}  # fmt: skip
_SUBCOMMAND = {"flask": ("run",), "streamlit": ("run",), "fastapi": ("run", "dev")}
# Calls that start a server from a script: keyword of the port and of the host, defaults.
_CALLS = {
    "uvicorn.run": ("port", "host", 8000, "127.0.0.1"),
    "flask.Flask().run": ("port", "host", 5000, "127.0.0.1"),
    "waitress.serve": ("port", "host", 8080, "0.0.0.0"),
    "gradio.Interface().launch": ("server_port", "server_name", 7860, "127.0.0.1"),
    "gradio.Blocks().launch": ("server_port", "server_name", 7860, "127.0.0.1"),
    "dash.Dash().run": ("port", "host", 8050, "127.0.0.1"),
    "dash.Dash().run_server": ("port", "host", 8050, "127.0.0.1"),
    "aiohttp.web.run_app": ("port", "host", 8080, "0.0.0.0"),
}
_POSITIONS = {"flask.Flask().run": ("host", "port")}
_CHANGED_BY = {
    "gradio": ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"),
    "flask": (),
    "uvicorn": (),
    "dash": ("HOST", "PORT"),
}


def of_dockerfile(repo: Repo, docker: Dockerfile) -> Listening | None:
    """What the image listens on when it is started as it is, or None."""
    commands = [c for c in repo.commands.of("docker-cmd") if c.site.path == docker.path]
    return _last(repo, commands)


def of_service(repo: Repo, service: Service) -> Listening | None:
    """What a compose service listens on: by its own command, else by the image that it builds."""
    own = [c for c in repo.commands.of("compose") if c.site.path == service.file.path and c.name == service.name]
    if own or service.command:
        return _last(repo, own)
    docker = dockerfile_of(repo, service)
    return of_dockerfile(repo, docker) if docker is not None else None


def dockerfile_of(repo: Repo, service: Service) -> Dockerfile | None:
    """The Dockerfile that a compose service is built from, or None."""
    from ml_engineer.assessment.buildcontext import join

    context = service.build_context
    root = join(service.file.folder, context) if context is not None and "$" not in context else None
    if root is None or service.node.get("build", "target") is not None:
        return None
    path = join(root, service.dockerfile or "Dockerfile")
    return next((d for d in repo.dockerfiles if d.path == path), None)


def _last(repo: Repo, commands: list[Command]) -> Listening | None:
    found = [item for command in commands for item in listens(repo, command)]
    return found[-1] if len(found) == 1 else None  # several servers: which one is meant is not known


def listens(repo: Repo, command: Command) -> list[Listening]:
    """Servers that a command starts in the end."""
    found = []
    for inner in repo.commands.expand(command):
        started = _server(repo, inner)
        if started is not None:
            found.append(started)
        elif is_python(inner.words[0]):
            found.extend(_from_script(repo, inner))
    return found


def _server(repo: Repo, command: Command) -> Listening | None:
    name = command.program
    known = _SERVERS.get(name)
    if known is None or (name in _SUBCOMMAND and not set(command.arguments[:2]) & set(_SUBCOMMAND[name])):
        return None
    option = command.simple.option
    port: int | None = known.default_port
    host: str | None = "127.0.0.1" if "dev" in command.arguments[:1] else known.default_host
    if (
        any(variable in command.env for variable in known.variables)
        or option("-c", "--config")
        or _configured(repo, name)
    ):
        port = host = None
    bound = option(*known.bind) if known.bind else None
    if bound is not None:
        address, _, number = bound.rpartition(":")
        port, host = _number(number), address.strip("[]") or ("0.0.0.0" if bound.startswith(":") else None)
    given_port = option(*known.port) if known.port else None
    given_host = option(*known.host) if known.host else None
    if given_port is not None:
        port = _number(given_port)
    if given_host is not None:
        host = given_host
    return Listening(name, port, None if host is not None and "$" in host else host, command.site)


def _configured(repo: Repo, name: str) -> bool:
    """Whether a configuration file that the server reads by itself may say otherwise."""
    wanted = {"gunicorn": ("gunicorn.conf.py",), "streamlit": (".streamlit/config.toml", "**/.streamlit/config.toml")}
    return bool(repo.glob(*wanted[name])) if name in wanted else False


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,5}", text) else None


def _from_script(repo: Repo, command: Command) -> Iterator[Listening]:
    """Servers that the Python files of a command start by a call."""
    for path in repo.commands.runs(command):
        module = repo.by_path.get(path)
        for call in module.calls if module is not None else ():
            if call.name in _CALLS:
                yield _of_call(call, command)


def _of_call(call: Call, command: Command) -> Listening:
    port_name, host_name, port, host = _CALLS[call.name]
    framework = call.name.partition(".")[0]
    if any(variable in command.env for variable in _CHANGED_BY.get(framework, ())) or call.has_unpacked_keywords:
        return Listening(framework, None, None, call.site())
    order = _POSITIONS.get(call.name, ())

    def given(name: str) -> ast.expr | None:
        return call.argument(order.index(name), name) if name in order else call.keyword(name)

    port_value = call.module.literal(given(port_name)) if given(port_name) is not None else port
    host_value = call.module.literal(given(host_name)) if given(host_name) is not None else host
    return Listening(
        framework,
        port_value if isinstance(port_value, int) and not isinstance(port_value, bool) else None,
        host_value if isinstance(host_value, str) else None,
        call.site(),
    )
