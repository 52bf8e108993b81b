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
    r"\bMAX_\w*(SIZE|BYTES|LENGTH|LEN|CHARS|PIXELS|BATCH|ROWS|ITEMS|MB)\b|limit_max_request|"
    r"max_(upload|file|body|image|request|batch|input|text|content)_?\w*\s*[=:]|(\blen\([\w.]+\)|\.size)\s*>=?\s*(?![01]\b)\w",
    re.I,
)  # more than none or than one is no limit
_BOUNDED = re.compile(r"max_length|max_items|conlist|constr\(|StringConstraints|Len\(")
_LISTS = re.compile(r"^(\w+\.)?([Ll]ist|Sequence|[Ss]et|[Tt]uple)\[|\[(\w+\.)?[Ll]ist\[")
_CONFIGS = ("nginx*.conf", "*.conf", "**/nginx/**", "*ingress*.y*ml")
_BODY = frozenset(
    "json form files data get_json get_data stream values body POST FILES post read text parameter".split()
)


def _takes_bodies(repo: Repo) -> bool:
    return bool(_takers(repo))


def _takers(repo: Repo) -> list[Handler]:
    """Handlers that take bodies with no limit of a platform's own; BentoML sets none."""
    from ml_engineer.assessment.serving import PLATFORMS, SERVERLESS, model_handlers

    limited = (PLATFORMS | SERVERLESS) - {"bentoml"}
    return [handler for handler in model_handlers(repo) if handler.framework not in limited]


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
    from ml_engineer.assessment.serving import serving_modules

    if any(_LIMIT.search(file.text) for file in repo.glob(*_CONFIGS)):
        return
    if any(_LIMIT.search(module.file.text) for module in serving_modules(repo)):
        return
    sites: dict[str, list[Site]] = {}
    for handler in _takers(repo):
        found = _of_bento(handler) if handler.framework == "bentoml" else _unbounded(repo, handler)
        sites.setdefault(handler.module.path, []).extend(found)
    for group in filter(None, sites.values()):
        group.sort(key=lambda site: "files" not in site.quote)  # an upload is the worst of them
        yield Hit(group)


def _unbounded(repo: Repo, handler: Handler) -> list[Site]:
    from ml_engineer.assessment.serving import annotated_schemas

    reads = sorted((read for read in handler.reads if read.kind in _BODY), key=lambda read: read.kind != "files")
    found = [read.module.site(read.node) for read in reads[:1]]
    if not found and _posted(handler):  # Flask-RESTful reads the body behind its parser
        found = [call.site() for call in handler.calls if call.name.endswith("RequestParser().parse_args")]
    for parameter in handler.function.parameters:
        text = ast.unparse(parameter.annotation) if parameter.annotation is not None else ""
        if "UploadFile" in text or text == "bytes":
            found.append(handler.module.site(_upload_read(handler, parameter)))
        elif _LISTS.search(text) and not _BOUNDED.search(ast.unparse(handler.function.node.args)) and _posted(handler):
            found.append(handler.module.site(parameter))
    for name in annotated_schemas(handler):
        found += _loose_fields(repo, name)
    return found[:1]


def _posted(handler: Handler) -> bool:
    """Whether a route of the handler takes bodies: an address alone is never long."""
    return any(set(route.methods) != {"GET"} for route in handler.routes)


def _of_bento(handler: Handler) -> list[Site]:
    """The first parameter of a BentoML service that takes text, lists, arrays or pictures of any size."""
    node = handler.function.node
    if _BOUNDED.search(ast.unparse(node)) or re.search(r"\bshape\s*=", " ".join(map(ast.unparse, node.decorator_list))):
        return []
    for parameter in handler.function.parameters:
        kind = ast.unparse(parameter.annotation) if parameter.annotation is not None else ""
        if parameter.arg != "self" and not re.fullmatch(r"(int|float|bool)|.*[Cc]ontext", kind):
            return [handler.module.site(parameter)]
    return []


def _upload_read(handler: Handler, parameter: ast.arg) -> ast.AST:
    """The call that reads the upload into memory, or the parameter where no such call is seen."""
    reading = re.compile(rf"{parameter.arg}(\.file)?\.read$")
    calls = (node for node in walk(handler.function.node) if isinstance(node, ast.Call) and not node.args)
    return next((node for node in calls if reading.match(ast.unparse(node.func))), parameter)


def _loose_fields(repo: Repo, class_name: str, depth: int = 2) -> list[Site]:
    """Text and list fields of a schema, and of those inside it, without a length."""
    from ml_engineer.assessment.serving import is_schema

    module, node = repo.classes[class_name]
    found: list[Site] = []
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or _BOUNDED.search(ast.unparse(field)):
            continue
        names = [n for n in walk(field.annotation) if isinstance(n, ast.Name | ast.Attribute)]
        inner = [name for name in map(module.resolve, names) if name != class_name and is_schema(repo, name)]
        if re.search(r"\b(str|[Ll]ist|bytes|Any|dict|Dict)\b", ast.unparse(field.annotation)):
            found.append(module.site(field))
        elif depth:
            found += [site for name in inner for site in _loose_fields(repo, name, depth - 1)]
    return found
