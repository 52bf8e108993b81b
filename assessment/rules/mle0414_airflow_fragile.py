"""M4-14, second part: an Airflow DAG works while it is parsed, or never tries again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_DAGS = ("airflow.DAG", "airflow.models.DAG", "airflow.models.dag.DAG", "airflow.decorators.dag", "airflow.sdk.DAG",
         "airflow.sdk.dag")  # fmt: skip
_WORK = (
    "pandas.read_*", "requests.*", "urllib.request.*", "*.fit", "*connect", "sqlalchemy.create_engine", "boto3.client",
    "airflow.models.Variable.get", "airflow.hooks.*.get_*", "*.read_sql*", "subprocess.*", "os.system", "joblib.load",
    "pickle.load", "torch.load", "mlflow.*.load_model",
)  # fmt: skip


@rule(
    id="MLE0414",
    part="airflow-fragile",
    name="airflow-fragile",
    step=4,
    severity=MEDIUM,
    title="Airflow DAG does work while it is parsed",
    why="The scheduler runs the file again and again: each parse reads or connects, and a failure hides the DAG.",
    remedy="Move the work into tasks; keep only declarations at the top level.",
    source="Airflow best practices",
    applies=lambda repo: bool(_dag_modules(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.repo import matches

    for module, dags in _dag_modules(repo).items():
        work = [c for c in module.calls if c.scope is None and matches(c.name, *_WORK) and not _guarded(module, c)]
        if work:
            yield Hit([call.site() for call in work])
        if not _retries(module):
            yield Hit(
                [repo.missing(dags[0].site(), ("retries",), [module.path])],
                title="Airflow tasks are never retried",
                why="One lost connection fails the whole run, and somebody has to start it by hand.",
                remedy="Set retries and retry_delay in default_args.",
                anchor=f"{module.path}\0retries",
            )


def _dag_modules(repo: Repo) -> dict[Module, list[Call]]:
    found: dict[Module, list[Call]] = {}
    for call in repo.calls(*_DAGS, tests=False):
        if "docs" not in call.module.file.roles:
            found.setdefault(call.module, []).append(call)
    return found


def _guarded(module: Module, call: Call) -> bool:
    guard = module.main_guard
    return guard is not None and guard.lineno <= call.node.lineno <= (guard.end_lineno or guard.lineno)


def _retries(module: Module) -> bool:
    """Whether retries are set anywhere, or come from somewhere else with the default arguments."""
    if any(item.target.rpartition(".")[2] in ("default_args", "DEFAULT_ARGS") for item in module.imports):
        return True
    given = [node.value for node in module.nodes(ast.keyword) if node.arg == "retries"]
    for table in module.nodes(ast.Dict):
        pairs = zip(table.keys, table.values, strict=True)
        given += [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "retries"]
    named = any(node.value == "retries" for node in module.nodes(ast.Constant)) and not given
    return named or any(module.literal(value) != 0 for value in given)
