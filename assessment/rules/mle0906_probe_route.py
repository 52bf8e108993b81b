"""M9-06: a probe or health check asks for a path or port that the application does not serve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.kubernetes import Container
    from ml_engineer.assessment.repo import Repo

_WEB = frozenset("flask fastapi starlette sanic bottle quart litestar falcon robyn aiohttp".split())
_BUILT_IN = {"fastapi": ("/docs", "/redoc", "/openapi.json"), "flask": ("/static",)}
# Calls and packages that add routes which are not seen here.
_ADDS_ROUTES = ("*.mount", "*.add_route", "*.add_url_rule", "starlette.routing.Mount", "*.add_resource", "*.wsgi_app")
_HEALTH_PACKAGES = (
    "healthcheck",
    "fastapi_health",
    "flask_healthz",
    "fastapi_healthcheck",
    "health_check",
    "connexion",
)
_METRICS = ("prometheus_client", "prometheus_fastapi_instrumentator", "prometheus_flask_exporter", "starlette_exporter")
_PLATFORMS = ("render.yaml", "railway.json", "railway.toml")
_PLATFORM_PATH = re.compile(r"\bhealth[cC]heckPath[\"']?\s*[:=]\s*[\"']?(/[\w./-]*)")
_URL = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::(\d+))?(/[\w./-]*)?")


@rule(
    id="MLE0906",
    name="probe-route",
    step=9,
    severity=HIGH,
    title="A probe asks for a route that the application does not have",
    why="The probe fails for ever: the platform restarts a healthy program, or never sends it a request.",
    remedy="Point the probe at a route that exists, on the port that the program listens on; test it in CI.",
    source="Kubernetes documentation: liveness and readiness probes",
    applies=lambda repo: any(True for _ in _probes(repo)) and bool(_routes(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    known = _routes(repo)
    wrong: dict[str, list[Site]] = {}
    for path, site in _probes(repo):
        if known and not any(pattern.search(path) for pattern in known):
            wrong.setdefault(path, []).append(site)
    for path, sites in wrong.items():
        yield Hit(sites, title=f"The probe asks for {path}, which no route of the application serves")
    yield from _ports(repo)


def _routes(repo: Repo) -> list[re.Pattern[str]]:
    """Patterns of the paths that are served. Empty where some route cannot be known."""
    routes = [route for route in repo.routes if not route.module.is_notebook]
    if not routes or any(route.framework not in _WEB or route.path is None for route in routes):
        return []
    if repo.uses(*_HEALTH_PACKAGES) or any(True for _ in repo.calls(*_ADDS_ROUTES, tests=False)):
        return []
    paths = {route.path or "" for route in routes}
    for framework in {route.framework for route in routes}:
        paths.update(_BUILT_IN.get(framework, ()))
    if repo.uses(*_METRICS):
        paths.add("/metrics")
    return [_pattern(path) for path in sorted(paths)]


def _pattern(path: str) -> re.Pattern[str]:
    """A route as the end of a path, because a router or proxy may put a prefix before it."""
    parts = re.split(r"(\{[^}]*\}|<[^>]*>)", path.rstrip("/"))
    text = "".join("[^/]+" if part[:1] in ("{", "<") else re.escape(part) for part in parts)
    return re.compile(f"{text}/?$") if text else re.compile(r"^/?$")


def _probes(repo: Repo) -> Iterator[tuple[str, Site]]:
    """Paths that probes of the application ask for, with their places."""
    container = _application(repo)
    for probe in container.probes if container is not None else ():
        if probe.path is not None and "UNKNOWN" not in probe.path and "$" not in probe.path:
            yield urlsplit(probe.path).path or "/", probe.site()
    built = [service for service in repo.compose if service.build_context is not None]
    if len(built) == 1:
        node = built[0].node.get("healthcheck", "test")
        text = " ".join(node.strings()) if node is not None else ""
        for match in _URL.finditer(text):
            if node is not None:
                yield match[2] or "/", node.site()
    for file in repo.glob(*_PLATFORMS):
        for line, match in file.find(_PLATFORM_PATH):
            yield match[1], file.site(line)
    for file in repo.glob("app.yaml"):
        for document in repo.yaml(file).documents:
            for name in ("liveness_check", "readiness_check"):
                node = document.get(name, "path") if document.kind == "map" else None
                if node is not None and node.text.startswith("/"):
                    yield node.text, node.site()
    if len(repo.dockerfiles) == 1 and repo.dockerfiles[0].final is not None:
        for instruction in repo.dockerfiles[0].final.of("HEALTHCHECK"):
            for match in _URL.finditer(instruction.value):
                yield match[2] or "/", instruction.site()


def _application(repo: Repo) -> Container | None:
    """The one container that runs this repository's own service, or None where that is not certain."""
    from ml_engineer.assessment.kubernetes import own_containers, own_services

    containers = [c for item in own_services(repo) for c in own_containers(item)]
    images = {c.image.text.rpartition(":")[0] or c.image.text for c in containers if c.image is not None}
    return containers[0] if containers and len(images) == 1 else None


def _ports(repo: Repo) -> Iterator[Hit]:
    """A probe that names a port its container does not have, or that the image does not listen on."""
    from ml_engineer.assessment.kubernetes import LONG_RUNNING
    from ml_engineer.assessment.listening import of_dockerfile

    container = _application(repo)
    listening = of_dockerfile(repo, repo.dockerfiles[0]) if len(repo.dockerfiles) == 1 else None
    for probe in container.probes if container is not None and listening is not None else ():
        number = int(probe.port) if probe.port is not None and re.fullmatch(r"\d{1,5}", probe.port) else None
        if listening is None or listening.port is None or number is None or number == listening.port:
            continue
        if container is not None and not container.command and number not in [n for n, _, _ in container.ports]:
            yield Hit([probe.site(), listening.site], title=f"The probe asks port {number}, not {listening.port}")
    for item in repo.kubernetes:
        for one in item.containers if item.kind in LONG_RUNNING and not item.templated else ():
            names = {name for _, name, _ in one.ports}
            for probe in one.probes:
                if probe.port is not None and not probe.port.isdigit() and probe.port not in names and one.ports:
                    yield Hit([probe.site()], title=f"The probe names the port {probe.port}, which the container lacks")
