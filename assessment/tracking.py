"""Where figures of quality go: to a tracker, to a file, or only to the screen."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import holds
from ml_engineer.assessment.learning import TRACKERS, entry_closure, train_entries
from ml_engineer.assessment.module import Call, Module
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# Trainers that log by default, and callbacks that write a log.
_LOGGING = (
    "transformers.*Trainer", "trl.*Trainer", "*lightning.Trainer", "*lightning.*.Trainer", "*CSVLogger",
    "*lightning.loggers.*", "*lightning.pytorch.loggers.*", "*TensorBoard*", "*SummaryWriter", "ultralytics.YOLO",
    "logging.FileHandler", "*RotatingFileHandler", "dvc.api.*", "*.log_metric*", "*.log_evaluation", "sagemaker.*",
    "azureml.*", "google.cloud.aiplatform.*", "fastai.*Learner*", "autogluon.*",
)  # fmt: skip
_WRITERS = (
    "json.dump", "json.dumps", "yaml.dump", "yaml.safe_dump", "*.to_csv", "*.to_json", "*.to_parquet", "numpy.save*",
    "csv.writer", "csv.DictWriter", "*.writerow*", "*.write", "*.write_text", "*.writelines", "pickle.dump",
    "joblib.dump", "torch.save", "open", "*.open",
)  # fmt: skip
_KEEPS = re.compile(r"regist|record|save|insert|store|track|persist|create|TrainingRun|ModelVersion|Experiment", re.I)
_METRIC_NAME = re.compile(
    r"(test_|val_|cv_)?(mae|mse|rmse|mape|r2(_score)?|accuracy|precision|recall|f1(_score)?|auc(_roc)?|roc_auc|metrics?|scores?)"
)
_NAMES_METRIC = re.compile(rf"(^|_){_METRIC_NAME.pattern}(_|$)")
_TRACKER_NAME = re.compile(
    r"torch\.utils\.tensorboard|tensorboardX|SummaryWriter|summary\.(FileWriter|create_file_writer)|"
    r"\b(wandb|mlflow|comet_ml|neptune|clearml)\b"
)
_TRACKER_WORDS = ("tensorboard", "summary", "wandb", "mlflow", "comet_ml", "neptune", "clearml")  # one in each
_FIGURE = re.compile(
    r"metric|score|history|\bhist\b|result|loss|\bacc\b|accuracy|eval|report|perf|rmse|\bmse\b|auc|f1|stats", re.I
)


def is_tracked(repo: Repo, modules: Iterable[Module]) -> bool:
    """Whether these modules hand figures to a tracker or write them to a file."""
    for module in modules:
        if any(item.target.split(".")[0] in TRACKERS or "tensorboard" in item.target for item in module.imports):
            return True
        for call in module.calls:
            if _trains_with_log(call) or (matches(call.name, *_WRITERS) and _writes_figures(call)):
                return True
            if _keeps_figures(call):
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
    if not _KEEPS.search(name):
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
    return bool(_FIGURE.search(written)) or any(_has_figures(call.module, node) for node in ast.walk(call.node))


def _has_figures(module: Module, node: ast.AST) -> bool:
    """Whether a name stands for a dictionary, or a table, with figures of quality among its keys or columns."""
    value = module.value(node) if isinstance(node, ast.Name) else None
    keys: list[ast.expr | None] = []
    if isinstance(value, ast.Call) and module.resolve(value.func) == "pandas.DataFrame":
        columns = next((k.value for k in value.keywords if k.arg == "columns"), None)
        keys = list(columns.elts) if isinstance(columns, ast.List) else []
        value = value.args[0] if value.args else None
        value = value.elts[0] if isinstance(value, ast.List) and value.elts else value  # one row
    if isinstance(value, ast.Dict):
        keys += value.keys
    texts = [module.literal(key) for key in keys]
    return any(isinstance(text, str) and _NAMES_METRIC.search(text) for text in texts)


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


def _names_a_tracker(repo: Repo) -> bool:
    """A tracker that is imported, also by its name in a string, or chosen in a configuration file."""
    if repo.uses(*TRACKERS):
        return True
    scripts = [m.file for m in repo.modules if not m.is_notebook and "test" not in m.file.roles]
    configured = [f for f in repo.glob("*.yaml", "*.yml") if f.size < 100_000 and "conf" in f.path]
    texts = (file.text for file in [*scripts, *configured])
    return any(holds(text, _TRACKER_WORDS) and _TRACKER_NAME.search(text) for text in texts)


def keeps_metrics_in_pipeline(repo: Repo) -> bool:
    """Whether a pipeline file declares metrics or plots."""
    return any(
        re.search(r"^[ \t]*(?:-[ \t]*)?(metrics|plots):", f.text, re.M) for f in repo.glob("dvc.yaml", "dvclive.yaml")
    )
