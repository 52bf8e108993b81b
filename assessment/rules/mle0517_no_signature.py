"""M5-17: an MLflow model is logged without saying what it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_LOGGING = ("mlflow.*.log_model", "mlflow.*.save_model")
# Flavours that work out a signature of their own.
_INFERRED = re.compile(
    r"mlflow\.(transformers|langchain|openai|llama_index|dspy|sentence_transformers|prophet|diviner)\."
)


def _logs_models(repo: Repo) -> bool:
    return any(True for _ in repo.calls(*_LOGGING, tests=False))


@rule(
    id="MLE0517",
    name="no-signature",
    step=5,
    severity=MEDIUM,
    title="MLflow model is logged without a signature",
    why="Serving cannot check the columns and types it is given: a renamed or missing column goes unnoticed.",
    remedy="Pass signature=infer_signature(X, model.predict(X)) or an input_example.",
    source="MLflow documentation, model signatures",
    applies=_logs_models,
)
def check(repo: Repo) -> Iterator[Hit]:
    logging = repo.calls("mlflow.autolog", "mlflow.*.autolog", tests=False)
    if any(call.module.literal(call.keyword("disable")) is not True for call in logging):
        return
    sites: list[Site] = []
    for call in repo.calls(*_LOGGING, tests=False):
        described = call.keyword("signature") or call.keyword("input_example")
        if described is None and not call.has_unpacked_keywords and not _INFERRED.match(call.name):
            sites.append(call.site())
    for group in per_file(sites):
        yield Hit(group)
