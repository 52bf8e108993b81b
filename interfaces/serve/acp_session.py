"""One ACP session: a conversation with a repository, and the commands that work without a model.

    session = Session(door, run, cwd, mode)
    stop = await session.prompt("why is the recall so low?")       the stop reason
    session.set_mode(Mode.ASK); await session.close()

`/review`, `/implement` and `/route` are the engine's and the workflow's; everything else goes to the model
(`agent.session`), or, where there is none, to the engine if it asks for a review.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acp import (
    resource_link_block,
    text_block,
    tool_content,
    update_agent_message,
    update_agent_message_text,
    update_agent_thought_text,
    update_user_message_text,
)
from acp.agent.connection import AgentSideConnection
from acp.schema import (
    AllowedOutcome,
    Cost,
    PermissionOption,
    StopReason,
    ToolCallUpdate,
    UsageUpdate,
)

from ml_engineer.agent.ending import Ending, Why
from ml_engineer.agent.log import Log, LogError
from ml_engineer.agent.runs import Run
from ml_engineer.agent.session import WINDOW, SessionError, open_session
from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.serve import acp_updates as updates
from ml_engineer.interfaces.serve.acp_prompt import buffer
from ml_engineer.interfaces.serve.acp_stage import NAME, Stage
from ml_engineer.interfaces.serve.common import Policy, Refused
from ml_engineer.interfaces.serve.narrate import Narration, brief
from ml_engineer.interfaces.serve.order import IMPLEMENT, NO_PEER, Order
from ml_engineer.interfaces.serve.service import Caller, Service
from ml_engineer.report import markdown
from ml_engineer.report.schema import Report
from ml_engineer.tools.journal import JournalError
from ml_engineer.tools.permissions import Mode

if TYPE_CHECKING:
    from ml_engineer.agent.calls import Call
    from ml_engineer.agent.session import Session as Talk
    from ml_engineer.tools.permissions import Decision

NO_MODEL = (
    "That needs a model, and none is configured: set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL and --model, in the "
    "agent's environment in the editor's settings. Without one there are `/review`, for all ten steps or "
    "`/review --steps 1,5`, and `/route TASK`."
)
_STOPS: dict[Why, StopReason] = {
    Why.REFUSED: "refusal",
    Why.CONTEXT_FULL: "max_tokens",
    Why.BUDGET: "max_turn_requests",
}
_ALLOW, _REJECT = "allow", "reject"
_OPTIONS = [
    PermissionOption(option_id=_ALLOW, name="Allow", kind="allow_once"),
    PermissionOption(option_id=_REJECT, name="Reject", kind="reject_once"),
]


@dataclass(frozen=True)
class Door:
    """What all sessions of a process share. `reads`: the editor offers its files, unsaved changes included."""

    connection: AgentSideConnection
    service: Service
    reads: bool


class Session:
    """See the module. Made within the event loop, for a run that this process holds."""

    def __init__(self, door: Door, run: Run, cwd: Path, mode: Mode) -> None:
        assert run.folder is not None, "a session is kept on disk"
        self.run, self.cwd, self.mode, self._door = run, cwd, mode, door
        self.stage = Stage(door.connection, run.id, Log(run.folder / NAME))
        self.empty = False  # begun here, and nothing said yet
        self._work: asyncio.Task[StopReason] | None = None
        self._stack = contextlib.AsyncExitStack()
        self._talk: Talk | None = None
        self._asked = 0
        self._reports: list[Report] = []  # of which the model has not been told yet

    # --- turns ----------------------------------------------------------------------------------------------------

    async def prompt(self, text: str) -> StopReason:
        """One turn. Refused while another is under way."""
        if self._work is not None:
            raise Refused("a prompt is under way in this session: wait for its end, or cancel it")
        self.empty = False
        self.stage.write_down(update_user_message_text(text))
        self._work = asyncio.ensure_future(self._turn(text))
        try:
            await asyncio.wait([self._work])
            stop: StopReason = "cancelled" if self._work.cancelled() else self._work.result()
        finally:
            if not self._work.done():  # the request itself was given up: the editor has gone
                self._work.cancel()
                await asyncio.wait([self._work])
            self._work = None
        self.stage.close_calls("cancelled")
        await self.stage.settled()
        return stop

    def cancel(self) -> None:
        """Stop the turn that is under way, if there is one."""
        if self._work is not None:
            self._work.cancel()

    async def _turn(self, text: str) -> StopReason:
        try:
            settings = self._door.service.choice.settings()
            spoken = text.startswith("/") or settings is None
            order = (
                Order.read(text, lambda path: self._door.service.roots.has(str(self.cwd / path))) if spoken else None
            )
            if order is not None:
                await self._carry_out(order)
            elif settings is None:
                self.say(NO_MODEL)
            else:
                return await self._converse(settings, text)
        except Refusal as refusal:
            self.say(refusal.message)
        except (Refused, SessionError, LogError, JournalError, OSError) as error:
            self.say(str(error))
        return "end_turn"

    def say(self, text: str) -> None:
        self.stage.show(update_agent_message_text(text))

    # --- commands -------------------------------------------------------------------------------------------------

    async def _carry_out(self, order: Order) -> None:
        service = replace(self._door.service, policy=Policy(self.mode))
        path = str(self.cwd / (order.path or "."))
        caller = self._watching(order.steps)
        if order.is_review:
            report = await service.review(path, caller, steps=order.steps, with_model=order.use_model)
            await self._hand_over(report)
        elif order.skill == IMPLEMENT:
            await self._hand_over(await service.implement(path, order.task, caller))
        else:
            run_id = (await service.review(path, caller)).run.id
            routes = await service.route(order.task, run_id)
            lines = [f"**{one.peer}**: {one.question}\n\n{one.why}" for one in routes.handoffs]
            self.say("\n\n".join(lines) or NO_PEER)

    def _watching(self, steps: frozenset[int]) -> Caller:
        narration, shown = Narration(steps), updates.plan([])

        def progress(done: int, total: int, what: str) -> None:
            nonlocal shown
            narration.hear(what)
            now = updates.plan([*narration.parts])
            if now != shown:
                self.stage.show(now)
            shown = now

        return Caller(progress, self._confirm)

    async def _hand_over(self, report: Report) -> None:
        text = await asyncio.to_thread(markdown.render, report)
        self.say(text)
        assert self.run.folder is not None, "a session is kept on disk"
        sealed = self.run.folder.parent / report.run.id / "report.json"
        link = resource_link_block("report.json", sealed.as_uri(), mime_type="application/json", title="Sealed report")
        self.stage.show(update_agent_message(link))
        self._reports.append(report)

    async def _confirm(self, question: str) -> bool:
        """A yes-or-no question that belongs to no tool call, such as a plan's approval."""
        self._asked += 1
        call_id = f"{self.run.id}-question-{self._asked}"
        title = question.strip().rpartition("\n")[2]
        return await self._permitted(
            ToolCallUpdate(
                tool_call_id=call_id,
                title=title,
                kind="switch_mode",
                status="pending",
                content=[tool_content(text_block(question))],
            )
        )

    async def _permitted(self, call: ToolCallUpdate) -> bool:
        await self.stage.settled()
        answer = await self._door.connection.request_permission(
            session_id=self.run.id, tool_call=call, options=_OPTIONS
        )
        return isinstance(answer.outcome, AllowedOutcome) and answer.outcome.option_id == _ALLOW

    # --- with a model ---------------------------------------------------------------------------------------------

    async def _converse(self, settings: Any, text: str) -> StopReason:
        if self._talk is None:
            await self._open(settings)
        assert self._talk is not None, "just opened"
        while self._reports:
            report = self._reports.pop(0)
            self._talk.keep(f"The user has had this made: {report.run.mode} {report.run.id}", brief(report))
        ending = await self._talk.say(text)
        self._show_usage(self._talk)
        return self._stop(ending)

    async def _open(self, settings: Any) -> None:
        """The conversation, with its part of what this server may spend."""
        service = self._door.service
        async with contextlib.AsyncExitStack() as opening:
            part = opening.enter_context(service.allowance.part(service.choice))
            caps = part.choice.caps()
            talk = await opening.enter_async_context(
                open_session(self.run, settings=settings, mode=self.mode, ask=self._ask, notify=self._hear, caps=caps)
            )
            before = talk.budget.usage()
            opening.callback(lambda: part.spent(talk.budget.usage(), before))
            self._talk, self._stack = talk, opening.pop_all()

    def _stop(self, ending: Ending) -> StopReason:
        if ending.why not in (Why.ANSWERED, Why.FINISHED):
            self.say(f"\n\n{ending.text}")
        return _STOPS.get(ending.why, "end_turn")

    def _show_usage(self, talk: Talk) -> None:
        spent = talk.budget.usage().cost_usd
        cost = None if spent == "unpriced" else Cost(amount=float(spent), currency="USD")
        size = talk.window or WINDOW
        self.stage.show(UsageUpdate(session_update="usage_update", used=talk.tokens, size=size, cost=cost))

    def _hear(self, kind: str, /, **data: Any) -> None:
        """Listener of the conversation (agent/listener.py has the table)."""
        match kind:
            case "text":
                self.say(data["text"])
            case "thinking":
                self.stage.show(update_agent_thought_text(data["text"]))
            case "retry":
                self.stage.show(update_agent_thought_text(f"\n[The answer is asked for again: {data['reason']}]\n"))
            case "tool_start":
                self.stage.show(updates.begun(data["id"], data["name"], data["input"], self.cwd))
            case "tool_end":
                self.stage.show(updates.ended(data["id"], data["is_error"], data["text"]))
            case "plan":
                self.stage.show(updates.plan([(item.text, item.state) for item in data["items"]]))
            case "compacted":
                self.stage.show(update_agent_thought_text("\n[The conversation was compacted.]\n"))
            case "problem":
                self.stage.show(update_agent_thought_text(f"\n[{data['text']}]\n"))

    async def _ask(self, call: Call, decision: Decision) -> str | None:
        """`agent.toolbox.Ask`: the user of the editor decides; a file with unsaved changes is not changed."""
        shown = updates.diffs(call.name, call.input, self.cwd)
        for path in dict.fromkeys(one.path for one in shown):
            if self._door.reads and await buffer(self._door.connection, self.run.id, Path(path)) is not None:
                return f"{call.name} was refused: {path} has changes in the editor that are not saved; ask the user to."
        reason = tool_content(text_block(decision.reason))
        asked = ToolCallUpdate(tool_call_id=call.id, status="pending", content=[*shown, reason])
        if await self._permitted(asked):
            return None
        return f"{call.name} was refused: the user said no. Find another way, or ask."

    # --- the rest -------------------------------------------------------------------------------------------------

    def set_mode(self, mode: Mode) -> None:
        self.mode = mode
        if self._talk is not None:
            self._talk.set_mode(mode)

    async def close(self) -> None:
        """Stop what is under way, and give the run back."""
        self.cancel()
        if self._work is not None:
            await asyncio.wait([self._work])
        await self._stack.aclose()
        await self.stage.close()
        self.run.close()
