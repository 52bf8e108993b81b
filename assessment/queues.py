"""Requests whose rows a queue carries to a worker, where the model answers: `db.rpush(QUEUE, row)`, `predict.delay(x)`.

    for call in pushes(repo, calls):     those of the calls that hand rows to a worker of the repository

Lists and streams of Redis, RabbitMQ, Kafka, RQ and Celery. A worker counts where it asks a model: the function that is
handed over, or a program that takes rows out of a queue of the same kind.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import callgraph, values
from ml_engineer.assessment.entrypoints import Entry
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Function, Module
    from ml_engineer.assessment.repo import Repo

_TASKS = re.compile(r"\.(delay|apply_async|enqueue|enqueue_call|send_task)$")
# Library -> how rows go into its queues, and how a worker takes them out.
_QUEUES = {
    "redis": (("*.rpush", "*.lpush", "*.xadd"), ("*.lrange", "*.lpop", "*.blpop", "*.rpop", "*.brpop", "*.xread*")),
    "pika": (("*.basic_publish",), ("*.basic_consume", "*.consume", "*.basic_get")),
    "kafka": (("*.send", "*.produce"), ("kafka.KafkaConsumer",)),
    "confluent_kafka": (("*.produce",), ("confluent_kafka.Consumer", "*.poll", "*.consume")),
}


def pushes(repo: Repo, calls: list[Call]) -> list[Call]:
    """Those of the calls that hand rows to a worker of the repository that makes a model answer."""
    return [call for call in calls if _starts_task(repo, call) or _fills_queue(repo, call)]


def _starts_task(repo: Repo, call: Call) -> bool:
    """Whether a call starts a function as a task elsewhere, and that function makes a model answer."""
    func = call.node.func
    if not isinstance(func, ast.Attribute) or not _TASKS.search(f".{func.attr}"):
        return False
    if func.attr == "send_task":
        registered = _registered(repo, call.module.literal(call.argument(0, "name")))
        return any(_asks_model(repo, Entry("serve", f.module, f, call.site())) for f in registered)
    named = func.value if func.attr in ("delay", "apply_async") else (call.argument(0, "func") or call.keyword("f"))
    if named is None:
        return False
    for function in callgraph.callees(repo, call.module.resolve(named)):
        if _asks_model(repo, Entry("serve", function.module, function, call.site())):
            return True
    return False


def _registered(repo: Repo, name: object) -> Iterator[Function]:
    """Functions that a worker knows under a name: `@app.task(name="predict.lr")`, or by where they stand."""
    for module in repo.modules if isinstance(name, str) else ():
        if "test" in module.file.roles or module.is_notebook:
            continue
        for function in module.functions.values():
            for decorator in function.node.decorator_list:
                given = (
                    [k.value for k in decorator.keywords if k.arg == "name"] if isinstance(decorator, ast.Call) else []
                )
                place = f"{module.dotted}.{function.qualname}"
                known = module.literal(given[0]) if given else place
                if known == name or (not given and "task" in ast.unparse(decorator) and place.endswith(f".{name}")):
                    yield function


def _fills_queue(repo: Repo, call: Call) -> bool:
    for library, (into, _) in _QUEUES.items():
        if matches(call.name, *into) and _imports(call.module, library):
            return any(module is not call.module for module in _workers(repo, library))
    return False


def _workers(repo: Repo, library: str) -> list[Module]:
    """Programs that take rows out of a library's queues and make a model answer."""
    found: dict[str, list[Module]] = repo.kept("queue_workers")
    if library not in found:
        found[library] = []
        _, outof = _QUEUES[library]
        for module in repo.modules:
            if module.is_notebook or "test" in module.file.roles or not _imports(module, library):
                continue
            takes = next((call for call in module.calls if matches(call.name, *outof)), None)
            if takes is not None and _asks_model(repo, Entry("serve", module, None, takes.site())):
                found[library].append(module)
    return found[library]


def _imports(module: Module, library: str) -> bool:
    return any(i.top == library for i in module.imports)


def _asks_model(repo: Repo, entry: Entry) -> bool:
    closure = callgraph.closure_of(repo, [entry])
    scopes = [(f.module, f) for f in closure.functions] + [(module, None) for module in closure.bodies]
    return any(values.is_model_call(repo, call) for module, scope in scopes for call in values.calls_of(module, scope))
