"""M7-02: predictions leave no record."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.callgraph import bases
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_LOGS = re.compile(r"(.*\.)?(debug|info|log|bind|msg|log_prediction\w*)$")
_STORES = re.compile(
    r".*\.(insert\w*|put_record\w*|put_item|put_object|produce|publish|send|send_message|writerow\w*|add|execute|to_sql|"
    r"log_metrics?|log_table|create|xadd|rpush|lpush|capture|track|track_\w*metrics?|append_row)$"
)
_STORE_OWNERS = re.compile(
    r"(csv|sqlite3|psycopg\w*|sqlalchemy|pymongo|redis|kafka|confluent_kafka|boto3|google|azure|elasticsearch|mlflow|wandb|"
    r"requests|httpx|whylogs|evidently|pika|aio\w+|motor|cdsw|cml|clickhouse\w*|influxdb\w*|arize)\b"
)
_SESSION = re.compile(r"(^|[._])(db|session|cursor|conn|connection|collection)$", re.I)
_NAMED = re.compile(
    r"(log|record|store|save|audit|emit|track|persist)_?\w*(prediction|inference|request|event|feedback|result)|"
    r"(log|record|audit|track)_?\w*(inputs|outputs|payload|response)",
    re.I,
)
_DATA_CAPTURE = ("ModelMonitor", "DataCaptureConfig", "enable_data_capture", "collect_model_data")


def _has_model_route(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import answering_handlers

    return bool(answering_handlers(repo))


@rule(
    id="MLE0702",
    name="no-prediction-log",
    step=7,
    severity=MEDIUM,
    title="Predictions leave no record",
    why="Without what was asked and answered there is no audit, no drift check and no feedback to learn from.",
    remedy="Write one structured event for each prediction: hashed input, output, model version, latency, request id.",
    source="ML Test Score monitor-7",
    peers=("data-engineer",),
    applies=_has_model_route,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import answering_handlers

    handlers = answering_handlers(repo)
    silent = [
        handler
        for handler in handlers
        if not any(_records(repo, call) and not _tells_only_what_was_asked(handler, call) for call in handler.calls)
    ]
    if len(silent) < len(handlers):  # some route shows how it is done here
        return
    files = {function.module for handler in handlers for function in handler.functions}
    if any(word in module.file.text for module in files for word in _DATA_CAPTURE):
        return
    patterns = ("logger calls that carry values", "inserts, messages and rows written by the handler")
    yield Hit([repo.missing(silent[0].function.site(), patterns, files)])


def _records(repo: Repo, call: Call) -> bool:
    """Whether a call writes something of the prediction, not only a fixed text or the error of a failed one."""
    module, name = call.module, call.name
    if module.enclosing(call.node, ast.ExceptHandler) is not None:
        return False
    if call.scope is not None and call.scope.node.name == "__init__":  # it tells that something was made or loaded
        return False
    if _NAMED.search(ast.unparse(call.node.func).rpartition(".")[2]):
        return True
    if _STORES.match(name) and _STORE_OWNERS.match(name):
        return True
    if name.endswith((".save", ".objects.create", ".objects.bulk_create")) and _is_row(repo, name):
        return True
    receiver = ast.unparse(call.node.func.value) if isinstance(call.node.func, ast.Attribute) else ""
    if name.endswith((".add", ".add_all", ".insert_one", ".insert_many")) and _SESSION.search(receiver):
        return True
    is_logger = name.startswith(("logging.", "loguru.", "structlog.")) or re.search(r"log(ger)?\b", receiver, re.I)
    if not (is_logger and _LOGS.match(name)):
        return False
    values = [*call.node.args, *(k.value for k in call.node.keywords if k.arg not in ("exc_info", "stack_info"))]
    return any(_varies(value) for value in values)


def _tells_only_what_was_asked(handler: Handler, call: Call) -> bool:
    """Whether a log line of the handler holds nothing but what it was given: the answer leaves no trace."""
    if call.scope is not handler.function or not _LOGS.match(call.name):
        return False
    values = [*call.node.args, *(k.value for k in call.node.keywords)]
    names = {node.id for value in values for node in walk(value) if isinstance(node, ast.Name)}
    asked = {p.arg for p in handler.function.parameters} | {"request"}
    written = {n.id for n in walk(call.scope.node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return bool(names) and names <= asked - written


def _is_row(repo: Repo, name: str) -> bool:
    """Whether what is saved or made is a row of a database by Django's models or a serializer of theirs."""
    owner = name.rpartition(".")[0].removesuffix(".objects").removesuffix("()")
    return any(matches(base, "django.db.models.Model", "rest_framework.serializers.*") for base in bases(repo, owner))


def _varies(value: ast.expr) -> bool:
    return any(isinstance(node, ast.Name | ast.Attribute | ast.Call) for node in walk(value))
