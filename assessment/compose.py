"""Services of Docker Compose files: image or build, ports, environment, health check.

`find_services(repo)` is reached as `repo.compose`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import File
from ml_engineer.assessment.manifests import Node
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_NAME = re.compile(r"(docker-)?compose([._-][\w.-]+)?\.ya?ml|[\w.-]+[._-]compose\.ya?ml", re.I)
_VARIABLE = re.compile(r"\$\{(\w+)(?::?-[^}]*)?\}|\$(\w+)")
_DEFAULT = re.compile(r"\$\{\w+:?-([^}]*)\}")


@dataclass(frozen=True, eq=False, slots=True)
class Port:
    """A published port. A number is None where a variable or a range hides it; `host` is the address, often empty."""

    host: str
    published: int | None
    target: int | None
    node: Node


@dataclass(eq=False)
class Service:
    """A service of a compose file."""

    file: File
    name: str
    node: Node
    variables: Mapping[str, str] = field(default_factory=dict)  # what the .env file beside it sets

    @property
    def image(self) -> Node | None:
        return self.node.get("image")

    @property
    def build_context(self) -> str | None:
        """Folder relative to the compose file, None where the service is not built."""
        build = self.node.get("build")
        if build is None:
            return None
        context = build if build.kind == "scalar" else build.get("context")
        return posixpath.normpath(context.text or ".") if context is not None else "."

    @property
    def dockerfile(self) -> str | None:
        found = self.node.get("build", "dockerfile")
        return found.text if found is not None else None

    @property
    def command(self) -> list[str]:
        found = self.node.get("command") or self.node.get("entrypoint")
        if found is None:
            return []
        return found.text.split() if found.kind == "scalar" else found.strings()

    @cached_property
    def ports(self) -> list[Port]:
        listed = self.node.get("ports")
        return [_port(item, self.variables) for item in listed.items] if listed is not None else []

    @cached_property
    def environment(self) -> dict[str, Node]:
        """Variable -> the node that holds its value (for the list form the whole `NAME=value`)."""
        found = self.node.get("environment")
        if found is None:
            return {}
        if found.kind == "map":
            return dict(found.entries)
        return {item.text.partition("=")[0]: item for item in found.items if "=" in item.text}

    @property
    def is_override(self) -> bool:
        """Whether the file only changes another one, or is for a developer's own machine."""
        return re.search(r"override|[._-](dev|local|development|test|debug)\b", self.file.name, re.I) is not None

    def site(self) -> Site:
        return self.file.site(self.node.key_line or self.node.line, anchor=f"service/{self.name}")


def _port(item: Node, variables: Mapping[str, str]) -> Port:
    if item.kind == "map":
        published, target, host = item.get("published"), item.get("target"), item.get("host_ip")
        return Port(host.text if host else "", _number(published), _number(target), item)
    text = _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[0]), item.text)
    text = _DEFAULT.sub(lambda match: match[1], text).partition("/")[0]
    before, _, inside = text.rpartition(":")
    address, _, outside = before.rpartition(":")
    return Port(
        address.strip("[]"),
        int(outside) if re.fullmatch(r"\d{1,5}", outside) else None,
        int(inside) if re.fullmatch(r"\d{1,5}", inside) else None,
        item,
    )


def _number(node: Node | None) -> int | None:
    return node.integer() if node is not None else None


def _variables(file: File | None) -> dict[str, str]:
    """Plain assignments of a .env file, which Compose fills in."""
    pairs = (
        re.match(r"^\s*(?:export\s+)?(\w+)\s*=\s*[\"']?([^\s\"'#$]+)", line) for line in (file.lines if file else ())
    )
    return {pair[1]: pair[2] for pair in pairs if pair}


def is_compose(file: File) -> bool:
    return _NAME.fullmatch(file.name) is not None


def find_services(repo: Repo) -> list[Service]:
    """Every service, in the order of files and lines; test data left out."""
    found = []
    for file in repo.glob("*.yaml", "*.yml"):
        if not is_compose(file) or "test" in file.roles:
            continue
        variables = _variables(repo.files.get(f"{file.folder}/.env".lstrip("/")))
        for document in repo.yaml(file).documents:
            services = document.get("services")
            if services is None and document.get("version") is None and file.name.lower().startswith("docker-compose"):
                services = document  # the first format had no `services`
            for name, node in services.entries.items() if services is not None else ():
                if node.kind == "map" and (services is not document or node.get("image") or node.get("build")):
                    found.append(Service(file, name, node, variables))
    return found
