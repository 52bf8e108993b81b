"""Import LangGraph without paying for what it drags in and a graph never touches.

Most of the start-up time of `import langgraph.graph` goes to the tracing client of LangSmith, the client of LangGraph's
server, two HTTP libraries and pydantic's first version, of which a graph that runs in this process uses nothing while
tracing is off. These are set aside (agent/later.py): whoever asks for one later gets the real thing. The pydantic
classes that remain build their validators at first use (pydantic's own `defer_build`).

Where the user opts in to tracing, LangGraph is imported plainly; so it is where a release does not bear the short cut.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any

from ml_engineer.agent.later import Aside, forget

# Asked for by name when langgraph.graph is imported, used by nothing that a graph does without tracing.
_UNUSED = (
    "langchain_core.tracers.event_stream",
    "langchain_core.tracers.langchain",
    "langchain_core.tracers.log_stream",
    "langchain_core.tracers.root_listeners",
    "langchain_core.tracers.schemas",
    "langchain_protocol",
    "langchain_protocol.protocol",
    "importlib.metadata",
    "langgraph_sdk",
    "langgraph_sdk.auth",
    "langgraph_sdk.auth.types",
    "pydantic.v1",
    "requests",
    "urllib.request",
    "xml.sax.saxutils",
)
_FAMILIES = ("langchain_core", "langchain_protocol", "langgraph", "langgraph_sdk", "langsmith", "requests")
_TRACING = ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2")


def prepare() -> None:
    """Set what LangGraph reads from the environment, unless the user has: no tracing, strict checkpoints."""
    for name in _TRACING:
        os.environ.setdefault(name, "false")
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")


def import_models() -> None:
    """Import pydantic and the report's models without what pydantic loads for others.

    It looks through all installed distributions for plugins, of which none has a use here. And its core's types, which
    tell type checkers how its dictionaries look and are used for nothing else, have each annotation compiled.
    """
    switch = "PYDANTIC_DISABLE_PLUGINS"
    before = os.environ.get(switch)
    os.environ[switch] = "__all__"
    try:
        with Aside("importlib.metadata"):
            _import_core()
            importlib.import_module("ml_engineer.assessment.record")
    finally:
        if before is None:
            del os.environ[switch]
        else:
            os.environ[switch] = before


def _import_core() -> None:
    extensions: Any = importlib.import_module("typing_extensions")
    real, extensions.TypedDict = extensions.TypedDict, _Bare
    try:
        importlib.import_module("pydantic_core.core_schema")
    except (AttributeError, ImportError, TypeError):  # a release that asks more of its types: start afresh
        forget("pydantic_core")
    finally:
        extensions.TypedDict = real


class _Bare(dict[str, Any]):
    """Stands for TypedDict: a class that does not look at its annotations."""

    def __init_subclass__(cls, total: bool = True) -> None:
        """Taken as TypedDict takes it, and of no consequence."""


def import_langgraph() -> None:
    """Import `langgraph.graph` and the sqlite checkpointer, so that later imports of them cost nothing."""
    prepare()
    if "langgraph.graph" in sys.modules:
        return
    if traced():
        _import()
        return
    import pydantic

    pydantic.BaseModel.model_config["defer_build"] = True
    collected = gc.isenabled()
    gc.disable()  # thousands of classes are made, none becomes garbage
    try:
        with Aside(*_UNUSED):
            _import()
            _use_given_callbacks()
    except (AttributeError, ImportError, TypeError):  # a release that uses one of them at import: start afresh
        forget(*_FAMILIES)
        _import()
    finally:
        if collected:
            gc.enable()
        pydantic.BaseModel.model_config.pop("defer_build", None)


def traced() -> bool:
    """Whether the user has opted in to LangSmith's tracing."""
    return any(os.environ.get(name, "").lower() in ("true", "1") for name in _TRACING)


def sparing() -> Aside:
    """The block in which a graph without a model is compiled and run: LangGraph asks every type in its state whether it
    is a model of pydantic's first version, and only to say no it need not be imported."""
    return Aside("pydantic.v1")


def callbacks() -> dict[str, Any]:
    """What a graph's config says of callbacks: none, so that LangGraph does not load a tracer to see whether to trace.

    Where the user has opted in it says nothing, and LangGraph looks for itself.
    """
    if traced():
        return {}
    from langchain_core.callbacks.manager import AsyncCallbackManager

    return {"callbacks": AsyncCallbackManager(handlers=[])}


def _import() -> None:
    importlib.import_module("langgraph.graph")
    importlib.import_module("langgraph.checkpoint.sqlite")


def _use_given_callbacks() -> None:
    """Let graphs take the callbacks that they are given as they are, as LangGraph does for a single node.

    The function of langchain_core that they call instead loads the tracers, to add one where tracing is on.
    """
    nodes, graphs = sys.modules.get("langgraph._internal._config"), sys.modules.get("langgraph.pregel.main")
    name = "get_async_callback_manager_for_config"
    if nodes is not None and graphs is not None and hasattr(nodes, name) and hasattr(graphs, name):
        setattr(graphs, name, getattr(nodes, name))
