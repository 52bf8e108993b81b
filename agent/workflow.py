"""The ten-step workflow as a graph.

    survey → step 1 → step 2 → steps 3 … 10 in parallel → delegate → synthesise → check_evidence → seal

Without a model each step's record follows from the assessment alone; with one (`Context.agent`) it starts from there.
The graph's state holds only which step ended how;
everything larger is an artefact of the run, written whole or not at all, so that a node that runs twice after a kill
does no harm and a resumed run picks up what is there.

`review(context)` runs the graph to its end, or goes on where an interrupted run stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypedDict, TypeVar

from ml_engineer.agent import handoffs, synthesise
from ml_engineer.agent.lean import callbacks, import_langgraph, sparing
from ml_engineer.agent.runs import Run, now
from ml_engineer.assessment.record import Assessment
from ml_engineer.assessment.secrets import Secrets
from ml_engineer.report.evidence import check_report
from ml_engineer.report.schema import STEP_NAMES, Model, Report, StepRecord, Suppressed
from ml_engineer.report.seal import seal

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

ORDERED = (1, 2)  # the steps that the others build on
PARALLEL = tuple(range(3, 11))
RECURSION_LIMIT = 50
_Kept = TypeVar("_Kept", bound=Model)


def merge(left: dict[int, str], right: dict[int, str]) -> dict[int, str]:
    """Reducer: parallel steps write their own keys."""
    return {**left, **right}


class StepAgent(Protocol):
    """A model at the steps (`agent.steps.Steps`)."""

    @property
    def model(self) -> str: ...

    @property
    def folder(self) -> Path:
        """Where the records of what it did are kept."""
        ...

    async def work(self, assessment: Assessment, engine: StepRecord, earlier: Sequence[StepRecord]) -> StepRecord:
        """The engine's record with what the model adds to it; never raises for what a model or a server does."""
        ...


class State(TypedDict, total=False):
    """What the checkpoints hold: how each step ended, and how far the report is."""

    steps: Annotated[dict[int, str], merge]
    stage: str


@dataclass
class Context:
    """What the nodes work with; never stored, given anew on every resume."""

    run: Run
    root: Path
    survey: Callable[[], Awaitable[Assessment]]
    steps: frozenset[int] = frozenset(STEP_NAMES)
    known: frozenset[str] = frozenset()  # fingerprints of a baseline
    baseline: str | None = None
    agent: StepAgent | None = None
    peers: handoffs.Peers | None = None  # None: nobody can be asked, briefs are queued
    _kept: dict[str, Model] = field(default_factory=dict, repr=False)

    @property
    def evidence_root(self) -> Path:
        """Where the report's evidence stands."""
        return self.root

    def assessment(self) -> Assessment:
        """The survey's result."""
        return self.kept("survey.json", Assessment)

    def record(self, step: int) -> StepRecord:
        """The record that a finished step has left."""
        return self.kept(f"step-{step:02d}.json", StepRecord)

    def keep(self, name: str, model: Model, text: str | None = None) -> None:
        """Leave something to the nodes that follow, in this process or in one that resumes the run. `text` is its JSON
        where that is to be read by people."""
        self.run.write(name, (text or model.model_dump_json()).encode())
        self._kept[name] = model

    def kept(self, name: str, kind: type[_Kept]) -> _Kept:
        """What an earlier node has left under this name, from memory or from the run. Not to be changed."""
        known = self._kept.get(name)
        if isinstance(known, kind):
            return known
        data = self.run.read(name)
        assert data is not None, "a node leaves its artefact before it is marked done"
        found = self._kept[name] = kind.model_validate_json(data)
        return found


def build_graph() -> Any:
    """The workflow as an uncompiled LangGraph graph over `State` and `Context`."""
    import_langgraph()
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(State, context_schema=Context)
    graph.add_node("survey", survey_node)
    for step in STEP_NAMES:
        graph.add_node(node_name(step), _step_node(step))
    graph.add_node("delegate", delegate_node)
    graph.add_node("synthesise", _synthesise)
    graph.add_node("check_evidence", evidence_node)
    graph.add_node("seal", seal_node)
    chain = [START, "survey", *(node_name(step) for step in ORDERED)]
    for left, right in pairwise(chain):
        graph.add_edge(left, right)
    for step in PARALLEL:
        graph.add_edge(chain[-1], node_name(step))
    graph.add_edge([node_name(step) for step in PARALLEL], "delegate")
    graph.add_edge("delegate", "synthesise")
    graph.add_edge("synthesise", "check_evidence")
    graph.add_edge("check_evidence", "seal")
    graph.add_edge("seal", END)
    return graph


def node_name(step: int) -> str:
    """Name of a step's node, for example `step_04_training_pipeline`."""
    words = STEP_NAMES[step].lower().replace("/", " ").split()
    return f"step_{step:02d}_{'_'.join(words)}"


async def review(context: Context) -> Report:
    """Run the workflow, or go on with it where the run was interrupted, and give the sealed report."""
    import_langgraph()
    run = context.run
    run.costly = context.agent is not None or (context.peers is not None and context.peers.asks)
    config = {"configurable": {"thread_id": run.id}, "recursion_limit": RECURSION_LIMIT, **callbacks()}
    with sparing() if context.agent is None else nullcontext():
        if run.folder is None:
            from langgraph.checkpoint.memory import InMemorySaver

            await _drive(build_graph().compile(checkpointer=InMemorySaver()), config, context)
        else:
            from ml_engineer.agent.checkpoints import open_checkpoints

            # Not each commit is flushed to the disk: what a loss of power takes from the checkpoints, the artefacts of
            # a run that costs something still have.
            with open_checkpoints(run.folder / "graph.db", "NORMAL" if run.costly else "OFF") as saver:
                await _drive(build_graph().compile(checkpointer=saver), config, context)
    return context.kept("report.json", Report)


async def _drive(app: CompiledStateGraph[State, Context, State, State], config: Any, context: Context) -> None:
    started = await app.aget_state(config)
    run = context.run
    run.event("resumed" if started.next else "started", target=str(context.root))
    start: State | None = None if started.next else {"steps": {}, "stage": "survey"}
    async for update in app.astream(start, config, context=context, stream_mode="updates", durability="sync"):
        for name in update:
            run.event("node", node=name)
    run.event("finished")


# --- nodes ------------------------------------------------------------------------------------------------------------


async def survey_node(state: State, runtime: Any) -> State:
    context: Context = runtime.context
    if context.run.read("survey.json") is None:
        assessment, _ = await asyncio.gather(context.survey(), handoffs.get_ready(context.peers))
        context.keep("survey.json", assessment)
    return {"stage": "surveyed"}


def _step_node(step: int) -> Any:
    async def node(state: State, runtime: Any) -> State:
        context: Context = runtime.context
        wanted = step in context.steps
        record = synthesise.step_record(context.assessment(), step, wanted=wanted)
        if wanted and context.agent is not None:
            record = await _with_model(context, context.agent, record)
        context.keep(f"step-{step:02d}.json", record)
        return {"steps": {step: record.state.value}}

    return node


async def _with_model(context: Context, agent: StepAgent, engine: StepRecord) -> StepRecord:
    """The model's record of the step. One that is there already was made by a process that was killed right after."""
    if context.run.read(f"step-{engine.step:02d}.json") is not None:
        return context.record(engine.step)
    earlier = [context.record(step) for step in ORDERED if step < engine.step]
    asked = [record for record in earlier if record.step in context.steps]
    return await agent.work(context.assessment(), engine, asked)


async def delegate_node(state: State, runtime: Any) -> State:
    context: Context = runtime.context
    await hand_on(context, context.assessment(), [context.record(step) for step in STEP_NAMES])
    return {"stage": "delegated"}


async def hand_on(context: Context, assessment: Assessment, records: list[StepRecord]) -> None:
    """Hand on what is not our trade in these records, to peers that see the files of the evidence."""
    run, root = context.run, context.evidence_root
    peers = context.peers or handoffs.open_peers(run, root, assessment.repository.name, ask=False)
    secrets = Secrets.of(assessment.findings, root)
    await handoffs.hand_on(run, peers, records, secrets, run.meta.get("task") or "", context.known)


async def _synthesise(state: State, runtime: Any) -> State:
    context: Context = runtime.context
    report = synthesise.report(
        context.assessment(),
        [context.record(step) for step in STEP_NAMES],
        made=handoffs.made(context.run),
        run_id=context.run.id,
        started=context.run.meta["started"],
        model=context.agent.model if context.agent is not None else None,
    )
    context.keep("draft.json", _apply_baseline(report, context))
    return {"stage": "synthesised"}


def _apply_baseline(report: Report, context: Context) -> Report:
    """Put findings that the baseline knows aside, so that the report shows what is new."""
    if not context.known:
        return report
    new = [finding for finding in report.findings if finding.fingerprint not in context.known]
    aside = [
        Suppressed(
            rule=finding.rule,
            path=synthesise.first_path(finding),
            reason=f"known in the baseline {context.baseline}",
            origin="baseline",
            fingerprint=finding.fingerprint,
        )
        for finding in report.findings
        if finding.fingerprint in context.known
    ]
    return report.model_copy(update={"findings": new, "suppressed": [*report.suppressed, *aside]})


async def evidence_node(state: State, runtime: Any) -> State:
    context: Context = runtime.context
    records = context.agent.folder if context.agent is not None else context.run.folder
    checked = check_report(context.kept("draft.json", Report), context.evidence_root, records)
    checked = synthesise.with_gates(checked, [context.run.read(f"step-{step:02d}.gate.json") for step in STEP_NAMES])
    context.keep("checked.json", checked)
    return {"stage": "checked"}


async def seal_node(state: State, runtime: Any) -> State:
    context: Context = runtime.context
    report = context.kept("checked.json", Report)
    finished = report.model_copy(update={"run": report.run.model_copy(update={"finished": now()})})
    sealed = seal(finished)
    context.keep("report.json", sealed, sealed.to_json())
    return {"stage": "sealed"}
