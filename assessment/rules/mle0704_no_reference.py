"""M7-04: training keeps no picture of its data beside the model."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.dataflow import Step
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_TABULAR = ("pandas", "sklearn", "xgboost", "lightgbm", "catboost", "polars", "pyspark", "statsmodels")
_PROFILERS = (
    "whylogs", "evidently", "ydata_profiling", "pandas_profiling", "great_expectations", "tensorflow_data_validation",
    "pandera", "deepchecks", "nannyml", "popmon",
)  # fmt: skip
_WRITES = (
    "*.to_csv", "*.to_parquet", "*.to_json", "*.to_feather", "json.dump", "json.dumps", "yaml.dump", "yaml.safe_dump",
    "joblib.dump", "pickle.dump", "*.write_text", "mlflow.log_dict", "mlflow.log_artifact", "mlflow.log_table",
    "mlflow.log_input", "numpy.save", "numpy.savez*", "*.write_parquet", "*.write_csv",
)  # fmt: skip
_REFERENCE = re.compile(
    r"reference|baseline|describe\(|profile|statistic|\bstats\b|_stats\b|quantile|histogram|schema|feature_(ranges|names|"
    r"means|distribution)|min_max|expectation|\branges\b|infer_signature|\bbins\b",
    re.I,
)
_LOSSES = re.compile(r"loss|accuracy|epoch", re.I)
_CURVES = re.compile(r"\w*(statistics?|stats)\b", re.I)  # beside losses: how training went, not what it saw
_SCALERS = re.compile(r".*(Scaler|PowerTransformer|QuantileTransformer|Pipeline|ColumnTransformer)\(\)")


def _ships_a_model(repo: Repo) -> bool:
    from ml_engineer.assessment.artefacts import is_put_to_use, model_writes

    return bool(model_writes(repo)) and (is_put_to_use(repo) or _fits_a_table(repo))


def _fits_a_table(repo: Repo) -> bool:
    """Whether training fits columns of a table: what it saves is for use elsewhere, where those columns drift."""
    closure = repo.closure("train")
    return closure.imports(*_TABULAR) and not closure.imports("torch", "tensorflow", "keras", "transformers")


@rule(
    id="MLE0704",
    name="no-reference",
    step=7,
    severity=MEDIUM,
    title="Training keeps no reference of its data beside the model",
    why="Drift can only be measured against something: without a profile of the training data there is no baseline.",
    remedy="Save a profile (ranges, quantiles, category shares) or a sample of the training rows with the model.",
    source="ML Test Score data-1",
    peers=("data-engineer",),
    applies=_ships_a_model,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.artefacts import is_put_to_use, model_writes

    closure = repo.closure("train")
    if closure.imports(*_PROFILERS):
        return
    if any(_keeps_reference(call) for call in closure.calls(*_WRITES)):
        return
    if any(call.keyword("signature") or call.keyword("input_example") for call in closure.calls("mlflow.*.log_model")):
        return
    writes = model_writes(repo)
    # A notebook whose model nothing asks has nothing that could drift yet.
    tried = writes[0].module.is_notebook and not is_put_to_use(repo)
    scaled = any(_writes_scaler(repo, call) for call in writes)
    patterns = ("describe, quantile, profile, schema or reference written by training", *_PROFILERS[:4])
    yield Hit(
        [repo.missing(writes[0].site(), patterns, closure.modules)],
        severity=LOW if scaled or tried else MEDIUM,
        confidence="high" if _fits_a_table(repo) else "medium",  # pictures and text have no table of feature ranges
        anchor="reference",
    )


def _keeps_reference(call: Call) -> bool:
    """Whether a call writes something that its own text, or the value it writes, calls a reference."""
    text = ast.unparse(call.node)
    given = call.module.value(call.node.args[0]) if call.node.args else None
    if given is not None:
        text += f" {ast.unparse(given)[:2000]}"
    if isinstance(call.node.args[0] if call.node.args else None, ast.Name):  # `stats["train"]["loss"] = …`
        text += "".join(line for line in call.module.file.text.splitlines() if "stats[" in line)
    return bool(_REFERENCE.search(_CURVES.sub("", text) if _LOSSES.search(text) else text))


def _writes_scaler(repo: Repo, call: Call) -> bool:
    from ml_engineer.assessment.dataflow import sources

    steps = [step for argument in call.node.args for step in sources(repo, call.module, argument, _is_plain)]
    return any(_SCALERS.match(f"{step.name}()") for step in steps)


def _is_plain(step: Step) -> bool:
    """Names and tuples are looked through; what a call was given is not what it gives."""
    return not step.name
