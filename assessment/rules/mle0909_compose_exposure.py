"""M9-09, first half: stores and consoles published on every address of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.compose import Service
    from ml_engineer.assessment.repo import Repo

_STORES = re.compile(
    r"postgres|mysql|mariadb|mongo|redis|memcached|elasticsearch|opensearch|rabbitmq|kafka|zookeeper|minio|mlflow|"
    r"cassandra|clickhouse|influxdb|neo4j|qdrant|weaviate|milvus|chroma|etcd|jupyter|adminer|pgadmin|flower|timescale|"
    r"label-?studio|pgvector|airflow|prometheus|alertmanager|kibana|spark|phpmyadmin|mongo-express|redis-?insight",
    re.I,
)
# Started in an image that another program is the usual one of.
_STARTED = re.compile(
    r"\bmlflow\s+(server|ui)\b|\bjupyter[\s-](lab|notebook)\b|\bairflow\s+(webserver|standalone|api-server)\b"
)
_STORE_PORTS = frozenset([5432, 3306, 27017, 6379, 11211, 9200, 5672, 9092, 2181, 9042, 8123, 8086, 7687, 6333, 19530])
_LOCAL = frozenset(["127.0.0.1", "localhost", "::1"])


@rule(
    id="MLE0909",
    name="compose-exposure",
    step=9,
    severity=MEDIUM,
    title="A database or console is published on all interfaces",
    why="Docker opens the port past the host's firewall: whoever reaches the machine reaches the data.",
    remedy="Leave the port out (services reach one another by name), or bind it to 127.0.0.1.",
    source="Docker networking documentation; Trail of Bits rules",
    applies=lambda repo: any(_is_store(service) for service in repo.compose),
)
def check(repo: Repo) -> Iterator[Hit]:
    for service in repo.compose:
        if not _is_store(service) or service.is_override or service.node.get("network_mode") is not None:
            continue
        ports = [p for p in service.ports if p.host not in _LOCAL and "$" not in p.host and p.target is not None]
        if ports:
            yield Hit(
                [port.node.site() for port in ports],
                title=f"{service.name} publishes port {ports[0].published or ports[0].target} on all interfaces",
                anchor=f"{service.file.path}\0{service.name}",
            )


def _is_store(service: Service) -> bool:
    image = service.image.text if service.image is not None else ""
    if service.build_context is not None and re.fullmatch(r"airflow[-_](webserver|api-?server)", service.name):
        return True
    if _STARTED.search(" ".join(service.command)):
        return True
    if _STORES.search(image.rpartition("/")[2]) or (not image and _STORES.fullmatch(service.name)):
        return not re.search(r"exporter", image)
    return any(port.target in _STORE_PORTS for port in service.ports)
