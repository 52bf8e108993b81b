"""Where figures of quality go: to a tracker, to a file, or only to the screen."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.dataflow import returns
from ml_engineer.assessment.files import holds
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.learning import SAVERS, TRACKERS, entry_closure, metric_calls, train_entries
from ml_engineer.assessment.module import Call, Module
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.callgraph import Closure
    from ml_engineer.assessment.entrypoints import Entry
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rule import Site

# Trainers that log by default, and callbacks that write a log.
_LOGGING = (
    "transformers.*Trainer", "trl.*Trainer", "*lightning.Trainer", "*lightning.*.Trainer", "*CSVLogger",
    "*lightning.loggers.*", "*lightning.pytorch.loggers.*", "*TensorBoard*", "*SummaryWriter", "ultralytics.YOLO",
    "tensorflow.contrib.learn.*Estimator", "tensorflow.estimator.*",
    "logging.FileHandler", "*RotatingFileHandler", "dvc.api.*", "*.log_metric*", "*.log_evaluation", "sagemaker.*",
    "azureml.*", "google.cloud.aiplatform.*", "fastai.*Learner*", "autogluon.*",
)  # fmt: skip
_WRITERS = (
    "json.dump", "json.dumps", "yaml.dump", "yaml.safe_dump", "*.to_csv", "*.to_json", "*.to_parquet", "numpy.save*",
    "csv.writer", "csv.DictWriter", "*.writerow*", "*.write", "*.write_text", "*.writelines", "pickle.dump",
    "joblib.dump", "torch.save", "open", "*.open",
)  # fmt: skip
_DUMPS = ("json.dump", "json.dumps", "yaml.dump", "yaml.safe_dump")
_KEEPS = re.compile(r"regist|record|save|insert|store|track|persist|create|TrainingRun|ModelVersion|Experiment", re.I)
_METRIC_NAME = re.compile(
    r"(test_|val_|cv_)?(mae|mse|rmse|mape|r2(_score)?|accuracy|precision|recall|f1(_score)?|auc(_roc)?|roc_auc|metrics?|scores?)"
)
_NAMES_METRIC = re.compile(
    rf"(^|_)({_METRIC_NAME.pattern}|(train|val|test|eval|epoch|avg)\w*_loss|acc|m?iou|dice|psnr|ssim|wer|cer|fid)(_|$)",
    re.I,
)
_TRACKER_NAME = re.compile(
    r"torch\.utils\.tensorboard|tensorboardX|SummaryWriter|summary\.(FileWriter|create_file_writer)|"
    r"\b(wandb|mlflow|comet_ml|neptune|clearml)\b|"
    r"[\"' ](pytorch_)?lightning(\.pytorch)?(\.trainer){0,2}\.Trainer[\"'\n]"  # made by its name, it logs by default
)
_TRACKER_WORDS = (
    "tensorboard",
    "summary",
    "wandb",
    "mlflow",
    "comet_ml",
    "neptune",
    "clearml",
    "lightning",
)  # one in each
_ASIDE = re.compile(r"bench|profil|example|(^|/)docs?/|demo|check|sanity|debug|finder|try", re.I)
# What a model answered, in the form that a benchmark takes: figures are made of it elsewhere.
_ANSWERS = re.compile(r"submi|predict|detection|b?box|image_id|category_id|caption", re.I)
_OF_PLATFORMS = ("cml", "cdsw", "bentoml")  # which the service may use alone
_IN_PART = re.compile(r".*tensorboard|azure\.ai\b")  # trackers below names that hold other things
_RESULTS = re.compile(r"results?", re.I)
_FIGURE = re.compile(
    r"metric|score|history|\bhist\b|result|loss|\bacc\b|accuracy|eval|report|perf|rmse|\bmse\b|auc|f1|stats", re.I
)


def is_tracked(repo: Repo, modules: Iterable[Module]) -> bool:
    """Whether these modules hand figures to a tracker or write them to a file."""
    for module in modules:
        if any(item.target.split(".")[0] in TRACKERS or _IN_PART.match(item.target) for item in module.imports):
            return True
        for call in module.calls:
            if _trains_with_log(call) or (matches(call.name, *_WRITERS) and _writes_figures(call)):
                return True
            if _keeps_figures(call) or _dumps_figures(repo, call):
                return True
            if call.name == "logging.basicConfig" and call.keyword("filename") is not None:
                return True
    return False


def _trains_with_log(call: Call) -> bool:
    if not matches(call.name, *_LOGGING):
        return False
    if call.name.endswith("Trainer"):
        off = call.module.literal(call.keyword("logger"))
        return off is not False or call.keyword("logger") is None
    return True


def _keeps_figures(call: Call) -> bool:
    """`registry.register_version(…, rmse=…)`, `db.save(metrics=…)`: a store of one's own."""
    name = call.name.rpartition(".")[2]
    if not _KEEPS.search(name) or call.name == "torch.save":  # a checkpoint is no record of a run
        return False
    if any(k.arg and _METRIC_NAME.fullmatch(k.arg) for k in call.node.keywords):
        return True
    given = [item for a in call.node.args for item in (a.elts if isinstance(a, ast.List | ast.Tuple) else [a])]
    return any(_has_figures(call.module, item) for item in given)


def _writes_figures(call: Call) -> bool:
    """Whether a write has to do with figures, by what is written and where to. An open file must be open to write."""
    if call.name in ("open",) or call.name.endswith(".open"):
        mode = call.module.literal(call.argument(1 if call.name == "open" else 0, "mode"))
        if not (isinstance(mode, str) and set(mode) & set("wax")):
            return False
    written = ast.unparse(call.node)
    block = call.module.enclosing(call.node, ast.With)
    if isinstance(block, ast.With):
        written += " ".join(ast.unparse(item) for item in block.items)
    if call.name in ("pickle.dump", "joblib.dump", "torch.save"):
        return bool(re.search(r"metric|history|scores|results", written, re.I))
    if _FIGURE.search(_RESULTS.sub("", written) if _ANSWERS.search(written) or _holds_answers(call) else written):
        return True
    return any(_has_figures(call.module, node) for node in walk(call.node))


def _dumps_figures(repo: Repo, call: Call) -> bool:
    """Whether a function of the repository gave the figures that are dumped: `json.dump(describe(model), file)`."""
    given = call.module.value(call.node.args[0]) if call.node.args and matches(call.name, *_DUMPS) else None
    function = repo.functions.get(call.module.resolve(given.func)) if isinstance(given, ast.Call) else None
    return function is not None and any(_has_figures(function.module, node) for node in returns(function))


def _holds_answers(call: Call) -> bool:
    """Whether what is written is a list of answers, each with the number of its picture or row."""
    first = call.node.args[0] if call.node.args else None
    if not isinstance(first, ast.Name):
        return False
    keys = (key for d in call.module.nodes(ast.Dict) if isinstance(d, ast.Dict) for key in d.keys)
    return any(isinstance(key, ast.Constant) and key.value in ("image_id", "category_id", "image_name") for key in keys)


def _has_figures(module: Module, node: ast.AST) -> bool:
    """Whether a name stands for a dictionary, or a table, with figures of quality among its keys or columns."""
    value = module.value(node) if isinstance(node, ast.Name) else node if isinstance(node, ast.Dict) else None
    keys: list[ast.expr | None] = []
    if isinstance(value, ast.Call) and module.resolve(value.func) == "pandas.DataFrame":
        columns = next((k.value for k in value.keywords if k.arg == "columns"), None)
        keys = list(columns.elts) if isinstance(columns, ast.List) else []
        value = value.args[0] if value.args else None
        value = value.elts[0] if isinstance(value, ast.List) and value.elts else value  # one row
    if isinstance(value, ast.Dict):
        keys += value.keys
    elif isinstance(value, ast.Call) and value.args and isinstance(value.args[0], ast.List):  # OrderedDict([(key, …)])
        keys += [pair.elts[0] for pair in value.args[0].elts if isinstance(pair, ast.Tuple) and len(pair.elts) == 2]
    texts = [module.literal(key) for key in keys]
    return any(isinstance(text, str) and _NAMES_METRIC.search(re.sub(r"\W+", "_", text)) for text in texts)


def records_runs(repo: Repo) -> bool:
    """Whether training or evaluation anywhere in the repository records its figures. Computed once for a repository."""
    found: bool | None = repo.__dict__.get("_records_runs")
    if found is None:
        entries = train_entries(repo)
        modules = repo.closure("train", "evaluate").modules.union(*(entry_closure(repo, e).modules for e in entries))
        served = repo.closure("serve").modules
        if any(entry.module in served for entry in entries):  # the service starts the training, and may record it
            modules |= served
        found = _names_a_tracker(repo) or is_tracked(repo, modules)
        found = found or keeps_metrics_in_pipeline(repo)
        repo.__dict__["_records_runs"] = found
    return found


def unrecorded(repo: Repo) -> list[Entry]:
    """Training programs whose runs leave no trace. Of several, each is judged by what it reaches itself, as long as
    whatever keeps figures belongs to one of them: a helper that is made by its name may serve all."""
    entries = train_entries(repo)
    if not records_runs(repo):
        return entries
    if len({entry.module for entry in entries}) < 2 or keeps_metrics_in_pipeline(repo) or repo.dependencies.is_library:
        return []
    closures = {entry: entry_closure(repo, entry) for entry in entries}
    reached = {module for closure in closures.values() for module in closure.modules}
    judged = repo.closure("evaluate", "serve").modules - reached
    if any(closure.cut for closure in closures.values()) or is_tracked(repo, judged):
        return []
    if any(_names_one(module.file) for module in _scripts(repo) if module not in reached) or any(
        map(_names_one, _configurations(repo))
    ):
        return []
    return [
        entry
        for entry, closure in closures.items()
        if entry.unit is None
        and not entry.module.is_notebook
        and not _ASIDE.search(entry.module.path)
        and next(closure.calls(*SAVERS), None) is not None  # a training in earnest keeps its model
        and not is_tracked(repo, closure.modules)
        and not _by_name(closure)
        and not printed(closure)
    ]


def _by_name(closure: Closure) -> bool:
    return any(_names_one(module.file) for module in closure.modules)


def printed(closure: Closure) -> list[Site]:
    """Metrics that go into a print and nothing else."""
    return list(_printed(closure))


def _printed(closure: Closure) -> Iterator[Site]:
    for module in sorted(closure.modules, key=lambda m: m.path):
        for call in metric_calls(module.calls):
            if not closure.covers(module, call.node):
                continue
            statement = module.statement_of(call.node)
            names = {t.id for t in walk(statement) if isinstance(t, ast.Name) and isinstance(t.ctx, ast.Store)}
            if "print(" in ast.unparse(statement) or any(
                names & {n.id for n in walk(other.node) if isinstance(n, ast.Name)}
                for other in module.calls
                if other.name == "print"
            ):
                yield call.site()


def _names_a_tracker(repo: Repo) -> bool:
    """A tracker that is imported, also by its name in a string, or chosen in a configuration file."""
    if repo.uses(*(name for name in TRACKERS if name not in _OF_PLATFORMS)):
        return True
    if repo.uses("azure") and any(_IN_PART.match(i.target) for facts in repo.facts.values() for i in facts.imports):
        return True
    return any(_names_one(file) for file in [*(module.file for module in _scripts(repo)), *_configurations(repo)])


def _scripts(repo: Repo) -> list[Module]:
    return [m for m in repo.modules if not m.is_notebook and "test" not in m.file.roles]


def _configurations(repo: Repo) -> list[File]:
    return [f for f in repo.glob("*.yaml", "*.yml") if f.size < 100_000 and "conf" in f.path]


def _names_one(file: File) -> bool:
    return holds(file.text, _TRACKER_WORDS) and bool(_TRACKER_NAME.search(file.text))


def keeps_metrics_in_pipeline(repo: Repo) -> bool:
    """Whether a pipeline file declares metrics or plots."""
    return any(
        re.search(r"^[ \t]*(?:-[ \t]*)?(metrics|plots):", f.text, re.M) for f in repo.glob("dvc.yaml", "dvclive.yaml")
    )
