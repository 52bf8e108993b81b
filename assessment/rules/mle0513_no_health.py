"""M5-13: a web application that serves a model has no health route."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_HEALTH = re.compile(r"health|ready|readiness|live(ness|z)?\b|\balive|\bping|heart_?beat|is_?up\b|\bstatus\b", re.I)
_ALIVE = re.compile(r"\b(alive|healthy|health ?check|pong|up and running)\b", re.I)
_LIBRARIES = (
    "healthcheck",
    "fastapi_health",
    "fastapi_healthcheck",
    "flask_healthz",
    "health_check",
    "flask_healthcheck",
    "grpc_health",
)


def _serves(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import serves_model

    return serves_model(repo)


@rule(
    id="MLE0513",
    name="no-health",
    step=5,
    severity=MEDIUM,
    title="The service has no health or readiness route",
    why="An orchestrator cannot tell a replica that answers from one that hangs or has no model loaded.",
    remedy="Add /healthz and a /readyz that checks that the model is loaded, and name them in the probes.",
    source="CKV_K8S_8, CKV_K8S_9; kube-linter",
    peers=("devops-engineer",),
    applies=_serves,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import served_app
    from ml_engineer.assessment.values import return_values

    app = served_app(repo)
    if app is None or repo.uses(*_LIBRARIES):
        return
    for route in repo.routes:
        if _HEALTH.search(route.path or "") or _HEALTH.search(route.handler.node.name):
            return
        if route.path == "/" and any(map(_is_status, return_values(route.handler))):
            return
    files = {route.module.file for route in repo.routes}
    if any(re.search(r"[\"'][/\w]*/(healthz?|readyz?|livez|ping)\b", file.text) for file in files):
        return
    patterns = ("routes named health, healthz, ready, readyz, live, ping, status", *_LIBRARIES)
    yield Hit([repo.missing(app.site, patterns, files)])


def _is_status(answer: ast.expr) -> bool:
    """Whether an answer is a fixed status, as in `{"status": "ok"}` or "I am alive"."""
    if isinstance(answer, ast.Constant):
        return isinstance(answer.value, str) and _ALIVE.search(answer.value) is not None
    pairs = zip(answer.keys, answer.values, strict=True) if isinstance(answer, ast.Dict) else ()
    return any(
        isinstance(key, ast.Constant) and _HEALTH.search(str(key.value)) and isinstance(value, ast.Constant)
        for key, value in pairs
    )
