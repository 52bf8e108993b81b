"""Turns of many repositories through the Message Batches API: half the price, for who can wait.

    async with Batches(client, governor, index).open() as batches:      governor.batches = batches.answer
    reply = await batches.answer({"model", "prompt", "answer", "owner", "request"})

What workers ask within a short while is created as one message batch. It is looked at with growing pauses until it has
ended, then each call gets its own result. A call is known by a digest of its owner and its request, which an agent that
goes on repeats byte by byte, and the index keeps which batch has it: after a kill the answers of a batch that was
created are picked up, not paid again. The index knows of a creation before the server does. Where nobody has heard what
came of it, the batch is looked for among those that the server lists: by how many calls it has, then by their digests.
A worker that dies does not end its call.

Replies: `{"message"}`; `{"error", "kind"}`, this call has no answer and may be sent again; `{"failed", "message"}`, the
server gives no answers to anybody, and trying has been done here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import count
from typing import Any, Self, TypeVar

from ml_engineer.agent import prices
from ml_engineer.agent.client import Client
from ml_engineer.agent.failures import ModelError
from ml_engineer.agent.turn import Patience
from ml_engineer.interfaces.batch.governor import Governor
from ml_engineer.interfaces.batch.index import Index
from ml_engineer.interfaces.batch.message_batches import MessageBatches, Result

QUIET = 1.0  # seconds without a further call, after which a batch is created
LONGEST = 10.0  # seconds, from the first call of a batch to its creation
MOST_CALLS, MOST_BYTES = 10_000, 100_000_000  # of one batch; the service takes ten times and twice as much
FIRST_LOOK, SLOWER, LAST_LOOK = 1.0, 1.3, 60.0  # seconds between two looks at a batch
CLOCKS = 3_600.0  # seconds by which the server's clock may differ from ours
_NO_BATCHES = frozenset({404, 405, 501})
_T = TypeVar("_T")


class NoBatches(Exception):
    """The server has no message batches. The message says what to do."""


@dataclass
class _Collected:
    """Calls that will be one batch: each with its request and the most that it can cost."""

    created: asyncio.Future[str]
    calls: dict[str, tuple[str, Decimal]] = field(default_factory=dict)
    size: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_full(self) -> bool:
        return len(self.calls) >= MOST_CALLS or self.size >= MOST_BYTES


@dataclass
class Batches:
    """See the module."""

    client: Client
    governor: Governor
    index: Index
    patience: Patience = field(default_factory=Patience)
    created: int = 0  # batches, by this process
    _collected: _Collected | None = None
    # By key, by batch and by creation, while they are under way.
    _calls: dict[str, asyncio.Task[dict[str, Any]]] = field(default_factory=dict)
    _results: dict[str, asyncio.Task[dict[str, Result]]] = field(default_factory=dict)
    _searches: dict[str, asyncio.Task[str | None]] = field(default_factory=dict)
    _creating: set[asyncio.Task[None]] = field(default_factory=set)

    @cached_property
    def api(self) -> MessageBatches:
        return MessageBatches(self.client, self.patience)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Raises NoBatches where the server has none, ModelError where it cannot be asked."""
        try:
            await self.api.check()
        except ModelError as error:
            if error.status in _NO_BATCHES:
                place = self.client.settings.place
                raise NoBatches(f"{place} has no Message Batches API; leave out --model-batches") from error
            raise
        try:
            yield self
        finally:
            tasks = [*self._calls.values(), *self._results.values(), *self._searches.values(), *self._creating]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def answer(self, said: dict[str, Any]) -> dict[str, Any]:
        """The reply to one call. Raises BudgetSpent. Who asks the same while it is under way gets the same reply."""
        key = hashlib.sha256(f"{said['owner']}\n{said['request']}".encode()).hexdigest()
        task = self._calls.get(key)
        if task is None:
            task = self._calls[key] = asyncio.create_task(self._call(key, said))
            task.add_done_callback(lambda _: self._calls.pop(key))
        return await asyncio.shield(task)

    # --- one call -------------------------------------------------------------------------------------------------

    async def _call(self, key: str, said: dict[str, Any]) -> dict[str, Any]:
        try:
            batch, ticket = await self._taken_up(key) or await self._sent(key, said)
        except ModelError as error:
            return {"failed": error.kind, "message": str(error)}
        try:
            result = (await self._waited(batch)).get(key, {"type": "missing"})
        except ModelError as error:
            return await self._unheard(key, ticket, error)
        return await self._settled(key, ticket, said["model"], result)

    async def _taken_up(self, key: str) -> tuple[str, int] | None:
        """The batch that this call went with earlier, and a ticket; None: with none. Raises ModelError."""
        known = self.index.call(key)
        if known is None:
            return None
        batch, most = known
        ticket = self.governor.take_up(most)
        if self.index.creation(batch) is None:
            return batch, ticket
        try:
            found = await self._found(batch)
        except ModelError:
            await self.governor.settle(ticket, cost=None)
            raise
        if found is None:
            await self.governor.settle(ticket, cost=Decimal(0), answered=False)
            return None
        return found, ticket

    async def _sent(self, key: str, said: dict[str, Any]) -> tuple[str, int]:
        """The batch that this call has gone with now, and its ticket. Raises ModelError, BudgetSpent."""
        ticket = await self.governor.hold(said["model"], said["prompt"], said["answer"])
        try:
            return await self._gone_with(key, said["request"], self.governor.held(ticket)), ticket
        except ModelError:
            if self.index.call(key) is None:  # there is no batch
                await self.governor.settle(ticket, cost=Decimal(0), answered=False)
            else:
                await self.governor.settle(ticket, cost=None)
            raise

    async def _settled(self, key: str, ticket: int, model: str, result: Result) -> dict[str, Any]:
        """The index is written before the account: a kill between both may count too much, never too little."""
        if result["type"] == "succeeded":
            message = result["message"]
            usage = message["usage"] = (message.get("usage") or {}) | {"service_tier": prices.BATCH_TIER}
            if self.governor.held(ticket):
                self.index.settle_call(key)
                await self.governor.answered(ticket, model, usage)
            else:  # an earlier process has paid it, and its worker had no time to write it down
                await self.governor.settle(ticket, cost=Decimal(0))
            return {"message": message}
        self.index.forget_call(key)
        await self.governor.settle(ticket, cost=Decimal(0), answered=False)  # only answers are billed
        error: dict[str, Any] = result.get("error") or {}
        error = error.get("error", error)
        return {
            "error": error.get("message") or f"the call was {result['type']} in its batch",
            "kind": error.get("type"),
        }

    async def _unheard(self, key: str, ticket: int, error: ModelError) -> dict[str, Any]:
        """The batch's results cannot be had: for good where the server has forgotten it, else by a later run."""
        if error.status == 404:
            self.index.forget_call(key)
            await self.governor.settle(ticket, cost=None)
            return {"error": "its message batch is no longer at the server", "kind": None}
        self.index.settle_call(key)
        await self.governor.settle(ticket, cost=None)
        return {"failed": error.kind, "message": str(error)}

    # --- creation -------------------------------------------------------------------------------------------------

    async def _gone_with(self, key: str, request: str, most: Decimal) -> str:
        """The id of the batch that this call went with."""
        collected = self._collected
        if collected is None or collected.is_full:
            collected = self._collected = _Collected(asyncio.get_running_loop().create_future())
            task = asyncio.create_task(self._create(collected))
            self._creating.add(task)
            task.add_done_callback(self._creating.discard)
        collected.calls[key] = (request, most)
        collected.size += len(request)
        collected.changed.set()
        return await asyncio.shield(collected.created)

    async def _create(self, collected: _Collected) -> None:
        """Wait for further calls, then create the batch of all."""
        loop = asyncio.get_running_loop()
        last = loop.time() + LONGEST
        with contextlib.suppress(TimeoutError):
            while not collected.is_full:
                collected.changed.clear()
                async with asyncio.timeout(min(QUIET, last - loop.time())):
                    await collected.changed.wait()
        if self._collected is collected:
            self._collected = None
        entries = [f'{{"custom_id":"{key}","params":{request}}}' for key, (request, _) in collected.calls.items()]
        body = f'{{"requests":[{",".join(entries)}]}}'.encode()
        try:
            batch = await self._created(body, {key: most for key, (_, most) in collected.calls.items()})
        except ModelError as error:
            collected.created.set_exception(error)
            return
        self.created += 1
        collected.created.set_result(batch)

    async def _created(self, body: bytes, held: dict[str, Decimal]) -> str:
        """The batch of these requests, created once whatever becomes of the connection. ModelError: the index still has
        the creation where it is not known whether there is a batch."""
        for attempt in count(1):
            creation = self.index.begin_creation(held, time.time())
            try:
                batch = await self.api.create(body)
            except ModelError as error:
                unknown = error.kind != "unreachable" and (error.status is None or error.status >= 500)
                if not unknown:
                    self.index.end_creation(creation, None)
                pause = self.patience.pause(error, attempt)
                if pause is None:
                    raise
                await asyncio.sleep(pause)
                if unknown and (found := await self._search(creation)) is not None:
                    return found
            else:
                self.index.end_creation(creation, batch)
                return batch
        raise AssertionError("itertools.count has no end")

    # --- a creation of which nobody has heard ---------------------------------------------------------------------

    async def _found(self, creation: str) -> str | None:
        """As `_search`, once for all calls of a creation."""
        return await _together(self._searches, creation, self._search)

    async def _search(self, creation: str) -> str | None:
        """The batch at the server that came of it, or None. Raises ModelError. What is listed does not name its calls:
        one with as many as ours is waited for, and known by its results."""
        known = self.index.creation(creation)
        assert known is not None, "it is looked for once"
        moment, keys = known
        others = self.index.batches()
        async for _ in _looks():
            unsure = False
            async for one in self.api.recent(moment - CLOCKS):
                if one.calls != len(keys) or one.identifier in others:
                    continue
                unsure |= not one.has_ended
                if one.has_ended:
                    if keys & (await self.api.results(one.identifier)).keys():
                        self.index.end_creation(creation, one.identifier)
                        return one.identifier
                    others.add(one.identifier)
            if not unsure:
                self.index.end_creation(creation, None)
                return None
        raise AssertionError("_looks has no end")

    # --- results --------------------------------------------------------------------------------------------------

    async def _waited(self, batch: str) -> dict[str, Result]:
        """The results of a batch by key. All its calls wait for the same."""
        return await _together(self._results, batch, self._fetch)

    async def _fetch(self, batch: str) -> dict[str, Result]:
        async for _ in _looks():
            if await self.api.has_ended(batch):
                return await self.api.results(batch)
        raise AssertionError("_looks has no end")


async def _looks() -> AsyncIterator[None]:
    """Now, and again after pauses that grow."""
    pause = FIRST_LOOK
    while True:
        yield
        await asyncio.sleep(pause)
        pause = min(LAST_LOOK, pause * SLOWER)


async def _together(
    under_way: dict[str, asyncio.Task[_T]], name: str, work: Callable[[str], Coroutine[Any, Any, _T]]
) -> _T:
    """What `work(name)` gives, done once for all that ask while it is under way."""
    task = under_way.get(name)
    if task is None:
        task = under_way[name] = asyncio.create_task(work(name))
        task.add_done_callback(lambda _: under_way.pop(name))
    return await asyncio.shield(task)
