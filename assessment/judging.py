"""How models are judged: which rows a score is computed on, and which files a program reads its data from.

`training_scores` are scores that are computed on the very rows of the fit, where nothing else is judged. `read_paths`
are the literal paths behind an expression, defaults of command line options included.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.dataflow import root, same_value, sources
from ml_engineer.assessment.learning import fit_data, receiver, trainings
from ml_engineer.assessment.module import Call, Module
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

READERS = (
    "pandas.read_*", "numpy.load*", "numpy.genfromtxt", "polars.read_*", "dask.dataframe.read_*", "*.ImageFolder",
    "*.DatasetFolder", "*.flow_from_directory", "*.image_dataset_from_directory", "*.flow_from_dataframe", "open",
    "datasets.load_from_disk", "pyspark.sql.*.read.*", "*.read.csv", "*.read.parquet", "h5py.File", "scipy.io.loadmat",
    "pickle.load", "joblib.load", "*TabularDataset*", "*.loadtxt", "sqlite3.connect", "tensorflow.data.*",
)  # fmt: skip
_PREDICTS = ("predict", "predict_proba", "predict_classes", "decision_function")
_EXTENSION = r"\.(csv|tsv|json|jsonl|txt|parquet|npy|npz|pkl|pickle|h5|hdf5|xlsx?|db|feather)"
_PATH = re.compile(rf"[^\s{{}}<>|*?\"]*([/\\]|{_EXTENSION})[^\s{{}}<>|*?\"]*", re.I)


@dataclass(frozen=True, slots=True)
class TrainingScore:
    """A score on the rows that a model was fitted on."""

    fit: Call
    score: Call


def training_scores(repo: Repo, module: Module) -> list[TrainingScore]:
    """Scores on the rows of the fit, in a module where no model is judged on any other rows. Kept for the review."""
    found: list[TrainingScore] | None = module.__dict__.get("_training_scores")
    if found is None:
        found = _training_scores(repo, module)
        module.__dict__["_training_scores"] = found
    return found


def _training_scores(repo: Repo, module: Module) -> list[TrainingScore]:
    fits = [
        c for c in trainings(repo) if c.module is module and fit_data(c)[0] is not None and fit_data(c)[1] is not None
    ]
    found = []
    for call, judged in _judgements(module):
        fit = next((f for f in fits if _same_rows(module, f, judged)), None)
        if fit is None:
            return []  # something is judged on other rows: the score on the training rows only stands beside it
        found.append(TrainingScore(fit, call))
    return found


def _judgements(module: Module) -> Iterator[tuple[Call, ast.expr]]:
    """Calls that score, and the rows they score on: `m.score(X, y)`, `metric(y, m.predict(X))`."""
    for call in module.calls:
        attribute = call.name.rpartition(".")[2]
        if attribute in ("score", "evaluate") and receiver(call) is not None and call.node.args:
            yield call, call.node.args[0]
        elif matches(call.name, "sklearn.metrics.*"):
            for argument in call.node.args[:2]:
                predicted = module.value(argument)
                if isinstance(predicted, ast.Call) and predicted.args:
                    if module.resolve(predicted.func).rpartition(".")[2] in _PREDICTS:
                        yield call, predicted.args[0]


def _same_rows(module: Module, fit: Call, judged: ast.expr) -> bool:
    data = fit_data(fit)[0]
    return data is not None and module.scope_of(judged) is fit.scope and same_value(module, data, judged)


def read_paths(repo: Repo, module: Module, node: ast.expr | None) -> set[str]:
    """Literal paths that go into an expression, defaults of command line options included."""
    found = set()
    for step in sources(repo, module, node):
        if isinstance(step.node, ast.Constant) and isinstance(step.node.value, str):
            if _PATH.fullmatch(step.node.value) and len(step.node.value) < 300:
                found.add(step.node.value)
        elif isinstance(step.node, ast.Attribute):
            found.update(_option_default(repo, step.module, step.node))
    return found


def _option_default(repo: Repo, module: Module, node: ast.Attribute) -> Iterator[str]:
    """The default of the option that `args.name` reads."""
    start = root(node)
    if start is None:
        return
    for step in sources(repo, module, start):
        if step.name == "argparse.ArgumentParser().parse_args":
            for call in step.module.calls:
                if call.name == "argparse.ArgumentParser().add_argument" and _destination(call) == node.attr:
                    value = step.module.literal(call.keyword("default"))
                    if isinstance(value, str) and _PATH.fullmatch(value):
                        yield value


def _destination(call: Call) -> str:
    named = call.module.literal(call.keyword("dest"))
    if isinstance(named, str):
        return named
    flags = [a.value for a in call.node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    long = next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else "")
    return long.lstrip("-").replace("-", "_")
