"""The review as a LangGraph graph: called, mounted, as a tool; what a cancelled call leaves; what the import costs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, TypedDict

import psutil
import pytest
from langgraph.graph import END, START, StateGraph

from ml_engineer import ml_engineer_graph
from ml_engineer.interfaces.langgraph_export import ROOTS, ReviewError
from ml_engineer.interfaces.langgraph_export import ml_engineer_graph as exported
from ml_engineer.report.schema import STEP_NAMES
from ml_engineer.report.seal import digest, load
from tests.support.mcp_server import until
from tests.support.review import make_prototype

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder that may be named, with a repository in it."""
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC", "ML_ENGINEER")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ML_ENGINEER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(ROOTS, str(tmp_path / "allowed"))
    make_prototype(tmp_path / "allowed" / "prototype")
    make_prototype(tmp_path / "outside")
    return tmp_path / "allowed"


def test_a_call_gives_what_to_do_and_where_the_sealed_report_is(root: Path) -> None:
    answer = ml_engineer_graph.invoke({"path": "prototype"})
    report = load(Path(answer["report_path"]))
    assert answer["digest"] == report.digest == digest(report)
    assert answer["headline"].startswith("prototype: ")
    assert sum(answer["by_severity"].values()) == len(report.findings)
    assert answer["fix_first"][0]["place"].startswith("app.py:")
    assert len(json.dumps(answer)) < 8_000, "small enough to be read by a model"


def test_an_application_mounts_it_as_a_node_and_hears_its_progress(root: Path) -> None:
    class State(TypedDict, total=False):
        path: str
        headline: str
        verdict: str

    def judge(state: State) -> State:
        return {"verdict": f"judged: {state['headline']}"}

    graph = StateGraph(State)
    graph.add_node("review", ml_engineer_graph)
    graph.add_node("judge", judge)
    graph.add_edge(START, "review")
    graph.add_edge("review", "judge")
    graph.add_edge("judge", END)
    app = graph.compile()

    async def run() -> tuple[list[str], Any]:
        heard, last = [], None
        async for _, mode, data in app.astream(
            {"path": str(root / "prototype")}, stream_mode=["custom", "values"], subgraphs=True
        ):
            if mode == "custom":
                heard.append(data["ml_engineer"])
            else:
                last = data
        return heard, last

    heard, state = asyncio.run(run())
    assert len(heard) == len(STEP_NAMES) + 5
    assert (heard[0], heard[-1]) == ("survey", "seal")
    assert state["verdict"].startswith("judged: prototype: ")


def test_an_agent_gets_it_as_a_tool_with_typed_arguments(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain calls as_tool a beta
        tool = ml_engineer_graph.as_tool(name="review_repository", description="Reviews a repository.")
    assert set(tool.args) == {"path", "steps", "use_model"}
    assert tool.args["path"]["description"]
    answer = tool.invoke({"path": "prototype", "steps": [5]})
    assert answer["fix_first"][0]["rule"].startswith("MLE05")


def test_it_works_where_a_loop_is_running_already(root: Path) -> None:
    async def from_synchronous_code_in_a_loop() -> Any:
        return ml_engineer_graph.invoke({"path": "prototype", "steps": [5]})

    assert asyncio.run(from_synchronous_code_in_a_loop())["run_id"]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"path": "../outside"}, f"outside the folders.*{ROOTS}"),
        ({"path": "/"}, "outside the folders"),
        ({"path": "nowhere"}, "no such folder"),
        ({"path": "prototype", "steps": [11]}, "numbers from 1 to 10"),
    ],
)
def test_what_cannot_be_reviewed_is_an_error_that_says_why(request_: dict[str, Any], says: str) -> None:
    with pytest.raises(ReviewError, match=says):
        ml_engineer_graph.invoke(request_)


def test_a_caller_cannot_widen_the_roots(root: Path) -> None:
    everything = {"configurable": {ROOTS: ["/"], "ml_engineer_roots": ["/"]}}
    with pytest.raises(ReviewError, match="outside the folders"):
        ml_engineer_graph.invoke({"path": str(root.parent / "outside")}, everything)


def test_a_cancelled_call_leaves_no_process(root: Path) -> None:
    body = "\n".join(f"def f{n}(x):\n    return x + {n}\n" for n in range(300))
    for number in range(200):
        (root / "prototype" / f"module_{number}.py").write_text(body)
    mine = psutil.Process()
    before = {child.pid for child in mine.children(recursive=True)}

    def started() -> list[psutil.Process]:
        return [child for child in mine.children(recursive=True) if child.pid not in before]

    async def run() -> None:
        call = asyncio.ensure_future(ml_engineer_graph.ainvoke({"path": "prototype"}))
        await asyncio.to_thread(until, lambda: list((root.parent / "home").glob("runs/*/run.json")), "the run")
        assert started()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not started()

    asyncio.run(run())
    assert not list((root.parent / "home").glob("runs/*/report.json")), "it was stopped, not waited for"


def test_importing_the_package_stays_cheap_and_the_graph_is_one() -> None:
    assert ml_engineer_graph is exported
    check = "import ml_engineer, sys; assert not {'langgraph', 'pydantic', 'click'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
    with pytest.raises(ImportError):
        exec("from ml_engineer import no_such_thing")


def test_langgraph_json_names_the_graph() -> None:
    config = json.loads((REPOSITORY / "langgraph.json").read_text())
    path, _, name = config["graphs"]["ml_engineer"].partition(":")
    assert (REPOSITORY / path).resolve() == (REPOSITORY / "interfaces" / "langgraph_export.py")
    assert name == "ml_engineer_graph"
