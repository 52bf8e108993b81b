"""M1-11: nobody has written down what the model is for and how good it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_CARD = re.compile(r"model[-_ ]?card|modelcard", re.I)
_FIELDS = {
    "training data": re.compile(r"\b(trained on|training data|data ?set|data source|corpus|data:)|数据集|训练集", re.I),
    "metrics": re.compile(  # a figure beside its name, or below it in a table
        r"\b(accuracy|f1|auc|rmse|mae|mse|r2|precision|recall|bleu|perplexity|mape|error|loss|acc|top-?1|(?-i:mAP)|m?iou|"
        r"psnr|fid|wer)\b"
        r"([^\n]{0,60}\d|[^\n]*\|[^\n]*\n[^\n]*-[^\n]*\n[^\n]*\d)|准确率[^\n]{0,60}\d",
        re.I,
    ),
    "intended use": re.compile(
        r"intended use|use cases?|intended for|purpose of (the|this) model|not (be )?used for", re.I
    ),
    "limits": re.compile(
        r"^[#*>\-\s\d.]*(known |model )*(limitations?|limits|caveats?|issues|bias(es)?)\b(?! *[=(])|out of scope|"
        r"known issue|\b(limitations?|caveats?) *:|"
        r"\b(model|network|it)\b[^.\n]{0,60}\b(is biased|limited to|does not work|fails? (on|for|in)|limitations?)\b",
        re.I | re.M,
    ),
    "licence": re.compile(r"\blicen[cs]ed?\b", re.I),
}
ENOUGH = 3


def _applies(repo: Repo) -> bool:
    return _saved(repo) is not None


@rule(
    id="MLE0111",
    name="no-model-card",
    step=1,
    severity=MEDIUM,
    title="No model card",
    why="Who takes over the model cannot tell what data it saw, how good it is, or what it must not be used for.",
    remedy="Write MODEL_CARD.md (or a README section): data, metrics, intended use, limits, licence.",
    source="Mitchell et al., model cards (2019)",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    saved = _saved(repo)
    files = [f for f in repo.glob("*.md", "*.rst", "README*", "*.mdx") if f.size < 500_000]
    if saved is None or any(_CARD.search(f.name) for f in files):
        return
    if any(_CARD.search(m.file.text) for m in repo.modules if b"ard" in m.file.data and "test" not in m.file.roles):
        return  # a program writes it
    told = re.compile(r"readme|model", re.I)
    texts = [f.text for f in files if told.match(f.name) or f.path.lower().startswith("docs/")]
    present = {name for name, pattern in _FIELDS.items() if any(pattern.search(text) for text in texts)}
    if repo.glob("LICENSE*", "LICENCE*", "COPYING*"):
        present.add("licence")
    if len(present) < ENOUGH:
        lacking = [name for name in _FIELDS if name not in present]
        searched = [f.path for f in files if f.name.lower().startswith("readme")] or ["README", "MODEL_CARD.md"]
        yield Hit(
            [repo.missing(saved.site(), ("MODEL_CARD*", *lacking), searched)],
            title=f"No model card: nothing on {', '.join(lacking)}",
        )


def _saved(repo: Repo) -> Call | None:
    """Where a model is saved by training, or at least saved or loaded."""
    from ml_engineer.assessment.artefacts import dumps_data
    from ml_engineer.assessment.dataflow import callers
    from ml_engineer.assessment.learning import LOADERS, SAVERS, saves_of_fitted, trainings
    from ml_engineer.assessment.published import is_for_callers

    savers = tuple(name for name in SAVERS if "dumps" not in name and name not in ("*.export", "*Trainer().train"))
    saved = [call for call in repo.calls(*savers, tests=False) if not dumps_data(call)] + saves_of_fitted(repo)
    if not _shipped(repo):  # a method of a library's own models, which are saved by whoever uses it
        saved = [call for call in saved if not is_for_callers(repo, call.scope)]
    if saved:
        fitted = {call.module for call in trainings(repo)}
        reached = repo.closure("train")

        def rank(call: Call) -> tuple[bool, bool, bool]:
            """A script that trains before a notebook, what training reaches before the rest."""
            return call.module not in fitted, not reached.covers(call.module, call.node), call.module.is_notebook

        first = min(saved, key=rank)
        helped = [c for c in callers(repo, first.scope) if c.module in fitted] if first.scope is not None else []
        if first.module not in fitted and helped:
            first = helped[-1]  # a training program saves through this helper
        return first if fitted or _shipped(repo) else None
    return next(repo.calls(*LOADERS, tests=False), None) if _shipped(repo) else None


def _shipped(repo: Repo) -> bool:
    return bool(
        repo.glob(
            *("*.pt", "*.pth", "*.joblib", "*.onnx", "*.h5", "*.hdf5", "*.keras", "*.safetensors", "*.sav", "*.tflite"),
            *("*.ubj", "*.cbm", "*model*.pkl", "*model*.pickle"),
        )
    )
