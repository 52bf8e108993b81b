"""What the A2A server does for a task: a review in a child, an implementation beside the loop, a routing.

The first message of a task is its order; every later one answers what the task has asked. What a client may not have
ends as a rejected task, what went wrong as a failed one, both with a message that says what to do next.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from a2a.helpers import get_data_parts, get_message_text, new_raw_part, new_text_part
from a2a.helpers.proto_helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import Message

from ml_engineer.interfaces.pool import JobError, JobFault
from ml_engineer.interfaces.serve.a2a_talk import JSON, MARKDOWN, Talk, hand_over, told
from ml_engineer.interfaces.serve.common import Refused
from ml_engineer.interfaces.serve.order import IMPLEMENT, NO_PEER, USAGE, Order
from ml_engineer.interfaces.serve.service import Service
from ml_engineer.report.schema import Report

log = logging.getLogger(__name__)
MAX_AT_WORK = 64  # tasks, those that wait for their turn or for their client included


@dataclass
class Executor(AgentExecutor):
    """One server's executor, with the tasks that are at work."""

    service: Service
    _talks: dict[str, Talk] = field(default_factory=dict)

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        message, task_id = context.message, context.task_id
        assert message is not None, "the handler gives every request its message"
        assert task_id is not None, "the handler gives every request a task"
        talk = self._talks.get(task_id)
        if context.current_task is None:
            await event_queue.enqueue_event(new_task_from_user_message(message))
        elif talk is None:
            return  # the message came while the task was at work, and waited: what has ended is not begun again
        updater = TaskUpdater(event_queue, task_id, context.context_id or "")
        if talk is not None:
            await talk.reply(message, updater)
        elif len(self._talks) >= MAX_AT_WORK:
            await updater.reject(_words(updater, f"{MAX_AT_WORK} tasks are at work or wait; send this again later"))
            return
        else:
            talk = self._talks[task_id] = Talk(updater)
            talk.begin(self._task(task_id, message, talk), lambda: self._talks.pop(task_id))
        try:
            await talk.pause()
        except asyncio.CancelledError:  # the server is stopping
            await talk.cancel()
            raise

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        talk = self._talks.get(context.task_id or "")
        if talk is not None:
            await talk.cancel()
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()

    async def close(self) -> None:
        """Stop everything that is at work."""
        await asyncio.gather(*(talk.cancel() for talk in list(self._talks.values())))

    async def _task(self, task_id: str, message: Message, talk: Talk) -> None:
        """All of a task, whose end is always told."""
        try:
            await self._work(await self._ordered(message, talk), talk)
        except Refused as refusal:
            declined = not isinstance(refusal.__cause__, JobError) or refusal.__cause__.kind is JobFault.REFUSED
            end = talk.updater.reject if declined else talk.updater.failed
            await end(_words(talk.updater, str(refusal)))
        except Exception as error:
            log.exception("task %s", task_id)
            fault = f"{type(error).__name__}: {error}. This is a fault of ml-engineer; its log on stderr says more."
            await talk.updater.failed(_words(talk.updater, fault))

    async def _ordered(self, message: Message, talk: Talk) -> Order:
        """What is to be done, asked for until it is said."""
        said: Message | None = message
        while said is not None:
            order = _order(said, self.service.roots.has)
            if order is not None:
                return order
            said = await talk.words(USAGE)
        raise Refused(f"nothing was said that is understood. {USAGE}")

    # --- the work -------------------------------------------------------------------------------------------------

    async def _work(self, order: Order, talk: Talk) -> None:
        if order.is_review:
            await hand_over(talk, await self._review(order, talk))
        elif order.skill == IMPLEMENT:
            async with told(talk) as caller:
                report = await self.service.implement(order.path or ".", order.task, caller)
            await hand_over(talk, report)
        else:
            await self._route(order, talk)

    async def _review(self, order: Order, talk: Talk) -> Report:
        async with told(talk, order.steps) as caller:
            return await self.service.review(
                order.path or ".", caller, steps=order.steps, with_model=order.use_model
            )  # fmt: skip

    async def _route(self, order: Order, talk: Talk) -> None:
        """By the words of the task, and by what stands in the repository where one is named."""
        run_id = (await self._review(order, talk)).run.id if order.path is not None else None
        routes = await self.service.route(order.task, run_id)
        data = routes.model_dump_json(indent=2).encode()
        text = "\n\n".join(f"**{one.peer}**: {one.question}\n\n{one.why}" for one in routes.handoffs) or NO_PEER
        await talk.updater.add_artifact([new_raw_part(data, JSON, "routes.json")], name="routes.json", last_chunk=True)
        await talk.updater.add_artifact([new_text_part(text, MARKDOWN)], name="routes.md", last_chunk=True)
        peers = ", ".join(one.peer for one in routes.handoffs)
        await talk.updater.complete(_words(talk.updater, f"This is for {peers}." if peers else NO_PEER))


def _order(message: Message, is_folder: Callable[[str], bool]) -> Order | None:
    """From a part with data, from text that is JSON, or from words."""
    text = get_message_text(message).strip()
    data = get_data_parts(message.parts)
    if text.startswith("{"):
        try:
            data = [*data, json.loads(text)]
        except (ValueError, RecursionError) as error:
            raise Refused(f"this begins like JSON and is none ({error}). {USAGE}") from error
    if not data:
        return Order.read(text, is_folder)
    if not isinstance(data[0], dict):
        raise Refused(f"data is an object with the key skill, not {type(data[0]).__name__}. {USAGE}")
    return Order.of(data[0])


def _words(updater: TaskUpdater, text: str) -> Message:
    return updater.new_agent_message([new_text_part(text)])
