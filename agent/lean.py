"""Import LangGraph without paying for its tracing client.

`import langgraph.graph` builds some two hundred pydantic classes of LangSmith's web API, more than half of its start-up
time, although tracing is off here. Two measures, both undone as soon as the import is over:

- classes defer building their validators until first use (pydantic's own `defer_build`);
- the package `langsmith.types` is entered in `sys.modules` without running its `__init__`, which imports every one of
  its modules only to re-export them; a name asked of it later loads the real package.

Where the user opts in to tracing, LangGraph is imported plainly.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from types import ModuleType

_HEAVY = "langsmith.types"


def prepare() -> None:
    """Set what LangGraph reads from the environment, unless the user has: no tracing, strict checkpoints."""
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    os.environ.setdefault("LANGCHAIN_TRACING_V2", "false")
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")


def import_langgraph() -> None:
    """Import `langgraph.graph` and the sqlite checkpointer, so that later imports of them cost nothing."""
    prepare()
    if "langgraph.graph" in sys.modules:
        return
    if os.environ["LANGSMITH_TRACING"].lower() in ("true", "1"):
        _import()
        return
    import pydantic

    pydantic.BaseModel.model_config["defer_build"] = True
    shell = _enter_shell()
    collected = gc.isenabled()
    gc.disable()  # thousands of classes are made, none becomes garbage
    try:
        _import()
    except ImportError:  # a release that wants a re-exported name: start afresh, without the short cut
        _forget()
        _import()
    finally:
        if collected:
            gc.enable()
        pydantic.BaseModel.model_config.pop("defer_build", None)
        if shell is not None and sys.modules.get(_HEAVY) is shell:
            del sys.modules[_HEAVY]


def _import() -> None:
    importlib.import_module("langgraph.graph")
    importlib.import_module("langgraph.checkpoint.sqlite.aio")


def _forget() -> None:
    for name in [n for n in sys.modules if n.split(".")[0] in ("langsmith", "langchain_core", "langgraph")]:
        del sys.modules[name]


def _enter_shell() -> ModuleType | None:
    """Enter `langsmith.types` as a package whose modules can be imported one by one."""
    try:
        spec = importlib.util.find_spec(_HEAVY)
    except ImportError:
        return None
    if spec is None or spec.submodule_search_locations is None or _HEAVY in sys.modules:
        return None
    shell = ModuleType(_HEAVY)
    shell.__path__ = list(spec.submodule_search_locations)
    shell.__spec__ = spec
    sys.modules[_HEAVY] = shell
    return shell
