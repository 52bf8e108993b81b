"""Kubernetes objects of the repository, and what rules ask of them: pods, containers, services, ports, probes.

`find_objects(repo)` (as `repo.kubernetes`) reads every YAML file that has `apiVersion` and `kind`, templates of Helm
charts included (filled in from the chart's values; `templated` says so, and what could not be filled in is unknown).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ml_engineer.assessment import helm
from ml_engineer.assessment.files import File
from ml_engineer.assessment.manifests import Node
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# Where each kind keeps the pod it starts.
_POD = {
    "Pod": ("spec",),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "ReplicationController": ("spec", "template", "spec"),
    "Rollout": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "InferenceService": ("spec", "predictor"),
    "ServingRuntime": ("spec",),
    "ClusterServingRuntime": ("spec",),
}
_KNATIVE = "serving.knative.dev/"  # its kind Service starts pods, that of Kubernetes itself starts none
LONG_RUNNING = frozenset("Deployment StatefulSet DaemonSet ReplicaSet ReplicationController Rollout".split())
PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_OBJECT = re.compile(r"^[ \t]*(-[ \t]+)?[\"']?apiVersion[\"']?\s*:", re.M)
_KIND = re.compile(r"^[ \t]*(-[ \t]+)?[\"']?kind[\"']?\s*:", re.M)
_PUT_IN = re.compile(r"\{\{-?\s*(toYaml|include|template|tpl)\b")
_CONFIGURATION = frozenset("Kustomization Chart Config Values Profile Cluster".split())


@dataclass(eq=False, slots=True)
class Probe:
    """A probe. `path` is None for one that asks by TCP, gRPC or a command; `port` is a number or a name."""

    kind: str  # readinessProbe, livenessProbe or startupProbe
    node: Node
    path: str | None
    port: str | None

    def site(self) -> Site:
        """The line of the path, of the port, or of the probe itself."""
        return (self.node.get("httpGet", "path") or self.node.get("httpGet", "port") or self.node).site()


@dataclass(eq=False)
class Container:
    """A container of a pod. `init`: it ends before the others start.

    `patch`: it stands in a patch of Kustomize, and its base is here too; `again`: it names the image of that base.
    """

    owner: Object
    node: Node
    init: bool = False
    patch: bool = False
    again: bool = False

    @property
    def name(self) -> str:
        found = self.node.get("name")
        return found.text if found else ""

    @property
    def image(self) -> Node | None:
        """The image reference as it stands in the manifest, templates filled in; None where a patch repeats it."""
        return None if self.again else self.node.get("image")

    @property
    def image_site(self) -> Site:
        """Where the image is chosen: the value of a Helm chart where a template reads it, else the line itself."""
        image = self.image or self.node
        source = helm.value_node(self._repo, image.file, image.line) if self.owner.templated else None
        return (source or image).site()

    @property
    def _repo(self) -> Repo:
        return self.owner.repo

    @cached_property
    def ports(self) -> list[tuple[int, str, Node]]:
        """Container ports: number, name (may be empty), place."""
        found = []
        listed = self.node.get("ports")
        for item in listed.items if listed is not None else []:
            port, name = item.get("containerPort"), item.get("name")
            number = port.integer() if port is not None else None
            if port is not None and number is not None:
                found.append((number, name.text if name else "", port))
        return found

    @cached_property
    def probes(self) -> list[Probe]:
        found = []
        for kind in PROBES:
            node = self.node.get(kind)
            if node is None or node.is_null:
                continue
            path = node.get("httpGet", "path")
            port = node.get("httpGet", "port") or node.get("tcpSocket", "port") or node.get("grpc", "port")
            found.append(Probe(kind, node, path.text if path else None, port.text if port else None))
        return found

    @property
    def command(self) -> list[str]:
        """`command` and `args` together, empty where the image's own are used."""
        return [w for key in ("command", "args") if (n := self.node.get(key)) is not None for w in n.strings()]

    @cached_property
    def env(self) -> dict[str, Node]:
        """Variables with a literal value."""
        found = {}
        listed = self.node.get("env")
        for item in listed.items if listed is not None else []:
            name, value = item.get("name"), item.get("value")
            if name is not None and value is not None:
                found[name.text] = value
        return found

    def setting(self, key: str) -> Node | None:
        """A field of the security context, the container's own before the pod's."""
        return self.node.get("securityContext", key) or self.owner.pod_setting(key)

    @property
    def unknown(self) -> bool:
        """Whether a template may bring fields that cannot be seen here."""
        return self.owner.templated and any(helm.UNKNOWN in key for key in self.node.entries)

    def site(self) -> Site:
        name = self.node.get("name")
        return (name or self.node).site(anchor=f"{self.owner.kind}/{self.owner.name}/{self.name}")


@dataclass(eq=False)
class Object:
    """A Kubernetes object."""

    repo: Repo
    file: File
    node: Node
    templated: bool
    kind: str
    api_version: str
    containers: list[Container] = field(default_factory=list)

    @property
    def name(self) -> str:
        found = self.node.get("metadata", "name")
        return found.text if found else ""

    @cached_property
    def pod(self) -> Node | None:
        """The pod's specification, or None for a kind that starts none."""
        path = _POD.get("Deployment" if self.api_version.startswith(_KNATIVE) else self.kind)
        return self.node.get(*path) if path else None

    @cached_property
    def partial(self) -> bool:
        """Whether a template puts in blocks that are not seen here."""
        return self.templated and _PUT_IN.search(self.file.text) is not None

    def pod_setting(self, key: str) -> Node | None:
        return self.pod.get("securityContext", key) if self.pod is not None else None

    @property
    def replicas(self) -> Node | None:
        return self.node.get("spec", "replicas")

    @cached_property
    def labels(self) -> dict[str, str]:
        """Labels of the pods it starts."""
        found = self.node.get("metadata", "labels") if self.kind == "Pod" else None
        found = found or self.node.get("spec", "template", "metadata", "labels")
        return {key: value.text for key, value in found.entries.items()} if found is not None else {}

    def selects(self, other: Object) -> bool:
        """Whether this Service's selector matches the pods of a workload."""
        selector = self.node.get("spec", "selector")
        if self.kind != "Service" or selector is None or not selector.entries:
            return False
        return all(other.labels.get(key) == value.text for key, value in selector.entries.items())

    def site(self) -> Site:
        kind = self.node.get("kind")
        return (kind or self.node).site(anchor=f"{self.kind}/{self.name}")


def find_objects(repo: Repo) -> list[Object]:
    """Every object, in the order of files and lines; test data left out."""
    found: list[Object] = []
    for file in repo.glob("*.yaml", "*.yml"):
        if "test" in file.roles or not _KIND.search(file.text) or not _OBJECT.search(file.text):
            continue
        parsed = repo.yaml(file)
        for document in parsed.documents:
            kind = document.get("kind")
            listed = document.get("items") if kind is not None and kind.text == "List" else None
            for node in listed.items if listed is not None else [document]:
                made = _object(repo, file, node, parsed.templated)
                if made is not None:
                    found.append(made)
    _mark_patches(repo, found)
    return found


def _mark_patches(repo: Repo, found: list[Object]) -> None:
    """A patch of Kustomize is no workload of its own: what it says again is judged where its base stands."""
    patches = _patches(repo)
    bases: dict[tuple[str, str, str], set[str]] = {}
    for item in found:
        for container in item.containers if item.file.path not in patches else ():
            if container.image is not None:
                bases.setdefault((item.kind, item.name, container.name), set()).add(container.image.text)
    for item in found:
        for container in item.containers if item.file.path in patches else ():
            images = bases.get((item.kind, item.name, container.name), set())
            container.patch = bool(images)
            container.again = container.image is not None and container.image.text in images


def _patches(repo: Repo) -> set[str]:
    """Files that a kustomization lays over its resources: `patches: [p.yaml]`, `- path: p.yaml`."""
    found = set()
    for file in repo.glob("kustomization.yaml", "kustomization.yml"):
        for document in repo.yaml(file).documents:
            for key in ("patches", "patchesStrategicMerge"):
                listed = document.get(key)
                for item in listed.items if listed is not None else []:
                    named = item.get("path") if item.kind == "map" else item
                    if named is not None:
                        found.add(posixpath.normpath(posixpath.join(file.folder, named.text)))
    return found


def _object(repo: Repo, file: File, node: Node, templated: bool) -> Object | None:
    kind, version = node.get("kind"), node.get("apiVersion")
    if kind is None or version is None or kind.text in _CONFIGURATION or file.name == "Chart.yaml":
        return None
    made = Object(repo, file, node, templated, kind.text, version.text)
    if made.pod is not None:
        for key, init in (("initContainers", True), ("containers", False)):
            listed = made.pod.get(key)
            for item in listed.items if listed is not None else []:
                if item.kind == "map":
                    made.containers.append(Container(made, item, init))
    return made


# --- which workloads are the repository's own service -----------------------------------------------------------------

_INFRASTRUCTURE = re.compile(
    r"postgres|redis|mysql|mariadb|mongo|nginx|traefik|grafana|prom/|prometheus|minio|mlflow|rabbitmq|kafka|zookeeper|"
    r"elasticsearch|kibana|jaeger|opentelemetry|otel|busybox|alpine|curl|locust|airflow|memcached|vault|consul|envoy|"
    r"fluent|loki|alertmanager|exporter|pushgateway|qdrant|weaviate|milvus|chroma|neo4j|jupyter|cloud-?sql|kubectl|"
    r"pgadmin|adminer|haproxy|keycloak|nats|etcd|istio|cassandra|spark|ray-head|dask|celery|flower|proxy|migrate",
    re.I,
)


def is_infrastructure(image: str) -> bool:
    """Whether an image (or a name) is a well-known server that brings its own rules, not this repository's program."""
    return _INFRASTRUCTURE.search(image) is not None


def own_services(repo: Repo) -> list[Object]:
    """Long-running workloads that answer requests with an image of one's own: they have ports, or a Service."""
    found = []
    services = [o for o in repo.kubernetes if o.kind == "Service"]
    for item in repo.kubernetes:
        if item.kind not in LONG_RUNNING:
            continue
        if any(own_containers(item)) and (
            any(c.ports for c in item.containers) or any(s.selects(item) for s in services)
        ):
            found.append(item)
    return found


def own_containers(item: Object) -> list[Container]:
    """Containers of a workload that run an image of one's own. A patch has none: its base is judged."""
    return [
        c
        for c in item.containers
        if not (c.init or c.patch) and c.image is not None and not is_infrastructure(f"{c.image.text} {c.name}")
    ]


def completed(repo: Repo, container: Container, *path: str) -> Node | None:
    """A field of a container, its own or one that a patch of the same workload in this repository brings."""
    own = container.node.get(*path)
    if own is not None:
        return own
    for other in repo.kubernetes:
        if other is not container.owner and (other.kind, other.name) == (container.owner.kind, container.owner.name):
            for twin in other.containers:
                if (
                    twin.name == container.name
                    and (twin.patch or twin.image is None)
                    and twin.node.get(*path) is not None
                ):
                    return twin.node.get(*path)
    return None
