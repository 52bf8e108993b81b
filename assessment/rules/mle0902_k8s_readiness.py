"""M9-02: a model server gets requests before its model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.kubernetes import Object
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0902",
    name="k8s-readiness",
    step=9,
    severity=MEDIUM,
    title="A serving container has no readiness probe",
    why="Requests arrive while the model is still loading, and during every rollout some of them fail.",
    remedy="Add a readinessProbe on a route that needs the loaded model, and a startupProbe for the load.",
    source="Kubernetes documentation; kube-linter no-readiness-probe",
    applies=lambda repo: bool(_serving(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.kubernetes import completed, own_containers

    for item in _serving(repo):
        lacking = [
            c
            for c in own_containers(item)
            if not c.unknown and completed(repo, c, "readinessProbe") is None and (c.ports or len(item.containers) == 1)
        ]
        if lacking:
            live = any(completed(repo, container, "livenessProbe") is not None for container in lacking)
            yield Hit(
                [container.site() for container in lacking],
                confidence="low" if item.partial else "high",
                title=f"{item.kind} {item.name} has no readiness probe" + (", only a liveness probe" if live else ""),
            )


def _serving(repo: Repo) -> list[Object]:
    from ml_engineer.assessment.kubernetes import own_services

    return own_services(repo)
