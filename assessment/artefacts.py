"""Where training writes its model, and where what it wrote is put to use."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from ml_engineer.assessment.entrypoints import is_training_call
from ml_engineer.assessment.learning import entry_closure, saves_of_fitted, train_entries
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
    "*keras.callbacks.ModelCheckpoint", "*lightning*.ModelCheckpoint", "*lightning.*Trainer().fit",
    "*instantiate().fit", "*from_dict().fit", "surprise.dump.dump", "*prophet.serialize.model_to_json",
    "statsmodels.*().save",
    "implicit.*().save", "darts.*().save",
)  # fmt: skip

# Calls that write any object at all: what it is called says whether it is a model.
_DUMPS = frozenset({"pickle.dump", "cPickle.dump", "dill.dump", "cloudpickle.dump", "joblib.dump"})
_NO_MODEL = re.compile(
    r"(^|_)(index|indices|idx|ids?|data|df|frame|table|rows|columns?|cols|feature_?names?|results?|scores?|metrics?|"
    r"history|preds?|predictions?|oof|params|config|stats|mapping|vocab\w*|cache|splits?|folds?|labels?|targets?|"
    r"[xy]_?(train|test|val)|train|test|similarity|movies|names)s?$",
    re.I,
)


def dumps_data(call: Call) -> bool:
    """Whether a call that writes any object is given one that its name calls data: an index, a table, figures."""
    if call.name not in _DUMPS or not call.node.args:
        return False
    given = call.node.args[0]
    name = given.id if isinstance(given, ast.Name) else given.attr if isinstance(given, ast.Attribute) else ""
    return bool(_NO_MODEL.search(name))


def model_writes(repo: Repo) -> list[Call]:
    """Calls below a training entry that write a model (of a wrapper: its callers), those of training scripts first."""
    found: list[Call] | None = repo.__dict__.get("_model_writes")
    if found is None:
        # A training that a service starts on request is an entry of its own.
        own = [entry for entry in train_entries(repo) if entry.unit is not None]
        written: list[Call] = []
        for closure in (repo.closure("train"), *(entry_closure(repo, entry) for entry in own)):
            found = [c for c in closure.calls(*_WRITES) if "test" not in c.module.file.roles and not dumps_data(c)]
            found += [c for c in saves_of_fitted(repo) if closure.covers(c.module, c.node)]
            written += [call for call in found if call not in written]
        called_back = [call for call in written if call.name.endswith((".ModelCheckpoint", ".fit"))]  # is given no path
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
