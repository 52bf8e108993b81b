"""M2-04: a service that loads a fitted transformer and a model from two files and feeds one with the other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.dataflow import Step, sources
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule
from ml_engineer.assessment.values import is_model_call

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_FITTED = (
    "pickle.load", "pickle.loads", "cPickle.load", "dill.load", "cloudpickle.load", "joblib.load", "pandas.read_pickle",
    "sklearn.externals.joblib.load", "torch.load", "*keras.models.load_model", "skops.io.load", "mlflow.*.load_model",
)  # fmt: skip
_PREPARES = re.compile(r"\.(transform|texts_to_sequences|inverse_transform|get_feature_names_out)$")
_MADE_HERE = re.compile(r"(^|_)(fit|train|best|search)(_|$)")
_ANSWERS = re.compile(r"\.(predict|predict_proba|decision_function)$")


def _answers(repo: Repo) -> bool:
    return bool(repo.closure("serve", "predict"))


@rule(
    id="MLE0204",
    name="split-artefacts",
    step=2,
    severity=MEDIUM,
    title="Transformer and model are loaded from separate files",
    why="One can be replaced without the other: the scores are then wrong, and nothing fails.",
    remedy="Save one Pipeline (or an MLflow pyfunc) that holds the steps and the model, under one version.",
    source="observed",
    applies=_answers,
)
def check(repo: Repo) -> Iterator[Hit]:
    closure, served = repo.closure("serve", "predict"), repo.closure("serve").modules
    sites: list[Site] = []
    for module in sorted(closure.modules, key=lambda m: (m not in served, m.path)):
        if module.is_notebook or "test" in module.file.roles:
            continue
        for call in module.calls:
            asks = _ANSWERS.search(call.name) or (b"load_state_dict" in module.file.data and is_model_call(repo, call))
            if asks and call.node.args and closure.covers(module, call.node):
                sites += _companions(repo, call) or ()
    if sites:
        yield Hit(sites, anchor="artefacts")


def _companions(repo: Repo, call: Call) -> tuple[Site, Site] | None:
    """Where the transformer and the model of one prediction are loaded, if from two different loads."""
    model = _load(repo, call.module, call.node.func.value) if isinstance(call.node.func, ast.Attribute) else None
    model = model or _state(repo, call)
    if model is None:
        return None
    for step in sources(repo, call.module, call.node.args[0]):
        if (
            isinstance(step.node, ast.Call)
            and isinstance(step.node.func, ast.Attribute)
            and _PREPARES.search(step.name)
        ):
            companion = _load(repo, step.module, step.node.func.value)
            if companion is not None and companion[0].node is model[0].node:
                companion, model = companion[::-1], model[::-1]  # one helper gives both
            if companion is not None and companion[0].node is not model[0].node:
                return companion[0].module.site(companion[0].node), model[0].module.site(model[0].node)
    return None


def _state(repo: Repo, call: Call) -> tuple[Step, Step] | None:
    """The load of the weights of a network that is called: `net.load_state_dict(torch.load(path))`."""
    name = ast.unparse(call.node.func).removesuffix(".forward")
    for other in call.module.calls:
        if other.node.args and ast.unparse(other.node.func) == f"{name}.load_state_dict":
            return _load(repo, call.module, other.node.args[0])
    return None


def _load(repo: Repo, module: Module, node: ast.expr) -> tuple[Step, Step] | None:
    """The load that an object comes from, twice: the call of the wrapper where one is used, and the load itself."""
    wrapper: Step | None = None
    for step in sources(repo, module, node, lambda s: not matches(s.name, *_FITTED)):
        if not isinstance(step.node, ast.Call):
            continue
        if matches(step.name, *_FITTED):
            return (wrapper if wrapper is not None and step.inside else step), step
        if _MADE_HERE.search(step.name.rpartition(".")[2]):
            return None  # the object comes out of a training, and what is loaded are the rows
        if wrapper is None and step.name in repo.functions:
            wrapper = step
    return None
