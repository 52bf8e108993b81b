"""M7-09: a package for monitoring, validation or tracking is declared, but no program uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# Distribution -> import names.
_PACKAGES = {
    "evidently": "evidently", "nannyml": "nannyml", "alibi-detect": "alibi_detect", "whylogs": "whylogs",
    "great-expectations": "great_expectations", "pandera": "pandera", "deepchecks": "deepchecks", "mlflow": "mlflow",
    "wandb": "wandb", "prometheus-client": "prometheus_client", "neptune": "neptune", "clearml": "clearml",
    "prometheus-fastapi-instrumentator": "prometheus_fastapi_instrumentator", "comet-ml": "comet_ml", "aim": "aim",
    "prometheus-flask-exporter": "prometheus_flask_exporter", "statsd": "statsd", "sentry-sdk": "sentry_sdk",
    "opentelemetry-api": "opentelemetry", "opentelemetry-sdk": "opentelemetry", "popmon": "popmon",
    "tensorflow-data-validation": "tensorflow_data_validation", "frouros": "frouros", "dvclive": "dvclive",
}  # fmt: skip
_COMMANDS = ("*.sh", "Makefile", "Dockerfile*", "*.y*ml", "MLproject", "*.toml", "Procfile", "justfile", "tox.ini")


def _declares(repo: Repo) -> bool:
    return any(declared.name in _PACKAGES for declared in repo.dependencies.declared)


@rule(
    id="MLE0709",
    name="monitor-unused",
    step=7,
    severity=LOW,
    title="A monitoring or tracking package is installed and never used",
    why="The list of dependencies promises monitoring that no program does.",
    remedy="Wire it into the service or the training script, or take it out.",
    source="the idea of deptry's unused dependency",
    applies=_declares,
)
def check(repo: Repo) -> Iterator[Hit]:
    imported = {
        item.target.split(".")[0] for module in repo.modules if not module.is_notebook for item in module.imports
    }
    for declared in repo.dependencies.declared:
        name = declared.name
        if (
            name not in _PACKAGES
            or declared.kind in ("lock", "constraints", "notebook", "script")
            or not declared.direct
        ):
            continue
        if _PACKAGES[name] in imported or _is_commanded(repo, name):
            continue
        yield Hit([declared.source], title=f"{name} is installed and never used outside of notebooks", anchor=name)


def _is_commanded(repo: Repo, name: str) -> bool:
    """Whether a script runs it as a command, or a configuration switches it on as a plugin."""
    command = re.compile(
        rf"(^|[\s\"'&|;-]|RUN ){re.escape(name)}\s+(run|server|ui|models|login|sync|agent|checkpoint)\b|report_to", re.M
    )
    if any(command.search(file.text) for file in repo.glob(*_COMMANDS)):
        return True
    word = re.compile(rf"report_to|[\"'.]{re.escape(_PACKAGES[name])}[\"'.]|logger.*{re.escape(name)}", re.I)
    return any(word.search(module.file.text) for module in repo.modules if not module.is_notebook)
