"""M1-18: a metric of ranking or probability is given hard labels."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_METRICS = {
    "sklearn.metrics.roc_auc_score": "ROC AUC",
    "sklearn.metrics.log_loss": "log loss",
    "sklearn.metrics.average_precision_score": "average precision",
    "sklearn.metrics.roc_curve": "ROC curve",
    "sklearn.metrics.precision_recall_curve": "precision-recall curve",
    "sklearn.metrics.brier_score_loss": "Brier score",
}
# Spark's classifiers write the label to `prediction`, what ranks the rows to `rawPrediction` and `probability`.
_SPARK = "pyspark.ml.evaluation.BinaryClassificationEvaluator"
# Their predict gives a score, not a label.
_SCORES = re.compile(
    r"lightgbm\.(train|Booster)|xgboost\.(train|Booster)|.*(keras|tensorflow|torch)|.*Regress(or|ion)?\(\)|.*(Ridge|Lasso|"
    r"ElasticNet|SVR)\w*\(\)|.*(Sequential|Model|load_model)\(\)|catboost\.CatBoost\(\)|fasttext|surprise"
)


@rule(
    id="MLE0118",
    name="score-on-labels",
    step=1,
    severity=MEDIUM,
    title="A metric of probabilities is computed on hard labels",
    why="With labels instead of probabilities the curve has one point: the figure is not the area it is called.",
    remedy="Pass predict_proba(X)[:, 1] or decision_function(X).",
    source="scikit-learn documentation of roc_auc_score and log_loss",
    applies=lambda repo: any(True for _ in repo.calls(*_METRICS, _SPARK, tests=False)),
)
def check(repo: Repo) -> Iterator[Hit]:
    found: dict[str, list[tuple[str, Site]]] = {}
    for call in repo.calls(_SPARK, tests=False):
        column = call.keyword("rawPredictionCol")
        if call.module.literal(column) == "prediction":
            found.setdefault(call.module.path, []).append((_area(call), call.module.site(column or call.node)))
    for call in repo.calls(*_METRICS, tests=False):
        given = call.argument(1, "y_score") or call.keyword("y_pred") or call.keyword("y_prob")
        if given is not None and _is_hard(call.module, given):
            found.setdefault(call.module.path, []).append((_METRICS[call.name], call.site()))
    for hits in found.values():
        names = " and ".join(sorted({name for name, _ in hits}))
        yield Hit([site for _, site in hits], title=f"{names} is computed on hard labels")


def _area(call: Call) -> str:
    return "PR AUC" if call.module.literal(call.keyword("metricName")) == "areaUnderPR" else "ROC AUC"


def _is_hard(module: Module, node: ast.expr) -> bool:
    """Whether a value is certainly a label: what predict of a classifier gives, an argmax, a threshold."""
    node = module.value(node) or node
    if not isinstance(node, ast.Call):
        return False
    call = module.call_of(node)
    attribute = call.name.rpartition(".")[2]
    if call.name in ("numpy.argmax", "numpy.round", "numpy.where") or attribute in ("argmax", "round"):
        return True
    if attribute == "astype" and isinstance(node.func, ast.Attribute):
        return isinstance(node.func.value, ast.Compare)
    return attribute == "predict" and _classifies(call) and not _asks_a_booster(call)


def _asks_a_booster(call: Call) -> bool:
    """Whether the rows are a DMatrix: only a Booster takes one, and it answers with probabilities."""
    rows = call.node.args[0] if call.node.args else None
    made = call.module.value(rows) or rows
    return isinstance(made, ast.Call) and call.module.resolve(made.func).endswith("DMatrix")


def _classifies(call: Call) -> bool:
    owner = call.name.removesuffix(".predict")
    if owner.endswith("LogisticRegression()"):
        return True
    if _SCORES.match(owner):
        return False
    if "?" in owner or "." not in owner:  # unknown receiver: only where nothing but scikit-learn is about
        others = {"keras", "tensorflow", "torch", "lightgbm", "xgboost"}
        return not any(item.top in others for item in call.module.imports)
    return True
