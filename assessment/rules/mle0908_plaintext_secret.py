"""M9-08: a password or key written into a manifest, a compose file or Terraform variables."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import CRITICAL, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.manifests import Node
    from ml_engineer.assessment.repo import Repo

_NAME = re.compile(
    r"(pass(word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|auth[_-]?key|"
    r"account[_-]?key|connection[_-]?string|sas[_-]?key)",
    re.I,
)
_NOT_ONE = re.compile(
    r"(_|-|^)(file|path|name|url|uri|endpoint|ttl|expir\w*|length|id|type|header|issuer|lifetime|ref|mount|max|min|"
    r"tokens|count|enabled|required|policy|rotation|location|dir|provider|class|limit)s?$|tokenizer|max[_-]?\w*token|"
    r"token[_-]?(limit|length|size)|secretname|secretkeyref",
    re.I,
)
_URL = re.compile(r"\w+://[^:/\s$<{]+:([^@/\s$<{]{3,})@")
_PLACEHOLDER = re.compile(
    r"change|example|placeholder|dummy|your|xxx|\*\*\*|todo|replace|insert|\bfake\b|sample|redacted|secret[_-]?here|"
    r"^\$|\{\{|\$\{|\$\(|^<|>$|^%|UNKNOWN|^vault:|^ref\+|^!|^arn:|^/|^\.{1,2}/|^file:|ENC\[|AgA|"
    r"\.(json|ya?ml|pem|key|crt|p12|txt|env)$",
    re.I,
)
# Defaults of local servers: known to everybody, so they protect nothing, and they leak nothing.
_DEFAULTS = frozenset(
    "postgres mysql root admin password passwd pass secret user guest test testing mlflow airflow minio minioadmin "
    "minio123 grafana redis rabbitmq mongo mongodb token key default none null true false local localhost dev "
    "development demo prefect superset jupyter docker postgresql password123 admin123 12345 123456 1234".split()
)
_SHORTEST = 6


@rule(
    id="MLE0908",
    name="plaintext-secret",
    step=9,
    severity=CRITICAL,
    title="A secret stands in plain text in the infrastructure files",
    why="Everybody who can read the repository, or a clone of it, has the secret, and the history keeps it.",
    remedy="Change the secret now, keep it in a secret manager, and refer to it by name.",
    source="bandit B105; Kubernetes secrets documentation",
    applies=lambda repo: bool(repo.kubernetes or repo.compose or repo.glob("*.tfvars", "*.tf")),
)
def check(repo: Repo) -> Iterator[Hit]:
    found: dict[str, list[tuple[str, Site]]] = {}
    weak: list[tuple[str, Site]] = []
    for name, value, site, deployed in _assigned(repo):
        if _is_secret(name, value):
            found.setdefault(value, []).append((name, site))
        elif deployed and _NAME.search(name) and not _NOT_ONE.search(name) and value.lower() in _DEFAULTS:
            weak.append((name, site))
    for places in found.values():
        names = ", ".join(dict.fromkeys(name for name, _ in places))
        sites = list(dict.fromkeys(site for _, site in places))
        yield Hit(sites, title=f"A secret stands in plain text: {names}", anchor=f"{sites[0].path}\0{names}")
    if weak:
        yield Hit(
            [site for _, site in weak],
            severity=MEDIUM,
            title=f"A deployed service keeps a default password: {', '.join(dict.fromkeys(n for n, _ in weak))}",
            why="Default passwords are tried first by whoever reaches the port.",
            anchor="default",
        )


def _is_secret(name: str, value: str) -> bool:
    credentials = _URL.search(value)
    if credentials is not None:
        return not _is_placeholder(credentials[1])
    if not _NAME.search(name) or _NOT_ONE.search(name) or "\n" in value.strip():
        return "-----BEGIN" in value and "PRIVATE KEY" in value
    return not _is_placeholder(value)


def _is_placeholder(value: str) -> bool:
    plain = value.strip()
    if len(plain) < _SHORTEST or plain.lower() in _DEFAULTS or _PLACEHOLDER.search(plain):
        return True
    if plain.isdigit() or re.fullmatch(r"[a-z]+([-_.][a-z]+)*", plain):
        return True  # words, as in a name of something that is kept elsewhere
    return _entropy(plain) < 2.3


def _entropy(text: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _assigned(repo: Repo) -> Iterator[tuple[str, str, Site, bool]]:
    """Name, value, place without the value, and whether it is deployed to a cluster."""
    for item in repo.kubernetes:
        if item.kind == "Secret" and not item.templated:
            yield from _secret(item.node)
        if item.kind == "ConfigMap":
            data = item.node.get("data")
            for name, node in data.entries.items() if data is not None else ():
                yield name, node.text, _hidden(node), True
        for container in item.containers:
            for name, node in container.env.items():
                yield name, node.text, _hidden(node, name), True
    for service in repo.compose:
        for name, node in service.environment.items():
            listed = node.text.partition("=")[0] == name and "=" in node.text
            yield name, node.text.partition("=")[2] if listed else node.text, _hidden(node), False
    for file in repo.glob("*.tfvars", "*.tf"):
        yield from _terraform(file)


def _secret(node: Node) -> Iterator[tuple[str, str, Site, bool]]:
    for key in ("data", "stringData"):
        data = node.get(key)
        for name, value in data.entries.items() if data is not None else ():
            text = _decoded(value.text) if key == "data" else value.text
            if text is not None:
                yield f"secret {name}", text, _hidden(value), True


def _decoded(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8").strip()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _hidden(node: Node, note: str | None = None) -> Site:
    """The line of a value, quoted only up to where the value begins."""
    line = node.file.lines[node.line - 1] if node.line <= len(node.file.lines) else ""
    start = line.find(node.text.partition("\n")[0]) if node.text else -1
    equals = node.text.find("=")
    if equals > 0 and start >= 0:
        start += equals + 1
    quote = line[:start] if start > 0 else line.partition(":")[0]
    return Site(node.file.path, node.line, node.line, quote.rstrip(" \"'"), None, note or "", note)


def _terraform(file: File) -> Iterator[tuple[str, str, Site, bool]]:
    for number, match in file.find(r'^(\s*"?([\w-]+)"?\s*=\s*)"([^"]*)"'):
        yield match[2], match[3], Site(file.path, number, number, match[1].rstrip(), None, match[2]), False
