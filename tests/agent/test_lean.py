"""What importing LangGraph leaves out, and that it is there for whoever asks. Each case is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GRAPH = """
import asyncio, json, sys
from ml_engineer.agent import lean
def loaded():
    return [name for name in ("langsmith", "httpx", "urllib3", "rich") if name in sys.modules]
async def walk():
    from ml_engineer.agent.checkpoints import open_checkpoints
    from langgraph.graph import END, START, StateGraph
    from typing import TypedDict
    class State(TypedDict, total=False):
        steps: int
    async def node(state):
        return {"steps": state.get("steps", 0) + 1}
    graph = StateGraph(State)
    graph.add_node("one", node)
    graph.add_edge(START, "one")
    graph.add_edge("one", END)
    with open_checkpoints(":memory:", "OFF") as saver:
        app = graph.compile(checkpointer=saver)
        config = {"configurable": {"thread_id": "t"}, **lean.callbacks()}
        updates = [update async for update in app.astream({"steps": 1}, config, stream_mode="updates")]
        return updates, (await app.aget_state(config)).values
def run():
    lean.import_langgraph()
    with lean.sparing():
        return asyncio.run(walk())
WALKED = ([{"one": {"steps": 2}}], {"steps": 2})
"""


def python(program: str, **environment: str) -> Any:
    """What the program prints as JSON on its last line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LANG", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:ml_engineer", "-c", GRAPH + program],
        cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_graph_runs_without_what_it_does_not_use() -> None:
    walked, loaded, first = python("print(json.dumps([run() == WALKED, loaded(), 'pydantic.v1.main' in sys.modules]))")
    assert walked
    assert loaded == []
    assert not first


def test_a_review_without_a_model_uses_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "train.py").write_text("import pickle\nmodel = pickle.load(open('model.pkl', 'rb'))\n")
    program = f"""
from ml_engineer.interfaces.cli import cli
cli.main(["review", {str(tmp_path / "target")!r}, "--offline", "--format", "json", "-o", {str(tmp_path / "r.json")!r}],
         standalone_mode=False)
print(json.dumps([loaded(), [name for name in ('pydantic.v1.main', 'anthropic', 'jinja2') if name in sys.modules]]))
"""
    assert python(program, ML_ENGINEER_HOME=str(tmp_path / "home")) == [[], []]
    assert json.loads((tmp_path / "r.json").read_bytes())["findings"]


def test_what_was_left_out_is_real_for_whoever_asks() -> None:
    program = """
run()
import langchain_core.utils.utils as utils
from requests import HTTPError, Response
answer = Response()
answer.status_code, answer._content = 500, b"overloaded"
try:
    utils.raise_for_status_with_text(answer)
except ValueError as error:
    said = str(error)
except HTTPError as error:
    said = repr(error)
from langchain_core.tracers.langchain import LangChainTracer
from langchain_core.tracers.schemas import Run
from langgraph_sdk import get_client
from langsmith import RunTree
import langgraph._internal._runnable as nodes, langgraph_sdk, langchain_core.utils.pydantic as models
from pydantic.v1 import BaseModel
class Old(BaseModel):
    size: int
print(json.dumps([
    said, Run is RunTree, nodes.LangChainTracer is LangChainTracer, isinstance(LangChainTracer, type),
    get_client.__module__, langgraph_sdk.auth.types.BaseUser.__name__,
    models.is_basemodel_subclass(Old), models.is_basemodel_instance(Old(size=1)), Old(size="3").size, run() == WALKED,
]))
"""
    said, *others, module, user, kind, instance, size, again = python(program)
    assert "overloaded" in said
    assert others == [True, True, True]
    assert module.startswith("langgraph_sdk.")
    assert user == "BaseUser"
    assert (kind, instance, size, again) == (True, True, 3, True)


def test_a_graph_streams_its_events_for_whoever_asks() -> None:
    program = """
run()
from langgraph.graph import END, START, StateGraph
graph = StateGraph(dict)
graph.add_node("one", lambda state: {"done": True})
graph.add_edge(START, "one")
graph.add_edge("one", END)
async def events():
    return [event["event"] async for event in graph.compile().astream_events({}, version="v2")]
print(json.dumps(asyncio.run(events())))
"""
    events = python(program)
    assert events[0] == "on_chain_start"
    assert events[-1] == "on_chain_end"


def test_a_tracer_that_is_given_traces() -> None:
    program = """
lean.import_langgraph()
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
collector = RunCollectorCallbackHandler()
lean.callbacks = lambda: {"callbacks": [collector]}
print(json.dumps([asyncio.run(walk()) == WALKED, [run.name for run in collector.traced_runs]]))
"""
    walked, names = python(program)
    assert walked
    assert names == ["LangGraph"]


def test_who_opts_in_to_tracing_gets_langgraph_as_it_is() -> None:
    program = """
import langgraph
lean.import_langgraph()
from langchain_core.tracers.schemas import Run
from ml_engineer.agent.later import Later
print(json.dumps([loaded(), isinstance(Run, Later), lean.callbacks()]))
"""
    loaded, later, callbacks = python(program, LANGCHAIN_TRACING_V2="true", LANGSMITH_ENDPOINT="http://127.0.0.1:9")
    assert {"langsmith", "httpx", "urllib3"} <= set(loaded)
    assert not later
    assert callbacks == {}


def test_what_somebody_has_imported_before_is_used() -> None:
    program = """
import requests, langchain_core.tracers.langchain as tracers
response = requests.Response
run()
import langchain_core.utils.utils as utils, langgraph._internal._runnable as nodes
print(json.dumps([utils.Response is response, nodes.LangChainTracer is tracers.LangChainTracer]))
"""
    assert python(program) == [True, True]


def test_a_release_that_does_not_bear_it_is_imported_plainly() -> None:
    program = """
plain = lean._import
def sensitive():
    plain()
    if any(type(value).__name__ == "Later" for value in vars(sys.modules["langchain_core.tracers.core"]).values()):
        raise TypeError("unsupported operand")
lean._import = sensitive
print(json.dumps([run() == WALKED, "langsmith" in sys.modules]))
"""
    assert python(program) == [True, True]


def test_a_module_that_a_release_lacks_does_not_matter() -> None:
    program = """
lean._UNUSED = (*lean._UNUSED, "langgraph.no_such_module", "no_such_package.part")
print(json.dumps([run() == WALKED, loaded()]))
"""
    assert python(program) == [True, []]


def test_models_come_without_what_pydantic_loads_for_others() -> None:
    program = """
lean.import_models()
aside = "email" not in sys.modules
import importlib.metadata, typing_extensions
from pydantic import TypeAdapter
class Fields(typing_extensions.TypedDict, total=False):
    number: int
read = TypeAdapter(Fields).validate_json('{"number": "3"}')
print(json.dumps([aside, read, importlib.metadata.version("pydantic"), list(Fields.__annotations__)]))
"""
    aside, read, version, fields = python(program)
    assert aside
    assert read == {"number": 3}
    assert version[0].isdigit()
    assert fields == ["number"]


def test_a_core_that_asks_more_of_its_types_is_imported_plainly() -> None:
    program = """
class Less(dict):
    pass
lean._Bare = Less
lean.import_models()
from pydantic_core import core_schema
from ml_engineer.report.schema import Usage
print(json.dumps([issubclass(core_schema.IntSchema, Less), Usage.model_validate({}).turns]))
"""
    assert python(program) == [False, 0]
