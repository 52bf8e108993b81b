"""M5-22: what the program listens on and what is published do not agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Dockerfile
    from ml_engineer.assessment.kubernetes import Object
    from ml_engineer.assessment.listening import Listening
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0522",
    name="port-mismatch",
    step=5,
    severity=HIGH,
    title="The service listens on another port than the one that is published",
    why="Requests reach a port behind which nothing listens: the service starts and cannot be reached.",
    remedy="Say the port in one place, an environment variable, and use it in program, image and manifests.",
    source="Docker and Kubernetes networking documentation",
    applies=lambda repo: bool(repo.dockerfiles or repo.compose or repo.kubernetes),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.listening import of_dockerfile

    images = [(d, of_dockerfile(repo, d)) for d in repo.dockerfiles if "test" not in d.file.roles]
    told: dict[Site, list[_Told]] = {}  # where a program says its port -> what others say of it
    for docker, listening in images:
        if listening is not None:
            yield from _loopback(repo, docker, listening)
            for said in _exposed(docker, listening):
                told.setdefault(listening.site, []).append(said)
    for listening, said in [*_compose(repo), *_workloads(repo, [(d, found) for d, found in images if found])]:
        told.setdefault(listening.site, []).append(said)
    for site, others in told.items():
        yield _disagreement(site, others)
    yield from _services(repo)


@dataclass(frozen=True, slots=True)
class _Told:
    """A port that something other than the program says."""

    what: str
    port: int
    actual: int
    site: Site
    reached: bool  # requests come this way; EXPOSE only documents


def _disagreement(site: Site, others: list[_Told]) -> Hit:
    """One finding for one program, from the image outwards, the program's own line last."""
    names = " and ".join(said.what for said in others)
    return Hit(
        [*(said.site for said in others), site],
        severity=HIGH if any(said.reached for said in others) else MEDIUM,
        title=f"The program listens on port {others[0].actual}, {names} say{'' if len(others) > 1 else 's'} "
        f"{others[0].port}",
        anchor=f"{site.path}\0{site.anchor}\0port",
    )


def _loopback(repo: Repo, docker: Dockerfile, listening: Listening) -> Iterator[Hit]:
    from ml_engineer.assessment.listening import LOOPBACK

    if listening.host not in LOOPBACK or _shares_network(repo):
        return
    start = docker.final.cmd or docker.final.entrypoint if docker.final is not None else None
    sites = [listening.site] if start is None else [listening.site, start.site()]
    yield Hit(
        list(dict.fromkeys(sites)),
        title=f"{listening.server} listens on {listening.host} only, inside a container",
        why="A container's loopback address is its own: no published port, Service or probe reaches the program.",
        remedy="Bind to 0.0.0.0 inside the container and restrict access by what is published.",
    )


def _shares_network(repo: Repo) -> bool:
    if any(s.node.get("network_mode") is not None for s in repo.compose):
        return True
    return any(
        {"--network=host", "--net=host", "--network", "--net"} & set(command.words)
        for command in repo.commands
        if command.program in ("docker", "podman")
    )


def _exposed(docker: Dockerfile, listening: Listening) -> Iterator[_Told]:
    ports = docker.final.ports if docker.final is not None else []
    if listening.port is not None and ports and listening.port not in [number for number, _ in ports]:
        number, instruction = ports[0]
        yield _Told("the image", number, listening.port, instruction.site(), reached=False)


def _compose(repo: Repo) -> Iterator[tuple[Listening, _Told]]:
    from ml_engineer.assessment.listening import of_service

    for service in repo.compose:
        listening = of_service(repo, service)
        targets = [(port.target, port.node) for port in service.ports if port.target is not None]
        if listening is None or listening.port is None or not targets:
            continue
        if all(number != listening.port for number, _ in targets):
            number, node = targets[0]
            yield listening, _Told("compose", number, listening.port, node.site(), reached=True)


def _workloads(repo: Repo, images: list[tuple[Dockerfile, Listening]]) -> Iterator[tuple[Listening, _Told]]:
    """Where one image is built and one workload runs an image of one's own, the two belong together."""
    from ml_engineer.assessment.kubernetes import own_containers, own_services

    own = own_services(repo)
    if len(own) != 1 or len(repo.dockerfiles) != 1 or len(images) != 1:
        return
    listening = images[0][1]
    containers = own_containers(own[0])
    if len(containers) != 1 or containers[0].command or listening.port is None:
        return
    ports = containers[0].ports
    if ports and all(number != listening.port for number, _, _ in ports):
        yield listening, _Told("the workload", ports[0][0], listening.port, ports[0][2].site(), reached=True)


def _services(repo: Repo) -> Iterator[Hit]:
    """A Service's target that the pods it selects do not have."""
    workloads = [o for o in repo.kubernetes if o.containers]
    for service in repo.kubernetes:
        listed = service.node.get("spec", "ports") if service.kind == "Service" else None
        selected = [o for o in workloads if service.selects(o)]
        if listed is None or len(selected) != 1 or service.templated:
            continue
        yield from _targets(service, selected[0])


def _targets(service: Object, workload: Object) -> Iterator[Hit]:
    listed = service.node.get("spec", "ports")
    ports = [port for container in workload.containers for port in container.ports]
    for item in listed.items if listed is not None else []:
        target = item.get("targetPort") or item.get("port")
        if target is None or not ports or target.text in {str(n) for n, _, _ in ports} | {name for _, name, _ in ports}:
            continue
        known = ", ".join(str(number) for number, _, _ in ports)
        yield Hit(
            [target.site(), ports[0][2].site()],
            confidence="high" if not target.text.isdigit() else "medium",
            title=f"The Service {service.name} sends to port {target.text}, its pods have {known}",
        )
