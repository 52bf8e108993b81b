"""Changing a repository: assess, plan, approval, then step by step on a branch of the run's own.

    survey → plan → approve → step 1 → … → step 10 → verify → assess again → delegate → synthesise → check_evidence
    → seal

Only steps that the plan names cost anything. Each ends with its checks: passed, it is a commit; failed, its changes are
kept as a patch and taken back, so that the next step stands on ground that holds. At the end all checks run again, and
the engine assesses what is there now: the report speaks of the branch, not of what the repository was.

`implement(job)` runs it, or goes on where an interrupted run stopped. The plan is approved through `job.approve`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from ml_engineer.agent import handoffs, synthesise
from ml_engineer.agent.branch import Branch, Commands, StepChecks
from ml_engineer.agent.budget import Caps
from ml_engineer.agent.calls import Gate
from ml_engineer.agent.ending import Why
from ml_engineer.agent.lean import import_langgraph
from ml_engineer.agent.plan import Plan, PlanGate, PlannedStep, PlanTools
from ml_engineer.agent.prompts import render
from ml_engineer.agent.steps import READING, Steps, agent_name
from ml_engineer.agent.toolbox import RepositoryTools
from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Transcript
from ml_engineer.agent.workflow import Context, State, evidence_node, hand_on, node_name, seal_node, survey_node
from ml_engineer.assessment.record import Assessment
from ml_engineer.report.schema import (
    STEP_NAMES,
    Change,
    Claim,
    ClaimState,
    CommandRun,
    Report,
    StepRecord,
    StepState,
    Usage,
)
from ml_engineer.report.text import one_line
from ml_engineer.tools.permissions import Permissions
from ml_engineer.tools.registry import TOOLS
from ml_engineer.tools.worktree import Worktree

PLAN_TURNS = 40
VERIFICATION = "verification"
RECURSION_LIMIT = 60
_OURS = frozenset({"request", "too long"})  # failures of a step's own conversation, which would only come again
_OF_CHANGES = (ClaimState.IMPLEMENTED, ClaimState.MEASURED)  # said of the code as a step has left it
_OWN = (*_OF_CHANGES, ClaimState.PROPOSED)


class Stopped(Exception):
    """The run cannot go on now. The message says why; the run can be resumed unless `final`. `what`: the cap that was
    reached, if one was (`BudgetSpent.what`)."""

    def __init__(self, message: str, *, final: bool = False, what: str = "") -> None:
        super().__init__(message)
        self.final = final
        self.what = what


@dataclass
class Job(Context):
    """One implementation. `root` is the target, which is never touched; the work is done in `worktree`."""

    task: str = ""
    worktree: Worktree = field(kw_only=True)
    steps_agent: Steps = field(kw_only=True)
    permissions: Permissions = field(kw_only=True)
    gate: Gate = field(kw_only=True)
    approve: Callable[[Plan], Awaitable[bool]] = field(kw_only=True)

    def __post_init__(self) -> None:
        self.agent = self.steps_agent
        self.branch = Branch(self.worktree, self.run, self.steps_agent.ledger)

    @property
    def evidence_root(self) -> Path:
        return self.worktree.folder

    def plan(self) -> Plan:
        data = self.run.read("plan.json")
        assert data is not None, "the plan node ends before any step"
        return Plan.model_validate_json(data)

    def commands(self, agent: str) -> Commands:
        steps = self.steps_agent
        return Commands(agent, steps.context, self.gate, steps.ledger, steps.folder)


def build_graph() -> Any:
    """The workflow as an uncompiled LangGraph graph over `State` and `Job`."""
    import_langgraph()
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(State, context_schema=Job)
    nodes: dict[str, Any] = {"survey": survey_node, "plan": _plan, "approve": _approve}
    nodes |= {node_name(step): _step_node(step) for step in STEP_NAMES}
    nodes |= {"verify": _verify, "assess_again": _assess_again, "delegate": _delegate, "synthesise": _synthesise}
    nodes |= {"check_evidence": evidence_node, "seal": seal_node}
    for name, node in nodes.items():
        graph.add_node(name, node)
    for left, right in pairwise([START, *nodes, END]):
        graph.add_edge(left, right)
    return graph


async def implement(job: Job) -> Report:
    """The sealed report. Raises Stopped where the run cannot go on."""
    import_langgraph()
    from ml_engineer.agent.checkpoints import open_checkpoints

    assert job.run.folder is not None, "an implementation is kept on disk"
    config = {"configurable": {"thread_id": job.run.id}, "recursion_limit": RECURSION_LIMIT}
    with open_checkpoints(job.run.folder / "graph.db", "FULL") as saver:
        await _drive(build_graph().compile(checkpointer=saver), config, job)
    data = job.run.read("report.json")
    assert data is not None, "the seal node leaves the report"
    return Report.model_validate_json(data)


async def _drive(app: Any, config: Any, job: Job) -> None:
    from langgraph.types import Command

    state = await app.aget_state(config)
    job.run.event("resumed" if state.next else "started", target=str(job.root))
    step: Any = None if state.next else {"steps": {}, "stage": "survey"}
    if state.interrupts:
        step = Command(resume=await job.approve(job.plan()))
    while step is not None or state.next:
        async for update in app.astream(step, config, context=job, stream_mode="updates", durability="sync"):
            for name in update:
                job.run.event("node", node=name)
        state = await app.aget_state(config)
        if not state.next:
            break
        step = Command(resume=await job.approve(job.plan()))
    job.run.event("finished")


# --- planning ---------------------------------------------------------------------------------------------------------


async def _plan(state: State, runtime: Any) -> State:
    job: Job = runtime.context
    if job.run.read("plan.json") is None:
        plan, usage = await _ask_for_plan(job)
        job.run.write("plan-usage.json", usage.model_dump_json().encode())
        job.run.write("plan.json", plan.model_dump_json(indent=1).encode())
    return {"stage": "planned"}


async def _ask_for_plan(job: Job) -> tuple[Plan, Usage]:
    """A conversation that only reads, and ends with a plan."""
    steps = job.steps_agent
    transcript = Transcript(steps.folder / "agents" / "plan.jsonl")
    budget = steps.budget.child("plan", Caps(turns=PLAN_TURNS))
    repository = RepositoryTools(steps.context, {name: TOOLS[name] for name in READING})
    tools = PlanTools(repository, job.permissions)
    loop = ToolLoop(
        steps.client,
        transcript,
        tools,
        system=steps.system(job.assessment()),
        budget=budget,
        ledger=steps.ledger,
        gate=PlanGate(job.gate),
        notify=steps.notify,
        finisher="propose_plan",
    )
    try:
        ending = await loop.run(opening_of_plan(job.assessment(), job.task))
    finally:
        transcript.close()
    if ending.why is not Why.FINISHED:
        what = ending.data["what"] if ending.why is Why.BUDGET else ""
        raise Stopped(f"there is no plan ({ending.why.value}): {one_line(ending.text)}", what=what)
    return Plan.model_validate(ending.data["plan"]), budget.usage()


def opening_of_plan(assessment: Assessment, task: str) -> str:
    """What the planning agent is told: the task, and the findings that weigh most."""
    worst = [one for one in assessment.findings if one.severity.rank <= 2][:60]
    lines = [f"step {one.step} {one.severity.value} {one.rule}: {one_line(one.title)}" for one in worst]
    return render("plan.md.j2", task=task, findings="\n".join(lines), names=STEP_NAMES)


async def _approve(state: State, runtime: Any) -> State:
    """Stops the graph until a person, or the mode that was chosen beforehand, has said yes."""
    from langgraph.types import interrupt

    job: Job = runtime.context
    if not interrupt({"plan": job.plan().model_dump()}):
        raise Stopped("the plan was not approved; nothing was changed", final=True)
    return {"stage": "approved"}


# --- the steps --------------------------------------------------------------------------------------------------------


def _step_node(step: int) -> Any:
    async def node(state: State, runtime: Any) -> State:
        job: Job = runtime.context
        if job.run.read(f"{agent_name(step)}.json") is None:
            record = await _work(job, step)
            job.run.write(f"{agent_name(step)}.json", record.model_dump_json().encode())
        return {"steps": {step: job.record(step).state.value}}

    return node


async def _work(job: Job, step: int) -> StepRecord:
    engine = synthesise.step_record(job.assessment(), step, wanted=True)
    planned = job.plan().step(step)
    if planned is None:
        return engine
    agent, steps = agent_name(step), job.steps_agent
    steps.context.step = agent
    checks = StepChecks(planned.checks, job.commands(agent), job.branch)
    earlier = [job.record(one.step) for one in job.plan().steps if one.step < step]
    opening = steps.opening(engine, earlier, task=job.task, plan=_plan_text(planned))
    talk = await steps.converse(agent, job.assessment(), engine, opening, checks)
    ending = talk.ending
    if ending.why is Why.FAILED and ending.data["kind"] not in _OURS:
        raise Stopped(f"step {step} stopped: {one_line(ending.text)}")
    record = steps.settle(agent, engine, talk)
    runs = [CommandRun.model_validate(one) for one in ending.data.get("checks", [])]
    return await _close(job, planned, record, runs)


async def _close(job: Job, planned: PlannedStep, record: StepRecord, runs: list[CommandRun]) -> StepRecord:
    """The step's changes as a commit, or taken back, and with them what was measured on them."""
    failed = [run for run in runs if run.exit_code]
    if failed or record.state is not StepState.DONE:
        await job.branch.take_back(planned.step)
        reason = _failure(failed) if failed else record.reason
        state = StepState.FAILED if failed else record.state
        claims = {name: claim for name, claim in record.claims.items() if claim.state not in _OF_CHANGES}
        reason = f"{reason}; its changes were taken back"
        return record.model_copy(update={"state": state, "reason": reason, "claims": claims})
    body = "\n\n".join([record.summary, "Checks passed:\n" + "\n".join(f"  {run.command}" for run in runs)])
    kept = await job.branch.keep(planned.step, planned.title, body)
    changes = [Change(path=path, summary=planned.title, commit=kept["sha"]) for path in kept["files"]]
    reason = None if changes else "its checks pass, and nothing had to be changed"
    return record.model_copy(update={"changes": changes, "reason": reason})


def _plan_text(planned: PlannedStep) -> str:
    checks = "\n".join(f"$ {check}" for check in planned.checks)
    return f"{planned.title}\n{planned.changes}\n\nChecks, all of which must end with 0:\n{checks}"


def _failure(failed: list[CommandRun]) -> str:
    parts = [f"`{run.command}` ended with {run.exit_code}: {one_line(run.excerpt)[-400:]}" for run in failed]
    return "; ".join(parts)


# --- the end ----------------------------------------------------------------------------------------------------------


async def _verify(state: State, runtime: Any) -> State:
    """Every command of the plan once more, on what the branch has become."""
    job: Job = runtime.context
    done = {step for step in STEP_NAMES if job.record(step).state is StepState.DONE}
    plan = job.plan()
    commands = [check for one in plan.steps if one.step in done for check in one.checks] + plan.verification
    runs = await job.commands(VERIFICATION).run(list(dict.fromkeys(commands)), f"{VERIFICATION}/0")
    job.run.write("verification.json", json.dumps([run.model_dump() for run in runs]).encode())
    return {"stage": "verified"}


async def _assess_again(state: State, runtime: Any) -> State:
    job: Job = runtime.context
    if job.run.read("survey-after.json") is None:
        job.branch.tidy()  # what the verification has left behind is not on the branch, and must solve nothing
        job.run.write("survey-after.json", (await job.survey()).model_dump_json().encode())
    return {"stage": "assessed"}


def _after(job: Job) -> tuple[Assessment, list[StepRecord]]:
    """What the engine finds now, and the steps' records on top of it."""
    data = job.run.read("survey-after.json")
    assert data is not None, "assess_again leaves its assessment"
    after = Assessment.model_validate_json(data)
    return after, [final_record(job.record(step), after, job.plan().step(step)) for step in STEP_NAMES]


async def _delegate(state: State, runtime: Any) -> State:
    """Hand on what is not our trade and is not solved."""
    job: Job = runtime.context
    await hand_on(job, *_after(job))
    return {"stage": "delegated"}


async def _synthesise(state: State, runtime: Any) -> State:
    job: Job = runtime.context
    after, records = _after(job)
    report = synthesise.report(
        after,
        records,
        run_id=job.run.id,
        started=job.run.meta["started"],
        model=job.steps_agent.model,
        mode="implement",
        made=handoffs.made(job.run),
    )
    planning = Usage.model_validate_json(job.run.read("plan-usage.json") or b"{}")
    job.run.write("draft.json", _finished(job, report, after, planning).model_dump_json().encode())
    return {"stage": "synthesised"}


def final_record(record: StepRecord, after: Assessment, planned: PlannedStep | None) -> StepRecord:
    """The step's record on top of what the engine finds now: findings that are gone are gone; doubts stay, and so do
    the model's own findings and its claims on what it made, measured or proposes."""
    doubted = {one.fingerprint: one for one in record.findings if "Disputed by the model" in one.why}
    findings = []
    for one in after.findings:
        if one.step == record.step:
            doubt = doubted.get(one.fingerprint)
            update = {"confidence": doubt.confidence, "why": doubt.why} if doubt else {}
            findings.append(one.model_copy(update=update))
    findings += [one for one in record.findings if one.rule.startswith("MODEL")]
    if planned is None:
        record = record.model_copy(update={"summary": f"nothing was to be changed; {synthesise.summary_of(findings)}"})
    own: dict[str, Claim] = {name: claim for name, claim in record.claims.items() if claim.state in _OWN}
    return record.model_copy(update={"findings": findings, "claims": {**after.claims.get(record.step, {}), **own}})


def _finished(job: Job, report: Report, after: Assessment, planning: Usage) -> Report:
    """The report with what only an implementation has: branch, verification, what was solved, what it cost."""
    before = {one.fingerprint for one in job.assessment().findings}
    now = {one.fingerprint for one in after.findings}
    runs = [CommandRun.model_validate(one) for one in json.loads(job.run.read("verification.json") or b"[]")]
    failed = [run for run in runs if run.exit_code]
    notes = [f"task: {one_line(job.task)}", f"branch: {job.worktree.branch}"]
    notes.append(f"findings of the engine: {len(before)} before, {len(now)} after; {len(before - now)} solved")
    notes += [f"verification: `{run.command}` ended with {run.exit_code} ({run.record})" for run in runs]
    coverage = report.coverage
    if failed:
        problem = f"the verification failed: {_failure(failed)}"
        coverage = coverage.model_copy(update={"state": "partial", "notes": [problem, *coverage.notes]})
    sandbox = job.permissions.level
    run = report.run.model_copy(update={"notes": [*report.run.notes, *notes], "sandbox": sandbox})
    usage = synthesise.total_usage([report.usage, planning])
    return report.model_copy(update={"run": run, "coverage": coverage, "usage": usage})
