"""M7-05, what is present: prints in handlers, and personal data or whole requests in the log."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_LOGS = re.compile(r"(.*\.)?(info|warning|error|critical|exception|log)$")
_PII = re.compile(
    r"(^|_)(e?mail|phone|ssn|passport|address|birth\w*|dob|iban|credit_card|first_name|last_name|password)s?(_|$)", re.I
)
_WHOLE = re.compile(r"(flask|quart)\.request\.(json|data|form|values|get_json\(\)|get_data\(\))$")


@rule(
    id="MLE0705",
    name="log-hygiene",
    step=7,
    severity=LOW,
    title="Handlers print instead of logging",
    why="Printed lines have no level, time or request id, and cannot be filtered or counted.",
    remedy="Use a logger with a structured formatter.",
    source="Twelve-factor logs",
    applies=lambda repo: bool(repo.routes),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import handlers

    prints: list[Site] = []
    personal: list[Site] = []
    for handler in handlers(repo):
        whole = _request_names(handler)
        for call in handler.calls:
            if call.name != "print" and not (_LOGS.match(call.name) and _is_logger(call)):
                continue
            if any(_is_personal(call, argument, whole) for argument in call.node.args):
                personal.append(call.site())
            elif call.name == "print":
                prints.append(call.site())
    for group in per_file(dict.fromkeys(personal)):
        yield Hit(
            group,
            severity=MEDIUM,
            title="Whole requests or personal data go into the log",
            why="Logs are copied, kept and read by many: what people sent ends up where it must not be.",
            remedy="Log a hash or the few fields that are needed, and mask names, addresses and the like.",
            anchor=f"personal {group[0].path}",
        )
    for group in per_file(dict.fromkeys(prints)):
        yield Hit(group, anchor=f"print {group[0].path}")


def _is_logger(call: Call) -> bool:
    receiver = ast.unparse(call.node.func.value) if isinstance(call.node.func, ast.Attribute) else ""
    return call.name.startswith(("logging.", "loguru.", "structlog.")) or bool(re.search(r"log", receiver, re.I))


def _request_names(handler: Handler) -> set[str]:
    """Names in the handler that hold the whole content of the request."""
    from ml_engineer.assessment.serving import annotated_schemas, is_schema

    module = handler.module
    names: set[str] = set()
    if annotated_schemas(handler):
        for parameter in handler.function.parameters:
            inside = walk(parameter.annotation) if parameter.annotation is not None else ()  # `list[Row]` is all of it
            named = [module.resolve(node) for node in inside if isinstance(node, ast.Name | ast.Attribute)]
            if any(is_schema(handler.repo, name) for name in named):
                names.add(parameter.arg)
    for read in handler.reads:
        if read.module is module and read.kind in ("json", "get_json", "form", "data", "get_data", "body", "event"):
            statement = module.statement_of(read.node)
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                value = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
                plain = value.func if isinstance(value, ast.Call) else value
                if read.kind == "event" and "'body'" not in ast.unparse(value):
                    continue  # one field of what a platform hands over
                if plain is read.node:
                    names.add(statement.targets[0].id)
    return names


def _is_personal(call: Call, argument: ast.expr, whole: set[str]) -> bool:
    """Whether an argument shows the whole request, or a value whose name is personal."""
    module = call.module
    for node in walk(argument):
        if isinstance(node, ast.Name) and node.id in whole:
            parent = module.parent(node)
            if not isinstance(parent, ast.Attribute | ast.Subscript):
                return not (isinstance(parent, ast.Call) and ast.unparse(parent.func) in ("len", "type", "hash"))
        if isinstance(node, ast.Attribute | ast.Call) and _WHOLE.match(module.resolve(node)):
            return not isinstance(module.parent(node), ast.Attribute | ast.Subscript)
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            name = str(node.slice.value)
        if name and _PII.search(name):
            return True
    return False
