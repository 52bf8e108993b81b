"""Commands that set work going: a review, an implementation, one step, the plan, a question to a peer."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from ml_engineer.interfaces.options import ALL_STEPS, Refusal, StepList
from ml_engineer.interfaces.terminal.commands_base import REPORT, command, findings_of, places
from ml_engineer.interfaces.terminal.console import Chat, Choice, Status

if TYPE_CHECKING:
    from ml_engineer.agent.calls import Call
    from ml_engineer.agent.plan import Plan
    from ml_engineer.agent.runs import Event
    from ml_engineer.agent.session import Session
    from ml_engineer.report.schema import Evidence, PeerReply, Report
    from ml_engineer.tools.permissions import Decision

_STATES = {"pending": "to do", "active": "at work", "done": "done", "failed": "failed"}


@command("review", "[STEPS]", "Review the repository; its report is what /findings, /report and /export then speak of.")
async def review(chat: Chat, words: str) -> None:
    """The same review as `ml-engineer review`, in a process of its own, so that the terminal stays yours. Without a
    model the engine's report; with one its judgement on top. STEPS are numbers, as in `/review 1,5`."""
    from ml_engineer.interfaces.jobs import review_meta
    from ml_engineer.interfaces.model import ModelChoice
    from ml_engineer.interfaces.pool import JobError, Pool
    from ml_engineer.report.schema import Report

    steps = StepList().convert(words.strip(), None, None) if words.strip() else ALL_STEPS
    session = await chat.ready()
    settings = session.settings
    meta = review_meta(
        chat.root,
        offline=ModelChoice.of(session.run.meta).offline and settings is None,
        model=settings.model if settings else None,
        max_cost=_money_left(session),
        max_turns=session.budget.turns_left,
        steps=steps,
    )
    with chat.console.busy("reviewing") as status:
        try:
            async with Pool(workers=1) as pool:
                done = await pool.review(meta, lambda event: _show(status, event))
        except JobError as error:
            raise Refusal(f"the review failed: {error}") from error
    session.run.write(REPORT, done.report.encode())
    found = Report.model_validate_json(done.report)
    session.budget.child("review").charge(found.usage, unknown=Decimal(0))
    session.keep("Result of the user's review", record_of(found))
    chat.console.say(_summary(found))


def _show(status: Status, event: Event) -> None:
    if event["type"] == "node":
        status.update(f"reviewing: {str(event['node']).replace('_', ' ')}")


def _money_left(session: Session) -> str | None:
    cap, spent = session.budget.caps.cost, session.budget.usage().cost_usd
    if cap is None:
        return None
    left = cap - Decimal(0 if spent == "unpriced" else str(spent))
    if left <= 0:
        raise Refusal(f"the budget of ${cap} is spent; leave, and come back with a higher --max-cost")
    return str(left)


def _summary(report: Report) -> str:
    from ml_engineer.report import summary

    found = summary.summarise(report)
    lines = [summary.readiness_line(found), summary.severity_line(found), *(f"not looked at: {g}" for g in found.gaps)]
    if found.fix_first:
        lines += ["", "Fix first:"]
        lines += [f"  {one.severity.value:8} {one.rule} {one.title} ({places(one, 1)})" for one in found.fix_first]
    return "\n".join([*lines, "", "/findings walks through them, /report shows all, /export FILE writes it."])


def record_of(report: Report) -> str:
    """What is kept of a report for the model, and through compactions: how ready it is, and each step's record."""
    from ml_engineer.report import summary
    from ml_engineer.report.text import one_line

    found = summary.summarise(report)
    lines = [f"run {report.run.id}: {summary.readiness_line(found)}; {summary.severity_line(found)}"]
    for step in report.steps:
        reason = f" ({one_line(step.reason)})" if step.reason else ""
        lines.append(f"step {step.step} {step.name}: {step.state.value}{reason}. {one_line(step.summary)}")
    lines += [f"note: {one_line(note)}" for note in report.run.notes]
    return "\n".join(lines)


# --- implementing -----------------------------------------------------------------------------------------------------


@command(
    "implement",
    "TASK",
    "Carry out a task on a branch: a plan to approve, then steps proved by checks.",
    needs_model=True,
)
async def implement(chat: Chat, words: str) -> None:
    """The same as `ml-engineer implement`: the work is done in a copy on a branch of its own, your files stay as they
    are. The plan is shown first and waits for your yes. At the end you are asked whether to bring the branch in."""
    from ml_engineer.interfaces import implement as flow
    from ml_engineer.interfaces.model import ModelChoice

    if not words.strip():
        raise Refusal("say what is to be done: /implement TASK")
    session = await chat.ready()
    if not chat.console.interactive:
        raise Refusal("nobody can approve the plan here: use `ml-engineer implement --permission accept-edits`")
    mode = session.mode.value
    if mode not in flow.MODES:
        raise Refusal(f"the mode is {mode}, and this changes files: /permissions ask allows it, step by step")
    assert session.settings is not None, "dispatch has seen to it"
    choice = ModelChoice(False, session.settings.model, _money_left(session), session.budget.turns_left)
    run = flow.begin(chat.root, words.strip(), mode, choice)
    with chat.console.busy("planning") as status:
        run.listeners.append(lambda event: _show(status, event))
        run.listeners.append(lambda event: chat.console.say(event["banner"]) if event["type"] == "sandbox" else None)
        try:
            report = await flow.work(run, None, _Person(chat, session))
        except asyncio.CancelledError:
            run.event("interrupted", run=run.id)
            chat.console.say(f"Nothing is lost: ml-engineer runs resume {run.id}")
            raise
        finally:
            run.close()
    session.budget.child("implement").charge(report.usage, unknown=Decimal(0))
    session.keep(f"Record of the implementation {run.id}", record_of(report))
    chat.console.say(_steps_of(report))
    await _bring_in(chat, run.id)


@dataclass(frozen=True)
class _Person:
    """Whoever sits at the chat, as an implementation asks them."""

    chat: Chat
    session: Session

    async def approves(self, plan: Plan) -> bool:
        self.chat.console.say(plan.text())
        choices = [Choice("y", "carry it out"), Choice("n", "leave it")]
        return await self.chat.console.choose("Carry out this plan?", choices) == "y"

    async def allows(self, call: Call, decision: Decision) -> bool:
        return await self.session.ask(call, decision) is None


def _steps_of(report: Report) -> str:
    lines = []
    for step in report.steps:
        for change in step.changes:
            lines.append(f"step {step.step} {step.name}: {change.path}: {change.summary}")
        if step.state.value == "failed":
            lines.append(f"step {step.step} {step.name} failed: {step.reason}")
    return "\n".join([*lines, *(note for note in report.run.notes if not note.startswith("task:"))])


async def _bring_in(chat: Chat, run_id: str) -> None:
    """Offer to apply the branch that an implementation has left."""
    from ml_engineer.agent.runs import Run
    from ml_engineer.interfaces.runs import worktree_of
    from ml_engineer.tools.worktree import WorktreeError

    worktree = worktree_of(Run.open(run_id))
    assert worktree is not None, "an implementation has a working copy"
    patch = worktree.patch()
    if not patch:
        return
    chat.console.diff(patch.decode("utf-8", "replace"))
    choices = [Choice("b", "bring it in now"), Choice("l", f"later: ml-engineer runs apply {run_id}")]
    if await chat.console.choose("Bring the branch in?", choices) != "b":
        return
    try:
        chat.console.say(worktree.apply())
    except WorktreeError as error:
        raise Refusal(f"{error}; `ml-engineer runs apply {run_id} --patch` prints the changes") from error


# --- steps and the plan -----------------------------------------------------------------------------------------------


@command("step", "N [TASK]", "Work on one of the ten steps; without a model, show what was found for it.")
async def step(chat: Chat, words: str) -> None:
    """N is the number of a step of the workflow, 1 to 10. The agent starts from the findings of that step."""
    from ml_engineer.interfaces.rules import STEPS

    number, _, task = words.strip().partition(" ")
    if not number.isdecimal() or not 1 <= int(number) <= len(STEPS):
        listed = "\n".join(f"  {at:2} {name}" for at, name in enumerate(STEPS, 1))
        raise Refusal(f"name a step by its number: /step N [TASK]\n{listed}")
    name = STEPS[int(number) - 1]
    session = await chat.ready()
    if session.settings is not None:
        goal = task.strip() or "bring it to what production needs"
        await chat.say(
            f"Work on step {number}, {name}: {goal}. Start from the findings of this step, make a plan, change what is "
            "needed, and prove each change with a command."
        )
        return
    found = [one for one in await findings_of(chat, session) if one.step == int(number)]
    rows = [[one.severity.value, one.rule, f"{one.title} ({places(one, 1)})"] for one in found]
    chat.console.say(f"Step {number}, {name}. Working on it needs a model; this is what the engine found.")
    if rows:
        chat.console.table(["severity", "rule", "finding"], rows)
    else:
        chat.console.say("No findings.")


@command("plan", "[TASK]", "Show the plan as it stands, or have one made for a task.")
async def plan(chat: Chat, words: str) -> None:
    """The plan that the agent ticks off as it works. With a TASK the agent draws one up first and changes nothing."""
    session = await chat.ready()
    if not words.strip():
        if not session.plan:
            chat.console.say("There is no plan. The agent makes one for work of several parts; /plan TASK asks for it.")
            return
        chat.console.table([], [[_STATES[item.state], item.text] for item in session.plan])
        return
    if session.settings is None:
        raise Refusal("making a plan needs a model; /findings shows what there is to do")
    await chat.say(
        f"Make a plan for this, and change nothing yet: {words.strip()}. Look at what it touches, show the plan with "
        "UpdatePlan, and say of each part what changes and which command will prove it."
    )


# --- peers ------------------------------------------------------------------------------------------------------------


@command("delegate", "PEER QUESTION", "Ask a peer agent a question.")
async def delegate(chat: Chat, words: str) -> None:
    """The peer is asked the way that config.toml says: in this process, by a command, over A2A or MCP. Where nobody can
    answer, the brief is written to the run and named, for a person to hand on. /peers lists who there is."""
    peer, _, question = words.strip().partition(" ")
    if not peer or not question.strip():
        raise Refusal("name the peer and ask: /delegate data-engineer QUESTION; /peers lists them")
    await ask_peer(chat, await chat.ready(), peer, question.strip(), [])


async def ask_peer(chat: Chat, session: Session, peer: str, question: str, evidence: list[Evidence]) -> None:
    """Put a question to a peer and show what comes back, with what it is worth."""
    from ml_engineer.agent.client import ConfigError
    from ml_engineer.delegation.settings import DelegationError
    from ml_engineer.interfaces.terminal.commands_findings import peer_names
    from ml_engineer.report.schema import Handoff, HandoffState

    if peer not in peer_names():
        raise Refusal(f"there is no peer {peer}; there are {', '.join(peer_names())}")
    identity = hashlib.sha256(f"{len(session.log.turns)} {len(session.log.kept)} {question}".encode()).hexdigest()[:8]
    handoff = Handoff(id=f"{peer}-{identity}", peer=peer, cue="asked by the user", question=question, evidence=evidence)
    with chat.console.busy(f"asking {peer}"):
        try:
            done = await session.delegate(handoff)
        except (ConfigError, DelegationError) as error:
            raise Refusal(str(error)) from error
    reply = done.reply
    if reply is None:
        where = session.folder / (done.brief or "handoffs")
        chat.console.say(f"Nobody answers for {peer} here, so the brief is queued: {where}")
    elif done.state is HandoffState.ANSWERED:
        chat.console.markdown(reply.answer)
        chat.console.say(f"Answer of {peer}; {_worth(reply)}.", "dim")
    else:
        written = session.folder / "handoffs" / f"{done.id}.reply.txt"
        kept = f". What it wrote: {written}" if written.exists() else ""
        raise Refusal(f"{peer} gave no answer ({done.state.value}): {reply.error or reply.answer}{kept}")


def _worth(reply: PeerReply) -> str:
    if not reply.claims:
        return "it makes no claim that could be checked"
    return f"{len(reply.claims)} claims, of which {sum(bool(one.evidence) for one in reply.claims)} cite evidence"
