"""A tool call that may take long, report progress, ask the human, and be cancelled.

    result = await talks.run(ctx, "implement", lambda caller: service.implement(path, task, caller))

The work is a task of its own. Where the protocol has questions of the server (up to 2025-11-25) they are asked in the
middle of the call. Since 2026-07-28 a question is an answer of the call: the work waits, the client puts the question
to its user, and calls again with the answer and the state that it was given, which the SDK seals. Work that waits in
vain goes on after `ANSWER_SECONDS` as if the answer were no.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import is_version_at_least
from pydantic import BaseModel, Field

from ml_engineer.interfaces.serve.common import Refused
from ml_engineer.interfaces.serve.service import Caller

ANSWER_SECONDS = 600.0
_QUESTIONS_ARE_ANSWERS = "2026-07-28"
_KEY = "answer"

T = TypeVar("T")


class Approval(BaseModel):
    """What the human is asked for."""

    allow: bool = Field(description="Whether this may be done")


@dataclass
class _Question:
    text: str
    answer: asyncio.Future[bool]

    def settle(self, allowed: bool) -> None:
        if not self.answer.done():
            self.answer.set_result(allowed)


@dataclass
class _Talk(Generic[T]):
    """Work under way, and what it has to say: progress, questions, and at last that it has ended."""

    tool: str
    says: asyncio.Queue[tuple[int, int, str] | _Question | None] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[T] = field(init=False)
    waiting: _Question | None = None

    def begin(self, operation: Callable[[Caller], Awaitable[T]], *, can_ask: bool) -> None:
        caller = Caller(lambda *progress: self.says.put_nowait(progress), self._ask if can_ask else None)

        async def work() -> T:
            return await operation(caller)

        self.task = asyncio.ensure_future(work())
        self.task.add_done_callback(self._ended)

    async def _ask(self, text: str) -> bool:
        question = _Question(text, asyncio.get_running_loop().create_future())
        self.says.put_nowait(question)
        return await question.answer

    def _ended(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; work that nobody waits for is no fault of asyncio's
        self.says.put_nowait(None)


@dataclass
class Talks:
    """The calls of one server that wait for an answer."""

    _waiting: dict[str, _Talk[Any]] = field(default_factory=dict)

    async def run(
        self, ctx: Context, tool: str, operation: Callable[[Caller], Awaitable[T]]
    ) -> T | InputRequiredResult:  # fmt: skip
        """What `operation` gives, or the question that it has. ToolError where it was refused."""
        talk = self._resume(ctx, tool)
        if talk is None:
            talk = _Talk[T](tool)
            talk.begin(operation, can_ask=_can_ask(ctx))
        try:
            return await self._follow(ctx, talk)
        except Refused as refused:
            raise ToolError(str(refused)) from refused
        except BaseException:  # cancelled, or the connection is gone
            await _stop(talk)
            raise

    async def close(self) -> None:
        """Stop all that waits."""
        for talk in list(self._waiting.values()):
            await _stop(talk)

    async def _follow(self, ctx: Context, talk: _Talk[T]) -> T | InputRequiredResult:
        while True:
            said = await talk.says.get()
            if said is None:
                return await talk.task
            if not isinstance(said, _Question):
                done, total, what = said
                await ctx.report_progress(done, total or None, what)
            elif is_version_at_least(ctx.protocol_version or "", _QUESTIONS_ARE_ANSWERS):
                return self._wait(talk, said)
            else:
                said.settle(await _answer(ctx, said.text))

    def _wait(self, talk: _Talk[Any], question: _Question) -> InputRequiredResult:
        """Leave the work waiting, and give its question to the client."""
        state = secrets.token_urlsafe(16)
        self._waiting[state], talk.waiting = talk, question
        timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS, question.settle, False)
        question.answer.add_done_callback(lambda _: timer.cancel())
        talk.task.add_done_callback(lambda _: self._waiting.pop(state, None))
        schema = Approval.model_json_schema()
        form = ElicitRequestFormParams(message=question.text, requested_schema=schema)
        return InputRequiredResult(input_requests={_KEY: ElicitRequest(params=form)}, request_state=state)

    def _resume(self, ctx: Context, tool: str) -> _Talk[Any] | None:
        """The work that this call answers, with its answer given; None for a new one."""
        if ctx.request_state is None:
            return None
        talk = self._waiting.get(ctx.request_state)
        if talk is None or talk.tool != tool or talk.waiting is None:
            raise ToolError("this call no longer waits for an answer; make it again")
        del self._waiting[ctx.request_state]
        answer = (ctx.input_responses or {}).get(_KEY)
        talk.waiting.settle(
            isinstance(answer, ElicitResult)
            and answer.action == "accept"
            and (answer.content or {}).get("allow") is True
        )  # fmt: skip
        return talk


async def _answer(ctx: Context, question: str) -> bool:
    """The answer of a client that is asked in the middle of its call."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            outcome = await ctx.elicit(question, Approval)
    except TimeoutError:
        return False
    return outcome.action == "accept" and outcome.data.allow


def _can_ask(ctx: Context) -> bool:
    capabilities = ctx.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


async def _stop(talk: _Talk[Any]) -> None:
    """Cancel the work once, and wait until it has ended, also where the waiting is cancelled again and again."""
    talk.task.cancel()
    with anyio.CancelScope(shield=True):
        await asyncio.wait([talk.task])
