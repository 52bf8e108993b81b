"""M2-07: handlers that keep a request's data in a module global or in one fixed file, and give it back from there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import dataflow, serving, values
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, Hit, Site, rule
from ml_engineer.assessment.taint import taint

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Function, Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_WRITERS = re.compile(
    r"(^|\.)(to_csv|to_excel|to_parquet|to_json|savefig|save|imwrite|imsave|write_image|write_html|copyfileobj|to_html|"
    r"write_bytes|write_text|download_file|urlretrieve|wavfile\.write|dump|write_videofile)$"
)
_READERS = re.compile(
    r"(^|\.)(send_file|FileResponse|send_from_directory|render_template|open|imread|read_\w+|load|load_img|load_image|read_bytes|"
    r"read_text|url_for|file|file_stream|static_file|predict\w*|from_file|load_data|upload_file)$"
)
_LOCAL = re.compile(r"tempfile|NamedTemporaryFile")
_LOCK = re.compile(r"lock|semaphore|mutex", re.I)
_EXCHANGES = re.compile(
    r"(update|reload|refresh|load|swap|deploy|activate)[_/-]?(the[_-])?models?\b|models?/(update|re)?load", re.I
)
_TALK = re.compile(r"(\w+_)?(messages|history|conversation|chat|dialogue?|memory)")
_OF_A_MODEL = re.compile(r"(^|[/'\"])models?(['\"/]|$)")
_FILE = re.compile(r"[\w./\\ -]+\.\w{2,5}")


def _handles(repo: Repo) -> bool:
    return bool(serving.handlers(repo)) or any(True for _ in _pages(repo))


def _pages(repo: Repo) -> Iterator[Module]:
    """Pages of Streamlit that take a file."""
    for entry in repo.entries:
        module = entry.module
        if entry.kind == "serve" and any(item.top == "streamlit" for item in module.imports):
            if "test" not in module.file.roles and b"file_uploader" in module.file.data:
                yield module


@rule(
    id="MLE0207",
    name="handler-shared-state",
    step=2,
    severity=HIGH,
    title="Requests share one place for their data",
    why="Two requests at the same time overwrite each other, and one caller gets the other's data.",
    remedy="Keep a request's data in local variables or a buffer (`io.BytesIO`), or in a temporary file of its own.",
    source="observed",
    applies=_handles,
)
def check(repo: Repo) -> Iterator[Hit]:
    for handler in serving.handlers(repo):
        if handler.module.file.roles & {"test"} or _is_locked(handler):
            continue
        for name, sites in _shared_files(handler):
            yield Hit(sites, title=f"Requests share the file `{name}`", anchor=f"{handler.module.path}\0{name}")
        for name, sites in _shared_globals(handler):
            yield Hit(sites, title=f"Requests share the global `{name}`", anchor=f"{handler.module.path}\0{name}")
        for name, sites in [*_shared_state(handler), *_shared_talks(handler)]:
            yield Hit(sites, title=f"Requests share `{name}`", anchor=f"{handler.module.path}\0{name}")
    for module in _pages(repo):
        for name, sites in _shared_uploads(repo, module):
            yield Hit(sites, title=f"All users' uploads go into the file `{name}`", anchor=f"{module.path}\0{name}")


def _is_locked(handler: Handler) -> bool:
    return any(
        isinstance(node, ast.With | ast.AsyncWith)
        and any(_LOCK.search(ast.unparse(i.context_expr)) for i in node.items)
        for function in handler.functions
        for node in walk(function.node)
    )


# --- files ------------------------------------------------------------------------------------------------------------


def _shared_files(handler: Handler) -> Iterator[tuple[str, list[Site]]]:
    """Fixed paths that a request writes and then reads or sends back."""
    written: dict[str, list[Call]] = {}
    for call in handler.calls:
        for path in _paths(handler.repo, call) if _is_write(call) else ():
            written.setdefault(path, []).append(call)
    for path, writes in written.items():
        base = path.replace("\\", "/").rpartition("/")[2]
        for call in handler.calls:
            if call in writes or not _READERS.search(call.name.replace("()", "")) or _is_write(call):
                continue
            if call.scope is writes[0].scope and call.node.lineno < writes[0].node.lineno:  # reads what it adds to
                continue
            if any(p == path or p.endswith(base) for p in _paths(handler.repo, call)):
                yield path, [*_way_there(handler, writes[0]), writes[0].site(), call.site()]
                break


def _shared_uploads(repo: Repo, module: Module) -> Iterator[tuple[str, list[Site]]]:
    """Fixed paths that a page writes an upload to, and hands on to something that reads it there."""
    for write in filter(_is_write, module.calls):
        if _LOCAL.search(write.name) or not _takes_upload(module, write):
            continue
        for path in _paths(repo, write):
            uses = [
                call
                for call in module.calls
                if call is not write and not _is_write(call) and path in _paths(repo, call)
            ]
            if uses:
                yield path, [write.site(), uses[0].site()]


def _takes_upload(module: Module, write: Call) -> bool:
    """Whether what is written comes from the uploader, as far as the statements around it say."""
    statement = module.statement_of(write.node)
    block = statement if isinstance(statement, ast.With) else write.node
    texts = [ast.unparse(block)]
    known = (module.value(node) for node in walk(block) if isinstance(node, ast.Name))
    texts += [ast.unparse(value) for value in known if value is not None]
    names = {t.id for call in module.calls if call.name.endswith("file_uploader") for t in _named(module, call)}
    return any("file_uploader" in text or any(re.search(rf"\b{n}\b", text) for n in names) for text in texts)


def _named(module: Module, call: Call) -> list[ast.Name]:
    statement = module.statement_of(call.node)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [target for target in targets if isinstance(target, ast.Name)]


def _way_there(handler: Handler, write: Call) -> Iterator[Site]:
    """The call in the handler itself that leads to a write in a helper."""
    start = handler.functions[0]
    if write.scope is not None and write.scope is not start:
        name = write.scope.qualname.rpartition(".")[2]
        for call in handler.calls:
            if call.scope is start and call.name.rpartition(".")[2] == name:
                yield call.site()
                return


def _is_write(call: Call) -> bool:
    if call.name in ("open", "io.open"):
        mode = call.module.literal(call.argument(1, "mode"))
        return isinstance(mode, str) and mode[:1] in ("w", "x")
    name = call.name.replace("()", "")
    return bool(_WRITERS.search(name)) and not name.startswith(("torch.", "joblib.", "pickle.", "json."))


def _paths(repo: Repo, call: Call) -> list[str]:
    """Fixed file names among the arguments of a call, joined ones included."""
    found = []
    for argument in [*call.node.args, *(k.value for k in call.node.keywords)]:
        value = values.constant(repo, call.module, argument)
        node = call.module.value(argument)
        if isinstance(node, ast.Call) and call.module.resolve(node.func) in ("os.path.join", "pathlib.Path"):
            parts = [values.constant(repo, call.module, part) for part in node.args]
            value = parts[-1] if parts and isinstance(parts[-1], str) else None
        if not isinstance(value, str) and isinstance(argument, ast.Name | ast.Attribute):
            value = _handed_down(repo, call, argument)
        if isinstance(value, str) and _FILE.fullmatch(value):
            found.append(value)
    return found


def _handed_down(repo: Repo, call: Call, argument: ast.expr) -> str | None:
    """The one fixed text behind a parameter or an attribute, set where the function is called or the object is made."""
    found: set[str] = set()
    for step in dataflow.sources(repo, call.module, argument):
        if isinstance(step.node, ast.Constant) and isinstance(step.node.value, str):
            found.add(step.node.value)
        elif isinstance(step.node, ast.Attribute):
            found.update(_set_in_class(repo, step.module.resolve(step.node.value), step.node.attr))
    return found.pop() if len(found) == 1 else None


def _set_in_class(repo: Repo, owner: str, attribute: str) -> Iterator[str]:
    """Fixed texts that the class of an object assigns to `self.attribute`."""
    known = repo.classes.get(owner.removesuffix("()"))
    for node in walk(known[1]) if known is not None else ():
        match node:
            case ast.Assign(
                targets=[ast.Attribute(value=ast.Name("self"), attr=name)], value=ast.Constant(value=str() as text)
            ) if name == attribute:
                yield text


# --- globals ----------------------------------------------------------------------------------------------------------


def _shared_globals(handler: Handler) -> Iterator[tuple[str, list[Site]]]:
    """Globals that a handler sets from a request and that a handler reads again to answer."""
    if _exchanges_model(handler):
        return
    for function in handler.functions:
        names = {name for node in walk(function.node) if isinstance(node, ast.Global) for name in node.names}
        for name in sorted(names):
            writes = [n for n in walk(function.node) if isinstance(n, ast.Assign) and _sets(n, name)]
            writes = [n for n in writes if not _is_set_up(handler.repo, function, n, name)]
            read = _read_back(handler.repo, function, name)
            if writes and read is not None:
                yield name, [function.module.site(writes[0]), read]


def _shared_talks(handler: Handler) -> Iterator[tuple[str, list[Site]]]:
    """Lists of a module that take what every caller says, and that are shown or handed to a model: `messages`."""
    function = handler.function
    seen: set[str] = set()
    for call in values.calls_of(function.module, function):
        match call.node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append" | "extend"), args=[value]):
                kept = function.module.bindings_of(name, None)
            case _:
                continue
        if name in seen or not _TALK.fullmatch(name) or not kept or function.module.bindings_of(name, function):
            continue
        starts = kept[-1].value
        if not isinstance(starts, ast.List) or "request" not in taint(handler.repo, function.module, value):
            continue
        shown = _shown(handler.repo, function.module, name)
        if shown is not None:
            seen.add(name)
            yield name, [call.site(), shown]


def _shown(repo: Repo, module: Module, name: str) -> Site | None:
    """Where a handler of the module hands a list of it on."""
    for handler in serving.handlers(repo):
        if handler.module is module:
            for node in walk(handler.function.node):
                if (
                    isinstance(node, ast.Name)
                    and node.id == name
                    and not isinstance(module.parent(node), ast.Attribute)
                ):
                    return module.site(node)
    return None


def _exchanges_model(handler: Handler) -> bool:
    """Whether a route is there to exchange the model that all are answered with, by its name."""
    paths = [route.path or "" for route in handler.routes]
    if any(_EXCHANGES.search(text) for text in (handler.function.node.name, *paths)):
        return True
    paths += map(ast.unparse, handler.function.node.decorator_list)  # where it is put together: f"{PREFIX}/model"
    put = any({"PUT", "PATCH"} & set(route.methods) for route in handler.routes)
    return put and not handler.model_calls and any(_OF_A_MODEL.search(path) for path in paths)


def _sets(node: ast.Assign, name: str) -> bool:
    flat = [t for target in node.targets for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return any(isinstance(t, ast.Name) and t.id == name for t in flat)


def _is_set_up(repo: Repo, function: Function, node: ast.Assign, name: str) -> bool:
    """Whether the value does not come from the request: a constant, or the model loaded on first use."""
    if isinstance(node.value, ast.Constant):
        return True
    for parent in function.module.ancestors(node):
        if isinstance(parent, ast.If) and any(isinstance(n, ast.Name) and n.id == name for n in walk(parent.test)):
            return True
        if parent is function.node:
            break
    return "request" not in taint(repo, function.module, node.value)


def _read_back(repo: Repo, writer: Function, name: str) -> Site | None:
    """Where a handler of the same module reads the global to answer."""
    for handler in serving.handlers(repo):
        for function in handler.functions:
            if function.module is not writer.module:
                continue
            for node in walk(function.node):
                if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
                    return function.module.site(node)
    return None


# --- the application's own state --------------------------------------------------------------------------------------

_STATE = re.compile(r"(\w+\.)*app(\[['\"]\w+['\"]\]|\.state\.\w+)")


def _shared_state(handler: Handler) -> Iterator[tuple[str, list[Site]]]:
    """What a handler puts on the application from a request, and a handler answers with: `request.app["model"] = …`."""
    function = handler.function
    for node in walk(function.node):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Subscript | ast.Attribute):
            continue
        name = ast.unparse(node.targets[0])
        if _STATE.fullmatch(name) is None or _is_set_up(handler.repo, function, node, name):
            continue
        for other in serving.handlers(handler.repo):
            read = next((n for n in walk(other.function.node) if _reads_state(n, name)), None)
            if read is not None:
                yield name, [function.module.site(node), other.module.site(read)]
                break


def _reads_state(node: ast.AST, name: str) -> bool:
    is_read = isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Load)
    return is_read and ast.unparse(node) == name
