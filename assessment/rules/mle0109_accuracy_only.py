"""M1-09: accuracy is the only figure for classes of very different size."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

_RARE = re.compile(
    r"fraud|churn|anomal|intrusion|attrition|bankrupt|imbalanc|unbalanc|rare_?event|smote|predictive.?maintenance", re.I
)
_CUES = {"class_weight", "scale_pos_weight", "pos_weight", "is_unbalance", "sample_weight"}
_OTHER = re.compile(
    r"(^|_)(f1|fbeta|auc|roc|precision|recall|auprc|mcc|kappa|confusion|sensitivity)(_|$)|AUROC|F1Score", re.I
)


@rule(
    id="MLE0109",
    name="accuracy-only",
    step=1,
    severity=MEDIUM,
    title="Accuracy is the only metric, and the classes differ in size",
    why="Where one class is rare, a model that never finds it still has a high accuracy.",
    remedy="Report precision and recall of the rare class, or the area under the precision-recall curve.",
    source="Zhang et al., code smells for ML (2022)",
    applies=lambda repo: bool(_accuracies(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.learning import words

    sites = _accuracies(repo)
    modules = [m for m in repo.modules if "test" not in m.file.roles]
    if any(_OTHER.search(word) for module in modules for word in words(module)):
        return
    if any(_cue(module) for module in modules):
        yield Hit(sites)


def _accuracies(repo: Repo) -> list[Site]:
    """Where accuracy is computed: accuracy_score, or a metric of a Keras model."""
    sites = [
        call.site() for call in repo.calls("sklearn.metrics.accuracy_score", "*torchmetrics*Accuracy", tests=False)
    ]
    for call in repo.calls("*.compile", tests=False):
        metrics = call.module.literal(call.keyword("metrics"))
        if isinstance(metrics, list) and metrics and all(m in ("accuracy", "acc") for m in metrics):
            sites.append(call.site())
    return sites


def _cue(module: Module) -> bool:
    """Whether something says that a class is rare: a weight, a resampler, a name."""
    from ml_engineer.assessment.learning import words

    if words(module) & _CUES or any(item.top == "imblearn" for item in module.imports):
        return True
    if _RARE.search(module.path) or any(_RARE.search(word) for word in words(module)):
        return True
    return any(
        isinstance(node.value, str) and len(node.value) < 60 and _RARE.search(node.value)
        for node in module.nodes(ast.Constant)
    )
