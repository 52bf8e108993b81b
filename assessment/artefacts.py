"""Where training writes its model, and where what it wrote is put to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_engineer.assessment.entrypoints import is_training_call
from ml_engineer.assessment.module import Call
from ml_engineer.assessment.wrappers import deciding_calls

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# Calls that write a model themselves. (`learning.SAVERS` also holds those that make some other call save.)
_WRITES = (
    "pickle.dump", "cPickle.dump", "dill.dump", "cloudpickle.dump", "joblib.dump", "sklearn.externals.joblib.dump",
    "skops.io.dump", "torch.save", "torch.jit.save", "torch.onnx.export", "*.save_model", "*.save_weights",
    "*.save_pretrained", "*keras.models.save_model", "tensorflow.saved_model.save", "*.log_model", "*Sequential().save",
    "*keras.Model().save", "*.models.Model().save", "?.save", "safetensors.*.save_file", "*Saver().save",
    "*keras.callbacks.ModelCheckpoint",
)  # fmt: skip


def model_writes(repo: Repo) -> list[Call]:
    """Calls below a training entry that write a model (of a wrapper: its callers), those of training scripts first."""
    found: list[Call] | None = repo.__dict__.get("_model_writes")
    if found is None:
        written = [call for call in repo.closure("train").calls(*_WRITES) if "test" not in call.module.file.roles]
        called_back = [call for call in written if call.name.endswith(".ModelCheckpoint")]  # is given no model
        found = [outer for call in written if call not in called_back for outer in deciding_calls(repo, call)]
        found += called_back
        found.sort(key=lambda call: (call.module.is_notebook, not any(map(is_training_call, call.module.calls))))
        repo.__dict__["_model_writes"] = found
    return found


def is_put_to_use(repo: Repo) -> bool:
    """Whether the repository serves a model or predicts with one: what a reference and a date are asked for."""
    from ml_engineer.assessment.torchmode import answers_of_scripts

    other = {entry.module for entry in repo.entries if entry.kind in ("train", "evaluate")}
    if any(entry.kind == "serve" or (entry.kind == "predict" and entry.module not in other) for entry in repo.entries):
        return True
    return any(call.module not in other for call in answers_of_scripts(repo))
