"""M9-09, second half: compose services that nobody restarts and nobody asks for their health."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.compose import Service
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0909",
    part="operations",
    name="compose-operations",
    step=9,
    severity=LOW,
    title="Compose services have no restart policy or health check",
    why="A service that crashes or hangs stays down until somebody looks.",
    remedy="Give each service `restart: unless-stopped` and a health check, and let others depend on its health.",
    source="Docker Compose documentation",
    applies=lambda repo: any(service.ports for service in repo.compose),
)
def check(repo: Repo) -> Iterator[Hit]:
    by_file: dict[str, list[Service]] = {}
    for service in repo.compose:
        if service.ports and not service.is_override and not _operated(repo, service):
            by_file.setdefault(service.file.path, []).append(service)
    for path, services in by_file.items():
        names = ", ".join(service.name for service in services)
        patterns = ["restart", "deploy.restart_policy", "healthcheck", "HEALTHCHECK"]
        missing = repo.missing(services[0].site(), patterns, [services[0].file])
        yield Hit(
            [missing], title=f"Compose services have neither restart policy nor health check: {names}", anchor=path
        )


def _operated(repo: Repo, service: Service) -> bool:
    from ml_engineer.assessment.listening import dockerfile_of

    node = service.node
    if any(node.get(*path) is not None for path in (("restart",), ("healthcheck",), ("deploy", "restart_policy"))):
        return True
    if node.get("extends") is not None:
        return True
    docker = dockerfile_of(repo, service)
    return docker is not None and docker.final is not None and bool(docker.final.inherited("HEALTHCHECK"))
