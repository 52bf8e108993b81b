"""M9-01: containers without resource requests and limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.kubernetes import Container
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0901",
    name="k8s-resources",
    step=9,
    severity=MEDIUM,
    title="A container states no resources",
    why="The scheduler cannot plan it: it is the first to be evicted, or takes the memory of everything on its node.",
    remedy="Measure the model in memory and under load, and set requests and a memory limit.",
    source="checkov CKV_K8S_10-13; kube-linter unset-memory-requirements",
    applies=lambda repo: any(c.image is not None for o in repo.kubernetes for c in o.containers),
)
def check(repo: Repo) -> Iterator[Hit]:
    if any(item.kind == "LimitRange" for item in repo.kubernetes):
        return  # the namespace gives defaults
    for item in repo.kubernetes:
        unset = [c for c in item.containers if not (c.init or c.patch) and c.image and _missing(repo, c)]
        if not unset or item.kind.endswith("ServingRuntime"):  # the InferenceService states them for its model
            continue
        partly = all(_missing(repo, container) == "limit" for container in unset)
        names = ", ".join(container.name or "its container" for container in unset)
        yield Hit(
            [container.site() for container in unset],
            severity=LOW if partly else MEDIUM,
            confidence="low" if item.partial else "high",
            title=f"{item.kind} {item.name}: no memory limit for {names}"
            if partly
            else f"{item.kind} {item.name}: no resource requests or limits for {names}",
        )


def _missing(repo: Repo, container: Container) -> str | None:
    """What is missing: `all`, the memory `limit`, or None (also where a template may bring it)."""
    from ml_engineer.assessment.helm import UNKNOWN
    from ml_engineer.assessment.kubernetes import completed

    node = completed(repo, container, "resources")
    if container.unknown or (node is not None and (UNKNOWN in node.text or UNKNOWN in node.entries)):
        return None
    if node is None and container.owner.templated and container.node.get("resources") is not None:
        return None
    requests, limits = (node.get(key) if node is not None else None for key in ("requests", "limits"))
    if (requests is None or not requests.entries) and (limits is None or not limits.entries):
        return "all"
    return "limit" if limits is None or limits.get("memory") is None else None
