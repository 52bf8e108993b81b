"""M7-01: a web application that serves a model emits no metrics."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

LIBRARIES = (
    "prometheus_client", "prometheus_fastapi_instrumentator", "starlette_exporter", "prometheus_flask_exporter",
    "starlette_prometheus", "opentelemetry", "statsd", "datadog", "ddtrace", "newrelic", "elasticapm", "arize",
    "aioprometheus", "aws_embedded_metrics", "aws_lambda_powertools", "opencensus", "applicationinsights", "logfire",
    "sanic_prometheus", "django_prometheus", "graphite", "influxdb_client", "flask_monitoringdashboard", "whylogs",
    "py_grpc_prometheus",
)  # fmt: skip
_LAUNCHERS = re.compile(r"opentelemetry-instrument|ddtrace-run|newrelic-admin")
_STARTS = ("Dockerfile*", "Procfile", "*.sh", "*compose*.y*ml", "gunicorn*.py")


def _serves(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import serves_model

    return serves_model(repo)


@rule(
    id="MLE0701",
    name="no-metrics",
    step=7,
    severity=MEDIUM,
    title="The service emits no metrics",
    why="Errors, latency and load of the model are seen by nobody until users complain.",
    remedy="Expose /metrics (prometheus-fastapi-instrumentator, prometheus_client) or send OpenTelemetry.",
    source="ML Test Score monitor-6",
    peers=("aiops-specialist",),
    applies=_serves,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import served_app, serving_modules

    app = served_app(repo)
    if app is None or any(map(_measures, serving_modules(repo))):
        return
    around = [module for module in repo.modules if module.file.folder == app.call.module.file.folder]
    if any(_measures(module) for module in around if not module.is_notebook):
        return
    paths = {route.path or "" for route in repo.routes}
    if any("metrics" in path for path in paths) or {"/ping", "/invocations"} <= paths:  # SageMaker measures its own
        return
    if any(_LAUNCHERS.search(f.text) for f in repo.glob(*_STARTS)):
        return
    patterns = ("prometheus_client", "opentelemetry", "statsd", "datadog", "a route /metrics")
    yield Hit([repo.missing(app.site, patterns, serving_modules(repo))])


def _measures(module: Module) -> bool:
    """Whether a module uses one of the libraries; `from x import Y` alone, and no `Y` after it, measures nothing."""
    found = [item for item in module.imports if item.top in LIBRARIES]
    if not found:
        return False
    read = {node.id for node in module.nodes(ast.Name)}
    return any(isinstance(item.node, ast.Import) or item.star or item.name in read for item in found)
