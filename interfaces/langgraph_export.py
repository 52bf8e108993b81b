"""The review as a graph for other LangGraph applications: `from ml_engineer import ml_engineer_graph`.

    ml_engineer_graph.invoke({"path": "churn"})                    headline, what to fix first, where the report is
    builder.add_node("review", ml_engineer_graph)                  in a graph whose state has the same keys
    ml_engineer_graph.as_tool(name=…, description=…)               for an agent

The work is done in a process of its own, which ends with the call: nothing of the application's environment, event loop
or tracing is touched. Paths are confined to the folders in the environment's ML_ENGINEER_ROOTS, else to the current
one: where the graph is a tool or served, a model or a client writes them. `stream_mode="custom"` gives the progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableLambda
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from ml_engineer.interfaces.jobs import review_meta
from ml_engineer.interfaces.options import ALL_STEPS, Refusal
from ml_engineer.interfaces.serve.common import Refused, Roots
from ml_engineer.interfaces.serve.narrate import headline
from ml_engineer.report.schema import Finding, Report
from ml_engineer.report.summary import summarise
from ml_engineer.report.text import where

ROOTS = "ML_ENGINEER_ROOTS"  # folders, separated as in PATH
_LINE = 64 << 20  # bytes of one line from the child; a report is one
_CHILD = "from ml_engineer.interfaces.langgraph_export import child; child()"


class ReviewError(Exception):
    """There is no review. The message says why, and what to do."""


class ReviewRequest(BaseModel):
    """What is reviewed, and how."""

    path: str = Field(description="The repository's folder, absolute or relative to the first allowed one.")
    steps: list[int] = Field([], description="Only these steps, numbers from 1 to 10; all by default.")
    use_model: bool = Field(False, description="Add a model's judgement; without it no key and no network is needed.")


class Fix(TypedDict):
    """One thing to fix. `place` is path:line."""

    severity: str
    rule: str
    title: str
    remedy: str
    place: str


class ReviewAnswer(TypedDict):
    """The outcome. The whole sealed report is in the file `report_path` (None where it could not be kept)."""

    run_id: str
    report_path: str | None
    digest: str
    headline: str
    readiness: int | None
    by_severity: dict[str, int]
    fix_first: list[Fix]
    peers: list[str]


class ReviewState(ReviewAnswer, total=False):
    path: str
    steps: list[int]
    use_model: bool


def build() -> CompiledStateGraph[ReviewState, None, ReviewRequest, ReviewAnswer]:
    """One node, with and without an event loop."""
    graph = StateGraph(ReviewState, input_schema=ReviewRequest, output_schema=ReviewAnswer)
    graph.add_node("review", RunnableLambda(_review, afunc=_areview), input_schema=ReviewRequest)
    graph.add_edge(START, "review")
    graph.add_edge("review", END)
    return graph.compile(name="ml_engineer")


def _review(request: ReviewRequest) -> ReviewAnswer:
    work = _work(_meta(request), get_stream_writer())
    with ThreadPoolExecutor(1) as thread:  # there may be a loop in this thread already
        return thread.submit(asyncio.run, work).result()


async def _areview(request: ReviewRequest) -> ReviewAnswer:
    meta = await asyncio.to_thread(_meta, request)
    return await _work(meta, get_stream_writer())


def _meta(request: ReviewRequest) -> dict[str, Any]:
    roots = [Path(part) for part in os.environ.get(ROOTS, "").split(os.pathsep) if part]
    steps = frozenset(request.steps or ALL_STEPS)
    if not steps <= ALL_STEPS:
        raise ReviewError(f"steps are {sorted(steps)}; give numbers from 1 to 10")
    try:
        root = Roots.open(roots).resolve(request.path)
        return review_meta(root, offline=not request.use_model, steps=steps)
    except Refusal as error:
        raise ReviewError(error.message) from error
    except Refused as error:
        raise ReviewError(f"{error}; {ROOTS} can name others") from error


async def _work(meta: dict[str, Any], write: Callable[[Any], None]) -> ReviewAnswer:
    """The review in a child, which is killed with all it started when this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
        start_new_session=True,
    )
    assert process.stdin is not None, "it was asked for"
    assert process.stdout is not None, "it was asked for"
    try:
        process.stdin.write(json.dumps(meta).encode())
        process.stdin.close()
        async for line in process.stdout:
            message = json.loads(line)
            if "done" in message:
                return await asyncio.to_thread(_answer, message["done"])
            if "refused" in message:
                raise ReviewError(message["refused"])
            if message["event"]["type"] == "node":
                write({"ml_engineer": message["event"]["node"]})
        raise ReviewError(f"the review's process ended with {await process.wait()} and no result; see its stderr")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


def _answer(done: dict[str, Any]) -> ReviewAnswer:
    report = Report.model_validate_json(done["report"])
    summary = summarise(report)
    return ReviewAnswer(
        run_id=report.run.id,
        report_path=str(Path(done["folder"]) / "report.json") if done["folder"] else None,
        digest=report.digest,
        headline=headline(report),
        readiness=summary.readiness,
        by_severity={severity.value: count for severity, count in summary.by_severity.items()},
        fix_first=[_fix(finding) for finding in summary.fix_first],
        peers=[handoff.peer for handoff in report.handoffs],
    )


def _fix(finding: Finding) -> Fix:
    return Fix(
        severity=finding.severity.value,
        rule=finding.rule,
        title=finding.title,
        remedy=finding.remedy,
        place=where(finding.evidence[0]),
    )


def child() -> None:
    """The child's work: a meta on stdin, lines of JSON on stdout, which nothing else may write to."""
    import click

    from ml_engineer.interfaces.pool import review_in_child

    meta = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)

        def send(message: dict[str, Any]) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        try:
            send({"done": review_in_child(meta, lambda event: send({"event": event}))})
        except click.ClickException as error:
            send({"refused": error.message})


ml_engineer_graph = build()
