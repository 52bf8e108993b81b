"""M9-07: one replica, or a release that stops the old one first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.kubernetes import Object
    from ml_engineer.assessment.repo import Repo

_SCALERS = frozenset(["HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget", "VerticalPodAutoscaler"])
_DEVELOPMENT = re.compile(r"(^|/)(dev|development|local|minikube|kind|sandbox|staging|test)(/|[._-])", re.I)


@rule(
    id="MLE0907",
    name="single-replica",
    step=9,
    severity=LOW,
    title="The model runs in a single replica",
    why="Every release, node upgrade or crash is downtime, and nothing grows with the load.",
    remedy="Run at least two replicas with a rolling update, add an autoscaler and a disruption budget.",
    source="ML Test Score, infrastructure 6",
    applies=lambda repo: bool(_own(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    scaled = {_target(item) for item in repo.kubernetes if item.kind in _SCALERS}
    for item in _own(repo):
        strategy = item.node.get("spec", "strategy", "type")
        if strategy is not None and strategy.text == "Recreate":
            yield Hit([strategy.site()], title=f"Releases of {item.name} stop the old pods before the new ones run")
        if item.name in scaled or "" in scaled or item.kind == "DaemonSet" or item.templated:
            continue
        replicas = item.replicas
        if replicas is None or replicas.integer() == 1:
            yield Hit(
                [replicas.site() if replicas is not None else item.site()],
                title=f"{item.kind} {item.name} runs in a single replica, without autoscaler",
            )


def _own(repo: Repo) -> list[Object]:
    from ml_engineer.assessment.kubernetes import own_services

    return [item for item in own_services(repo) if not _DEVELOPMENT.search(item.file.path)]


def _target(item: Object) -> str:
    """Name of the workload that a scaler or budget is about; empty where only labels say it."""
    found = item.node.get("spec", "scaleTargetRef", "name") or item.node.get("spec", "targetRef", "name")
    return found.text if found is not None else ""
