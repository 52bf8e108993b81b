"""M1-02: something is fitted on the rows that should judge it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_FITS = ("*.fit", "*.fit_transform", "*.fit_on_texts", "*.partial_fit", "*.fit_generator")
# Fitted on the test rows to look at them, or by design.
_VIEWS = re.compile(r".*(TSNE|UMAP|MDS|Isomap|Explainer|Calibrat\w+|KMeans|DBSCAN|NearestNeighbors|pyplot|seaborn)\b")
_TRANSFORMERS = re.compile(r".*(Scaler|Encoder|Imputer|PCA|Vectorizer|Transformer|Tokenizer|Binarizer|Select\w+)\(\)")


@rule(
    id="MLE0102",
    name="leak-fit-on-test",
    step=1,
    severity=HIGH,
    title="Fitted on the test rows",
    why="What is fitted on the test rows knows their distribution, and is not what production will apply.",
    remedy="Fit on the training rows and call only transform (or predict) on the test rows.",
    source="Yang et al., data leakage in notebooks (ASE 2022)",
    applies=lambda repo: any(True for _ in repo.calls("*.fit", "*.fit_transform", tests=False)),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.published import is_for_callers
    from ml_engineer.assessment.splits import half, half_by_name

    found: dict[tuple[str, str], list[Call]] = {}
    for call in repo.calls(*_FITS, tests=False):
        data = call.argument(0, "X") or call.keyword("x")
        if data is None or _VIEWS.match(call.name) or isinstance(data, ast.Constant):
            continue
        if is_for_callers(repo, call.scope):
            continue
        role = half_by_name(data)
        if role not in ("test", "valid") and not isinstance(data, ast.Name | ast.Attribute | ast.Subscript):
            continue
        if half(repo, call.module, data) != "test" and not (role == "test" and _transforms(call)):
            continue
        if role == "train":
            continue
        if _transforms(call) or _scored_later(call, data):
            found.setdefault((call.module.path, call.name.rpartition(".")[0]), []).append(call)
    for calls in found.values():
        what = calls[0].name.rpartition(".")[0].removesuffix("()").rpartition(".")[2] or "model"
        title = f"{what} is fitted on the test rows" if what.isidentifier() else None
        yield Hit([call.site() for call in calls], title=title)


def _transforms(call: Call) -> bool:
    return call.name.endswith((".fit_transform", ".fit_on_texts")) or bool(_TRANSFORMERS.match(call.name))


def _scored_later(call: Call, data: ast.expr) -> bool:
    """A model refitted on everything after the last judgement is no leak: look for a later judgement on these rows."""
    from ml_engineer.assessment.dataflow import same_value
    from ml_engineer.assessment.learning import receiver

    model = receiver(call)
    for other in call.module.calls:
        if other.scope is not call.scope or other.node.lineno <= call.node.lineno:
            continue
        attribute = other.name.rpartition(".")[2]
        given = other.argument(0, "X") or other.keyword("x")
        owner = receiver(other)
        if attribute in ("score", "predict", "predict_proba", "evaluate") and given is not None and owner is not None:
            if same_value(call.module, given, data) and model is not None and ast.dump(owner) == ast.dump(model):
                return True
    return False
