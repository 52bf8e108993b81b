"""M5-08: nothing limits how much a request may bring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_LIMIT = re.compile(
    r"MAX_CONTENT_LENGTH|content[-_]length|client_max_(body_)?size|proxy-body-size|REQUEST_MAX_SIZE|MAX_IMAGE_PIXELS|"
    r"\bMAX_\w*(SIZE|BYTES|LENGTH|LEN|CHARS|PIXELS|BATCH|ROWS|ITEMS|MB)\b|limit_max_request|maxBytes|"
    r"max_(upload|file|body|image|request|batch|input|text|content)_?\w*\s*[=:]|\blen\([\w.]+\)\s*>=?\s*\w|\.size\s*>",
    re.I,
)
_BOUNDED = re.compile(r"max_length|max_items|conlist|constr\(|StringConstraints|Len\(")
_CONFIGS = ("nginx*.conf", "*.conf", "**/nginx/**", "*ingress*.y*ml")
_BODY = frozenset(
    "json form files data get_json get_data stream values body POST FILES post read text parameter".split()
)


def _takes_bodies(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import SERVERLESS, web_handlers

    return any(handler.framework not in SERVERLESS for handler in web_handlers(repo))


@rule(
    id="MLE0508",
    name="unbounded-input",
    step=5,
    severity=MEDIUM,
    title="Nothing limits the size of what a request brings",
    why="One large upload, text or batch takes the memory or the time of the whole service.",
    remedy="Set a body limit (MAX_CONTENT_LENGTH, the proxy's body size) and cap lengths, pixels and batch size.",
    source="OWASP API4:2023",
    applies=_takes_bodies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import SERVERLESS, serving_modules, web_handlers

    if any(_LIMIT.search(file.text) for file in repo.glob(*_CONFIGS)):
        return
    if any(_LIMIT.search(module.file.text) for module in serving_modules(repo)):
        return
    sites: dict[str, list[Site]] = {}
    for handler in web_handlers(repo):
        if handler.framework not in SERVERLESS:
            sites.setdefault(handler.module.path, []).extend(_unbounded(repo, handler))
    for group in filter(None, sites.values()):
        group.sort(key=lambda site: "files" not in site.quote)  # an upload is the worst of them
        yield Hit(group)


def _unbounded(repo: Repo, handler: Handler) -> list[Site]:
    from ml_engineer.assessment.serving import annotated_schemas

    reads = sorted((read for read in handler.reads if read.kind in _BODY), key=lambda read: read.kind != "files")
    found = [read.module.site(read.node) for read in reads[:1]]
    for parameter in handler.function.parameters:
        text = ast.unparse(parameter.annotation) if parameter.annotation is not None else ""
        if "UploadFile" in text or text == "bytes":
            found.append(handler.module.site(_upload_read(handler, parameter)))
    for name in annotated_schemas(handler):
        found += _loose_fields(repo, name)
    return found[:1]


def _upload_read(handler: Handler, parameter: ast.arg) -> ast.AST:
    """The call that reads the upload into memory, or the parameter where no such call is seen."""
    reading = re.compile(rf"{parameter.arg}(\.file)?\.read$")
    calls = (node for node in walk(handler.function.node) if isinstance(node, ast.Call) and not node.args)
    return next((node for node in calls if reading.match(ast.unparse(node.func))), parameter)


def _loose_fields(repo: Repo, class_name: str) -> list[Site]:
    """Text and list fields of a schema without a length."""
    module, node = repo.classes[class_name]
    return [
        module.site(field)
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        and re.search(r"\b(str|[Ll]ist|bytes|Any|dict|Dict)\b", ast.unparse(field.annotation))
        and not _BOUNDED.search(ast.unparse(field))
    ]
