"""M7-06: a number from the model is answered without a look at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_REGRESSORS = re.compile(
    r".*(Regress(or|ion)|Ridge|Lasso|ElasticNet|SVR|RANSAC\w*|LinearModel|ARIMA|Prophet)\(\)\.fit$"
)
_CLASSIFIERS = re.compile(r".*(Classifier|LogisticRegression\w*|SVC|NB|Perceptron|RidgeClassifier\w*)\(\)\.fit$")
_GUARD = re.compile(
    r"isnan|isfinite|isinf|nan_to_num|\bclip\b|\bclamp\b|\bmax\(|\bmin\(|Field\(.*\b[gl][et]=|between\("
)


def _answers_numbers(repo: Repo) -> bool:
    """Whether what the repository trains are regressors, and a web handler answers with one."""
    from ml_engineer.assessment.serving import web_handlers

    if not web_handlers(repo):
        return False
    names = {call.name for call in repo.closure("train").calls("*.fit")}
    regressors = any(_REGRESSORS.match(n) and not _CLASSIFIERS.match(n) for n in names)
    return regressors and not any(_CLASSIFIERS.match(n) for n in names)


@rule(
    id="MLE0706",
    name="output-guard",
    step=7,
    severity=LOW,
    title="Predicted numbers are answered without a check of their range",
    why="NaN, infinite or absurd values reach the caller, and nobody counts how often.",
    remedy="Check that the value is finite and in range before answering, and count what is not.",
    source="ML Test Score monitor-5",
    applies=_answers_numbers,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import web_handlers

    for handler in web_handlers(repo):
        modules = {function.module for function in handler.functions}
        if any(_GUARD.search(module.file.text) for module in modules):
            continue
        asked = handler.model_calls[0]
        patterns = ("isnan, isfinite, clip, min, max, a bounded response field",)
        yield Hit([repo.missing(asked.site(), patterns, modules)])
        return
