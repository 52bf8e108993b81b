"""What happens in training: where models are fitted, judged and saved, and what kind of learning it is.

`trainings(repo)` are the calls that fit a model outside tests. Names of estimators, metrics, savers and trackers that
many rules need stand here once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ml_engineer.assessment.callgraph import Closure, closure_of
from ml_engineer.assessment.entrypoints import Entry, is_training_call
from ml_engineer.assessment.module import Call, Module
from ml_engineer.assessment.once import once
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

SAVERS = (
    "pickle.dump", "pickle.dumps", "cPickle.dump", "dill.dump", "cloudpickle.dump", "joblib.dump", "skops.io.dump",
    "sklearn.externals.joblib.dump", "torch.save", "torch.jit.save", "torch.onnx.export", "*.save_model",
    "*.save_weights", "*.save_pretrained", "*.save_checkpoint", "*.save_state", "*.log_model", "*.save_file",
    "*.to_onnx", "*.save_state_dict", "tensorflow.saved_model.save", "*keras.models.save_model",
    "mlflow.*.save_model", "*.ModelCheckpoint", "*.model.save", "*Model().save", "*Sequential().save",
    "*Trainer().train", "*.save_learner", "*.export_model", "*.export", "mlflow.*.autolog", "mlflow.autolog",
    "*.write().overwrite().save", "*.write().save", "*Saver().save", "*.push_to_hub", "*.convert_sklearn",
    "tensorflow.train.Checkpoint().save", "*CheckpointManager().save", "*.dump_model", "*.joblib_dump",
    "safetensors.*.save_file", "orbax.*", "*lightning.*Trainer().fit",
    "*instantiate().fit", "*from_dict().fit", "*rainer().fit",
    "bentoml.*.save", "*.to_disk", "*.store_artifact", "*.log_artifact", "*.log_artifacts",
    "*.register_model", "*.SaveModel", "surprise.dump.dump", "*prophet.serialize.model_to_json", "statsmodels.*().save",
    "implicit.*().save", "darts.*().save", "h2o.save_model", "h2o.download_model",
)  # fmt: skip
LOADERS = (
    "pickle.load", "joblib.load", "sklearn.externals.joblib.load", "dill.load", "cloudpickle.load", "torch.load",
    "torch.jit.load", "*load_model", "*.load_weights", "*.load_state_dict", "*.load_checkpoint", "mlflow.*.load_model",
    "onnxruntime.InferenceSession", "*.load_from_checkpoint", "tensorflow.saved_model.load", "skops.io.load",
    "surprise.dump.load", "*prophet.serialize.model_from_json", "statsmodels.*.load*", "implicit.*.load",
)  # fmt: skip
BOOSTER_SETS = ("lightgbm.Dataset", "xgboost.DMatrix", "xgboost.QuantileDMatrix", "catboost.Pool")
_BOOSTER_TRAINS = ("lightgbm.train", "lightgbm.cv", "xgboost.train", "xgboost.cv")
_BOOSTER_DATA = ("train_set", "dtrain")
TRACKERS = (
    "mlflow", "wandb", "dvclive", "aim", "tensorboard", "tensorboardX", "comet_ml", "clearml", "neptune", "sacred",
    "trains", "polyaxon", "determined", "guild", "swanlab", "trackio", "sagemaker", "azureml", "vertexai",
    "visdom", "tensorboard_logger", "kfp", "metaflow", "zenml", "cml", "cdsw", "hopsworks", "bentoml",
)  # fmt: skip
_RL = re.compile(
    r"^(gym|gymnasium|stable_baselines\w*|pettingzoo|tf_agents|tianshou|rllib|ale_py|pybullet_envs|procgen)$"
)
_UNSUPERVISED = re.compile(
    r"sklearn\.(cluster|mixture|manifold|decomposition|covariance|neighbors\.(KernelDensity|NearestNeighbors|"
    r"LocalOutlierFactor))|.*\.(KMeans|DBSCAN|IsolationForest|OneClassSVM|Word2Vec|Doc2Vec|FastText|LdaModel|NMF|UMAP|"
    r"TSNE|AutoEncoder|NearestNeighbors|KernelDensity|AgglomerativeClustering|GaussianMixture|Apriori|BERTopic)\(",
    re.I,
)
_NO_METRIC = re.compile(r"pairwise|similarity|distances|make_scorer|get_scorer")
_GENERATIVE = re.compile(r"\b(gan|dcgan|cyclegan|discriminator|generator_loss|netG|netD|vae|ddpm|diffusion)\b", re.I)


def trainings(repo: Repo) -> list[Call]:
    """Calls that train a model, outside tests, by path and place. Computed once for a repository."""
    found: list[Call] | None = repo.__dict__.get("_trainings")
    if found is None:
        modules = (m for m in repo.modules if "test" not in m.file.roles)
        found = [
            c
            for m in modules
            for c in m.calls
            if is_training_call(c) and not is_unsupervised(c) and not _is_own_fit(repo, c)
        ]
        repo.__dict__["_trainings"] = found
    return found


@once
def saves_of_fitted(repo: Repo) -> list[Call]:
    """Calls of `.save` on what is fitted in the same module: a model that a function of the repository has built."""
    found = []
    fits: dict[Module, set[tuple[str, str]]] = {}
    for call in trainings(repo):
        if isinstance(call.node.func, ast.Attribute):
            fits.setdefault(call.module, set()).add(_owner(call))
    for module, owners in fits.items():
        for call in module.calls if b".save(" in module.file.data else ():
            method = isinstance(call.node.func, ast.Attribute)  # and no function that was imported as `save`
            if call.name.endswith(".save") and method and call.node.args and _owner(call) in owners:
                found.append(call)
    return found


def _owner(call: Call) -> tuple[str, str]:
    """What a method is called on: its resolved name, with its own text where that says nothing."""
    assert isinstance(call.node.func, ast.Attribute), "a method is called on something"
    name = call.name.rpartition(".")[0]
    return name, ast.unparse(call.node.func.value) if name.startswith("?") else ""


def train_entries(repo: Repo) -> list[Entry]:
    """Training entry points, each with its first supervised fit as the site. Clustering alone is no training here."""
    found: list[Entry] | None = repo.__dict__.get("_train_entries")
    if found is None:
        found = []
        supervised = trainings(repo)
        reached: set[ast.Call] = set()
        for entry in repo.entries:
            closure = entry_closure(repo, entry) if entry.kind == "train" else None
            fits = [c for c in supervised if closure is not None and closure.covers(c.module, c.node)]
            fits.sort(key=lambda c: (c.module is not entry.module, c.module.path, c.node.lineno))
            reached.update(call.node for call in fits)
            if fits:
                found.append(replace(entry, site=fits[0].site()))
        # A training that a service starts on request has no entry of its own.
        for call in supervised:
            if call.node not in reached:
                found.append(Entry("train", call.module, call.scope, call.site()))
        repo.__dict__["_train_entries"] = found
    return found


def entry_closure(repo: Repo, entry: Entry) -> Closure:
    """What is reached from one entry point. Computed once for each."""
    cache: dict[tuple[Module, object], Closure] = repo.kept("entry_closures")
    key = (entry.module, entry.unit)
    if key not in cache:
        cache[key] = closure_of(repo, [entry])
    return cache[key]


def _is_own_fit(repo: Repo, call: Call) -> bool:
    """Whether a class calls its own `fit`: what that does is judged where it does it."""
    owner = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
    return isinstance(owner, ast.Name) and owner.id == "self" and call.name in repo.functions


def is_unsupervised(call: Call) -> bool:
    """Whether a fit has no target to be judged by."""
    return bool(_UNSUPERVISED.match(call.name))


def is_reinforcement(repo: Repo, modules: Iterable[Module]) -> bool:
    """Whether an agent learns from an environment."""
    return any(_RL.match(item.top) for module in modules for item in module.imports)


def is_generative(closure: Closure) -> bool:
    """Whether adversarial, variational or diffusion training shows in names of the closure."""
    for module in closure.modules:
        names = [*module.functions, *module.classes, module.path.replace("/", " ").replace("_", " ")]
        if any(_GENERATIVE.search(name.replace("_", " ")) or name.startswith(("netG", "netD")) for name in names):
            return True
        if any(module.bindings_of(name, None) for name in ("netG", "netD", "discriminator")):
            return True
    return False


def metric_calls(calls: Iterable[Call]) -> Iterator[Call]:
    """Calls that compute a metric of quality."""
    for call in calls:
        measures = matches(
            call.name,
            "sklearn.metrics.*",
            "torchmetrics.*",
            "*.evaluate",
            "*.score",
            "evaluate.load*",
            "surprise.accuracy.*",
            "surprise.model_selection.cross_validate",
        )
        if measures and not _NO_METRIC.search(call.name):
            yield call


def fit_data(call: Call) -> tuple[ast.expr | None, ast.expr | None]:
    """The features and the target that a fit is given, also where both stand in a data set of a booster."""
    if matches(call.name, *_BOOSTER_TRAINS):
        given = next((call.keyword(name) for name in _BOOSTER_DATA if call.keyword(name)), None)
        given = given or (call.node.args[1] if len(call.node.args) > 1 else None)
    else:
        given = call.argument(0, "X") or call.keyword("x")
    packed = packed_rows(call.module, given)
    return packed if packed is not None else (given, call.argument(1, "y"))


def packed_rows(module: Module, node: ast.expr | None) -> tuple[ast.expr | None, ast.expr | None] | None:
    """The features and the target in `lgb.Dataset(X, y)`, `xgb.DMatrix(X, label=y)` or `catboost.Pool(X, y)`."""
    made = module.value(node) if node is not None else None
    if not isinstance(made, ast.Call) or not matches(module.resolve(made.func), *BOOSTER_SETS):
        return None
    call = module.call_of(made)
    return call.argument(0, "data"), call.argument(1, "label")


def receiver(call: Call) -> ast.expr | None:
    """What a method is called on."""
    return call.node.func.value if isinstance(call.node.func, ast.Attribute) else None


def keyword_names(call: Call) -> set[str]:
    return {k.arg for k in call.node.keywords if k.arg}


def words(module: Module) -> frozenset[str]:
    """Every identifier in a module: names, attributes, arguments, keywords."""
    found: frozenset[str] | None = module.__dict__.get("_words")
    if found is None:
        names: set[str] = set()
        for node in module.nodes(
            ast.Name, ast.Attribute, ast.arg, ast.keyword, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
        ):
            match node:
                case ast.Name():
                    names.add(node.id)
                case ast.Attribute():
                    names.add(node.attr)
                case ast.arg():
                    names.add(node.arg)
                case ast.keyword() if node.arg:
                    names.add(node.arg)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    names.add(node.name)
        found = frozenset(names)
        module.__dict__["_words"] = found
    return found


def judged_at(repo: Repo) -> Call | None:
    """The first call that scores a trained, supervised model on rows; None where nothing of the kind is done."""
    if not train_entries(repo) or is_reinforcement(repo, repo.modules):
        return None
    reached = [entry_closure(repo, entry) for entry in train_entries(repo)]
    modules = [m for m in repo.modules if "test" not in m.file.roles]
    calls = list(metric_calls(call for module in modules for call in module.calls))
    inside = (call for call in calls if any(c.covers(call.module, call.node) for c in reached))
    return next(inside, None) or next(iter(calls), None)
