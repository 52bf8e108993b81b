"""M9-03: workloads that run as root, may gain privileges, or reach into their host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.kubernetes import Container, Object
    from ml_engineer.assessment.repo import Repo

_HOST = ("hostNetwork", "hostPID", "hostIPC")
_DANGEROUS_PATH = re.compile(
    r"^(/|/etc|/etc/kubernetes.*|/root.*|/home|/proc.*|/dev|/var|/var/lib/(docker|kubelet|containerd).*|(/var)?/run|"
    r"(/var)?/run/(docker|containerd|crio).*)/?$"
)

_DEVICES = re.compile(r"^/var/lib/kubelet/(device-plugins|pod-resources)/?$")


@rule(
    id="MLE0903",
    name="k8s-security",
    step=9,
    severity=MEDIUM,
    title="A workload runs with more rights than it needs",
    why="A break-in through the model server becomes a break-in to the node.",
    remedy="Set runAsNonRoot, allowPrivilegeEscalation: false, drop all capabilities, and mount no host paths.",
    source="Kubernetes pod security standards; checkov; kube-linter",
    applies=lambda repo: bool(_workloads(repo) or repo.compose),
)
def check(repo: Repo) -> Iterator[Hit]:
    for item in _workloads(repo):
        dangerous = [*_pod(item), *(found for c in item.containers for found in _container(c))]
        if dangerous:
            what = ", ".join(dict.fromkeys(name for name, _ in dangerous))
            yield Hit(
                list(dict.fromkeys(site for _, site in dangerous)),
                severity=HIGH,
                title=f"{item.kind} {item.name} can reach its host: {what}",
                anchor=f"{item.file.path}\0{item.kind}\0{item.name}\0host",
            )
            continue
        open_ones = [c for c in item.containers if not (c.init or c.patch) and c.image and _unrestricted(c)]
        if open_ones:
            yield Hit(
                [container.site() for container in open_ones],
                confidence="low" if item.partial else "high",
                title=f"{item.kind} {item.name} does not forbid root or privilege escalation",
                anchor=f"{item.file.path}\0{item.kind}\0{item.name}\0context",
            )
    yield from _compose(repo)


def _workloads(repo: Repo) -> list[Object]:
    return [item for item in repo.kubernetes if any(c.image is not None for c in item.containers)]


def _pod(item: Object) -> Iterator[tuple[str, Site]]:
    pod = item.pod
    if pod is None:
        return
    for key in _HOST:
        node = pod.get(key)
        if node is not None and node.truth():
            yield key, node.site()
    volumes = pod.get("volumes")
    for volume in volumes.items if volumes is not None else []:
        path = volume.get("hostPath", "path")
        if path is not None and _DANGEROUS_PATH.match(path.text) and not _is_for_devices(item, path.text):
            yield f"host path {path.text}", path.site()


def _is_for_devices(item: Object, path: str) -> bool:
    """A device plugin tells the kubelet of its node about graphics cards, through a folder that is there for that."""
    return item.kind == "DaemonSet" and _DEVICES.match(path) is not None


def _container(container: Container) -> Iterator[tuple[str, Site]]:
    node = container.node.get("securityContext", "privileged")
    if node is not None and node.truth():
        yield "privileged", node.site()
    added = container.node.get("securityContext", "capabilities", "add")
    if added is not None and {"SYS_ADMIN", "ALL", "NET_ADMIN", "SYS_PTRACE"} & set(added.strings()):
        yield "added capabilities", added.site()


def _unrestricted(container: Container) -> bool:
    """Whether neither root nor a gain of privileges is forbidden. One of the two set is a start, not this finding."""
    if container.unknown:
        return False
    user, not_root = container.setting("runAsUser"), container.setting("runAsNonRoot")
    escalation = container.node.get("securityContext", "allowPrivilegeEscalation")
    if user is not None and user.text == "0":
        return True
    safe_user = (user is not None and user.text != "0") or (not_root is not None and not_root.truth() is not False)
    return not safe_user and (escalation is None or escalation.truth() is True)


def _compose(repo: Repo) -> Iterator[Hit]:
    for service in repo.compose:
        found: list[tuple[str, Site]] = []
        privileged = service.node.get("privileged")
        if privileged is not None and privileged.truth():
            found.append(("privileged", privileged.site()))
        volumes = service.node.get("volumes")
        for volume in volumes.items if volumes is not None else []:
            named = volume.get("source")
            source = named.text if named is not None else volume.text
            if "docker.sock" in source and not source.endswith(":ro"):
                found.append(("the Docker socket", volume.site()))
        if found:
            yield Hit(
                [site for _, site in found],
                severity=HIGH,
                title=f"Compose service {service.name} can reach its host: {', '.join(name for name, _ in found)}",
            )
