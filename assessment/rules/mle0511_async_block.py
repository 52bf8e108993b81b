"""M5-11: blocking work inside an `async def` handler."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_BLOCKING = (
    "requests.get", "requests.post", "requests.put", "requests.request", "requests.Session().*", "time.sleep",
    "urllib.request.urlopen", "urllib.request.urlretrieve", "subprocess.run", "subprocess.check_output", "os.system",
)  # fmt: skip


def _is_async(handler: Handler) -> bool:
    return isinstance(handler.function.node, ast.AsyncFunctionDef)


def _has_async_route(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import model_handlers

    return any(_is_async(handler) for handler in model_handlers(repo))


@rule(
    id="MLE0511",
    name="async-block",
    step=5,
    severity=MEDIUM,
    title="An async handler runs the model on the event loop",
    why="While one prediction runs, the server answers no other request, health checks included.",
    remedy="Make the handler a plain `def`, or hand the work to a thread or a worker (run_in_threadpool).",
    source="FastAPI documentation, concurrency and async",
    peers=("aiops-specialist",),
    applies=_has_async_route,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import handlers

    groups: dict[str, list[Site]] = {}
    for handler in handlers(repo):
        if _is_async(handler):
            sites = [call.site() for call in _direct(handler) if _blocks(repo, call)]
            if sites:
                groups.setdefault(handler.module.path, []).extend(sites)
    for sites in groups.values():
        yield Hit(sites)


def _direct(handler: Handler) -> list[Call]:
    """Calls that run on the loop itself: not awaited, not in a lambda or a nested function handed to a thread."""
    from ml_engineer.assessment.values import calls_of

    module = handler.module
    return [
        call
        for call in calls_of(module, handler.function)
        if not isinstance(module.parent(call.node), ast.Await) and module.enclosing(call.node, ast.Lambda) is None
    ]


def _blocks(repo: Repo, call: Call) -> bool:
    """Whether the call is blocking work, or runs plain functions that do it."""
    from ml_engineer.assessment.repo import matches
    from ml_engineer.assessment.serving import reached, run_by
    from ml_engineer.assessment.values import calls_of, is_model_call, origin

    def works(inner: Call) -> bool:
        return matches(inner.name, *_BLOCKING) or is_model_call(repo, inner)

    if works(call):
        return True
    for start in run_by(repo, origin(repo, call.name)):
        if isinstance(start.node, ast.AsyncFunctionDef):
            continue
        for function in reached(repo, start, handed_over=False):
            if any(works(inner) for inner in calls_of(function.module, function)):
                return True
    return False
