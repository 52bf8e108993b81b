"""M10-12: a saved model that does not say what it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

SAVERS = (
    "pickle.dump", "cPickle.dump", "dill.dump", "cloudpickle.dump", "joblib.dump", "sklearn.externals.joblib.dump",
    "torch.save", "*.save_model", "*.save_weights", "*.save_pretrained", "*keras*.save", "skops.io.dump",
    "tensorflow.saved_model.save", "torch.jit.save", "*.to_onnx", "torch.onnx.export",
)  # fmt: skip
_TRACKERS = ("mlflow", "wandb", "neptune", "comet_ml", "clearml", "aim", "dvclive", "sagemaker", "azureml", "kfp",
             "vertexai", "zenml", "metaflow", "bentoml", "dagshub", "guild", "sacred", "polyaxon")  # fmt: skip
_LINEAGE = re.compile(
    r"rev-parse|git\.Repo\(|GIT_COMMIT|GIT_SHA|GITHUB_SHA|CI_COMMIT_SHA|commit_(hash|id|sha)|git_(hash|sha|commit|rev)|"
    r"data_(hash|version|sha\w*|md5)|dataset_(hash|version|sha\w*)",
    re.I,
)


def _saves(repo: Repo) -> list[Call]:
    from ml_engineer.assessment.learning import saves_of_fitted

    closure = repo.closure("train")
    found = [call for call in closure.calls(*SAVERS) if "test" not in call.module.file.roles]
    return found + [c for c in saves_of_fitted(repo) if closure.covers(c.module, c.node) and c not in found]


@rule(
    id="MLE1012",
    name="no-lineage",
    step=10,
    severity=LOW,
    title="The saved model does not say what it was made from",
    why="A model in production cannot be traced to the code, data and parameters that made it.",
    remedy="Save the commit, a hash of the data and the parameters beside the model, or log them with MLflow.",
    source="ML Test Score Infra-1",
    applies=lambda repo: bool(_saves(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    closure = repo.closure("train")
    if closure.imports(*_TRACKERS) or repo.glob("dvc.lock", "MLproject"):
        return
    if any(_LINEAGE.search(line) for module in closure.modules for line in module.source.lines):
        return
    saves = _saves(repo)
    patterns = ("git commit in the code", "hash of the data", *_TRACKERS[:5], "dvc.lock")
    yield Hit([repo.missing(_need(repo, saves), patterns, closure.modules)], anchor="lineage")


def _need(repo: Repo, saves: list[Call]) -> Site:
    """Where a training script saves, or, where only a helper does, the training that the helper saves for."""
    entries = sorted(repo.closure("train").entries, key=lambda e: (e.module.is_notebook, e.module.path))
    modules = {entry.module for entry in entries}
    own = next((call for call in saves if call.module in modules and not call.module.is_notebook), None)
    if own is not None:
        return own.site()
    return entries[0].site if entries and not entries[0].module.is_notebook else saves[0].site()
