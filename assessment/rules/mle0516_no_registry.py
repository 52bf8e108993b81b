"""M5-16, second half: the service loads a bare file name, with no registry, tag, version or hash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_LOADERS = (
    "pickle.load", "dill.load", "cloudpickle.load", "joblib.load", "sklearn.externals.joblib.load", "torch.load",
    "torch.jit.load", "*keras.models.load_model", "tensorflow.saved_model.load", "onnxruntime.InferenceSession",
    "skops.io.load", "spacy.load", "fasttext.load_model", "lightgbm.Booster", "*.load_weights", "pandas.read_pickle",
    "xgboost.*().load_model", "catboost.*().load_model", "*.load_from_checkpoint", "ultralytics.YOLO",
    "surprise.dump.load", "statsmodels.*.load", "*prophet.serialize.model_from_json", "h2o.load_model",
)  # fmt: skip
_ARTEFACT = re.compile(
    r"\.(pkl|pickle|joblib|pt|pth|ckpt|onnx|h5|hdf5|keras|pb|tflite|sav|dill|bin|model|cbm|ubj|skops|safetensors|txt|json)$"
)
_MODEL = re.compile(r"(model|clf|net|classifier|regressor|predictor)\w*\s*=(?!=)", re.I)
_VERSIONED = re.compile(r"v\d|\d+\.\d+|20\d\d|[0-9a-f]{7,}|models:/|runs:/|@", re.I)
_REGISTRIES = (
    "mlflow.*.load_model", "mlflow.*.download_artifacts", "mlflow.MlflowClient*", "wandb.*use_artifact*", "dvc.api.*",
    "huggingface_hub.*", "bentoml.*", "clearml.*Model*", "comet_ml.*", "neptune.*", "sagemaker.*", "azureml.*",
)  # fmt: skip


@rule(
    id="MLE0516",
    part="registry",
    name="no-registry",
    step=5,
    severity=MEDIUM,
    title="The service loads a bare file name instead of a versioned model",
    why="Whatever lies at that path is served: nobody can say which model it is, or go back to the one before.",
    remedy="Load by registry alias or version (models:/name@production), or put the version and a hash into the path.",
    source="ML Test Score infra-7; MLflow Model Registry",
    applies=lambda repo: bool(repo.closure("serve")),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.wrappers import deciding_calls

    closure = repo.closure("serve")
    if next(closure.calls(*_REGISTRIES), None) is not None:
        return
    sites: list[Site] = []
    for call in closure.calls(*_LOADERS):
        name = _bare_name(repo, call)
        if name is None or "test" in call.module.file.roles:
            continue
        if not _is_tracked(repo, name):
            sites += [c.site(note=name) for c in deciding_calls(repo, call) if closure.covers(c.module, c.node)]
    if sites:
        sites.sort(key=lambda site: _MODEL.search(site.quote) is None)  # before scalers and vocabularies
        yield Hit(list(dict.fromkeys(sites)), anchor="registry")


def _bare_name(repo: Repo, call: Call) -> str | None:
    """The file name where it is a literal that says no version; None where it comes from outside or is unknown."""
    from ml_engineer.assessment.configured import configured
    from ml_engineer.assessment.dataflow import sources, texts
    from ml_engineer.assessment.taint import taint
    from ml_engineer.assessment.values import constant

    node = call.node.args[0] if call.node.args else None
    if node is None or taint(repo, call.module, node):
        return None
    kept = constant(repo, call.module, node)
    if not isinstance(kept, str):
        kept = configured(repo, call.module, node)
    parts = [kept] if isinstance(kept, str) else []
    parts += [text for step in sources(repo, call.module, node) for text in texts(step.node)]
    if any(_VERSIONED.search(part) or part.startswith("/opt/ml/") for part in parts):  # SageMaker puts it there
        return None
    return next((part for part in parts if _ARTEFACT.search(part)), None)


def _is_tracked(repo: Repo, name: str) -> bool:
    """Whether DVC keeps the file by hash."""
    base = name.rsplit("/", 1)[-1]
    if any(file.name == f"{base}.dvc" for file in repo.files.values()):
        return True
    return any(base in file.text for file in repo.glob("dvc.lock", "dvc.yaml"))
