"""One budget and one rate for all workers of a batch that asks a model. It lives in the batch's own process.

    async with Governor(caps, account).serving() as address:      what workers connect to (asking.py)

A worker asks before each call and says afterwards what came of it. A line of JSON each way:

    {"ask": n, "model": …, "prompt": tokens, "answer": tokens}    → {"n": n, "go": ticket} or {"n": n, "spent": what, …}
    {"ask": n, …, "owner": …, "request": "…"}                     → {"n": n, "message": {…}} or an error (batches.py)
    {"ticket": …, "usage": {…}}  {"ticket": …, "refused": seconds or null}                   no answer

**Cost.** A call in flight is held at the most it can cost. What would not fit beside that waits until another call has
ended, and is refused when nothing is left that could end. So the sum is never above the cap; what a call costs of which
no more is heard (its worker was killed) counts as that most. The account is written before a call may go.

**Rate.** What a server says to one worker holds for all: nobody asks again before the moment that `retry-after` names.
At that moment as many calls leave at once as were let pass the last times, then one more, and when this has had time to
be refused the others with a gap. All of that is learned: a refusal widens the gap, though never far beyond the mean
time between calls that passed, an answer makes it narrower. So few calls are refused, and none of what the server
allows is left unused.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import socket
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ml_engineer.agent import prices
from ml_engineer.agent.budget import BudgetSpent, Caps
from ml_engineer.agent.prices import Tokens

WIDER, NARROWER = 1.15, 0.965  # of the gap, at a refusal and at an answer: in balance where one in five is refused
FAR = 1.5  # times the mean time between two calls that passed: a gap is not wider
ONE_MORE = 0.5  # calls at once, where more have passed than left at once
LATER, FORGOTTEN, LONGEST_LAG = 1.5, 0.98, 1.0  # how long a refusal is waited for: of the longest, which fades; seconds
FIRST_GAP = 0.02  # seconds, at the first refusal
LONGEST_GAP = 5.0
LONGEST_LINE = 1 << 26  # bytes, of a whole request
TOKEN_SECONDS = 10.0  # in which who connects has said it
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # a lost machine is noticed after a minute
UNTOLD_WAIT = 1.0  # seconds, where a refusal names none

Post = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass
class Account:
    """What was spent in this batch, by this process and by earlier ones. `keep` writes it down."""

    cost: Decimal = Decimal(0)
    turns: int = 0
    keep: Callable[[Decimal, int], None] = lambda cost, turns: None


@dataclass
class Pace:
    """When the next call may leave: at `moment`, of the monotonic clock."""

    moment: float = 0.0
    gap: float = 0.0
    burst: float = 1.0  # calls that leave at once, counted from a refusal on
    lag: float = 0.0  # from a call to its refusal, at most
    _until: float = 0.0
    _refused: float | None = None  # when the last refusal was heard of
    _left: int = 0  # calls that have left since
    _passed: int = 0  # calls that had left before it, and were let pass

    def leaves(self, now: float) -> None:
        """A call leaves."""
        self._left += 1
        beyond = self._left - int(self.burst)
        if self._refused is None or beyond < 0:
            self.moment = now
        else:
            self.moment = now + (max(self.gap, self.lag) if beyond == 1 else self.gap)

    def refused(self, wait: float | None, now: float, lag: float = 0.0) -> None:
        """A call was refused, `lag` seconds after it had left. Those that were in flight at a refusal hear the same a
        moment later: they are the same refusal."""
        self.lag = min(LONGEST_LAG, max(LATER * lag, FORGOTTEN * self.lag))
        if now >= self._until:
            self._widen(now)
            self._refused, self._passed, self._left = now, self._left, 0
            if self._passed - 1 > self.burst:
                self.burst += ONE_MORE
        self._passed -= 1
        self.burst = min(self.burst, max(1, self._passed))
        self.moment = self._until = max(self._until, now + (UNTOLD_WAIT if wait is None else wait))

    def answered(self) -> None:
        self.gap = self.gap * NARROWER if self.gap > FIRST_GAP / 10 else 0.0

    def _widen(self, now: float) -> None:
        wider = max(FIRST_GAP, self.gap * WIDER)
        if self._refused is not None and self._left > 1:
            wider = min(wider, FAR * (now - self._refused) / (self._left - 1))
        self.gap = min(LONGEST_GAP, wider)


@dataclass
class Governor:
    """See the module."""

    caps: Caps
    account: Account = field(default_factory=Account)
    pace: Pace = field(default_factory=Pace)
    share: Decimal = Decimal(1)  # of the price that is paid
    batches: Post | None = None  # answers calls that come with their request
    exhausted: str | None = None  # why no more calls are allowed
    refusals: int = 0
    _held: dict[int, Decimal] = field(default_factory=dict)
    _ended: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tickets: int = 0
    _line: deque[asyncio.Future[None]] = field(default_factory=deque)
    _timer: asyncio.TimerHandle | None = None  # for the first in the line
    _left: dict[int, float] = field(default_factory=dict)  # when the calls in flight have left, by ticket

    # --- calls ----------------------------------------------------------------------------------------------------

    async def admit(self, model: str, prompt: int, answer: int) -> int:
        """A ticket for one call of so many tokens at most, when it may leave. Raises BudgetSpent."""
        ticket = await self.hold(model, prompt, answer)
        try:
            await self._leave()
        except BaseException:
            await self.settle(ticket, cost=Decimal(0), answered=False)
            raise
        self._left[ticket] = time.monotonic()
        return ticket

    async def hold(self, model: str, prompt: int, answer: int) -> int:
        """A ticket for one call when the budget has room for it. Raises BudgetSpent."""
        most = self._most(model, prompt, answer)
        async with self._ended:
            while not self._fits(most):
                if not self._held or not self._could_fit(most):
                    self.exhausted = str(self._refusal())
                    raise self._refusal()
                await self._ended.wait()
            self._tickets += 1
            ticket = self._tickets
            self._held[ticket] = most
            self.account.turns += 1
            self._keep()
        return ticket

    def held(self, ticket: int) -> Decimal:
        """The most that a call in flight can cost."""
        return self._held[ticket]

    def take_up(self, most: Decimal) -> int:
        """A ticket for a call that an earlier process has sent; the account has it at its most already."""
        self.account.cost -= most
        self._tickets += 1
        self._held[self._tickets] = most
        return self._tickets

    async def answered(self, ticket: int, model: str, usage: dict[str, Any]) -> None:
        self.pace.answered()
        cost = prices.bill(model, usage)
        await self.settle(ticket, cost=cost if cost is not None else self._held.get(ticket, Decimal(0)))

    async def refused(self, ticket: int, wait: float | None) -> None:
        """The server has refused the call because of its rate: it costs nothing, and all wait."""
        self.refusals += 1
        now = time.monotonic()
        self.pace.refused(wait, now, now - self._left.get(ticket, now))
        self._move()
        await self.settle(ticket, cost=Decimal(0), answered=False)

    async def settle(self, ticket: int, *, cost: Decimal | None, answered: bool = True) -> None:
        """A call has ended. `cost` None: nobody knows what it has cost, so the most that it can have."""
        most = self._held.pop(ticket, None)
        self._left.pop(ticket, None)
        if most is None:
            return
        self.account.cost += most if cost is None else cost
        self.account.turns -= 0 if answered else 1
        self._keep()
        async with self._ended:
            self._ended.notify_all()

    async def _leave(self) -> None:
        """Stand in the line until the call may leave."""
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        self._move()
        await place

    def _move(self) -> None:
        """Let leave who may, and come back for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._line:
            now = time.monotonic()
            if now < self.pace.moment:
                self._timer = asyncio.get_running_loop().call_later(self.pace.moment - now, self._move)
                return
            place = self._line.popleft()
            if not place.done():
                self.pace.leaves(now)
                place.set_result(None)

    def _most(self, model: str, prompt: int, answer: int) -> Decimal:
        dearest = Tokens(output=answer, cache_write=prompt)
        cost = prices.cost(model, dearest)
        if cost is None and self.caps.cost is not None:
            raise BudgetSpent("price", f"the price of {model} is not known, so a cap on cost cannot be kept")
        return (cost or Decimal(0)) * self.share

    def _fits(self, most: Decimal) -> bool:
        if self.caps.turns is not None and self.account.turns >= self.caps.turns:
            return False
        held = sum(self._held.values(), Decimal(0))
        return self.caps.cost is None or self.account.cost + held + most <= self.caps.cost

    def _could_fit(self, most: Decimal) -> bool:
        """Whether it would fit if what is in flight ended without a cost."""
        return self.caps.cost is None or self.account.cost + most <= self.caps.cost

    def _refusal(self) -> BudgetSpent:
        if self.caps.turns is not None and self.account.turns >= self.caps.turns:
            return BudgetSpent("turns", f"the batch's budget of {self.caps.turns} turns is spent")
        return BudgetSpent("cost", f"the batch's budget of ${self.caps.cost} does not allow another call")

    def _keep(self) -> None:
        """Write down what is spent, calls in flight at their most: a kill must not make room."""
        self.account.keep(self.account.cost + sum(self._held.values(), Decimal(0)), self.account.turns)

    # --- the wire -------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def serving(self, host: str | None = None) -> AsyncIterator[str]:
        """Listen to workers; gives the address that they need. Without a `host` it is a Unix socket, which only this
        user can reach; else `tcp:TOKEN@HOST:PORT`, for workers on other machines, and who does not begin with the token
        is not heard."""
        with tempfile.TemporaryDirectory(prefix="mle-") as folder:
            path, token = Path(folder) / "governor", secrets.token_hex(16) if host else ""
            workers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.create_task(self._worker(reader, writer, token))
                workers[task] = writer
                task.add_done_callback(workers.pop)

            if host is None:
                server = await asyncio.start_unix_server(connected, str(path), limit=LONGEST_LINE)
            else:
                server = await asyncio.start_server(connected, host, 0, limit=LONGEST_LINE)
            try:
                yield f"tcp:{token}@{host}:{server.sockets[0].getsockname()[1]}" if host else str(path)
            finally:
                server.close()
                for writer in workers.values():
                    writer.close()
                await asyncio.gather(*workers)

    async def _worker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        """One worker's line, until it is gone."""
        if token and not await _is_ours(reader, writer, token):
            writer.close()
            return
        tickets: dict[int, str] = {}
        asking: set[asyncio.Task[None]] = set()
        try:
            while line := await reader.readline():
                said = json.loads(line)
                if "ask" in said:
                    task = asyncio.create_task(self._answer(said, tickets, writer))
                    asking.add(task)
                    task.add_done_callback(asking.discard)
                elif said["ticket"] in tickets:
                    await self._heard(said, tickets.pop(said["ticket"]))
        except (ConnectionError, ValueError):
            pass  # it was killed: what it had in flight is settled below
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            for ticket in tickets:
                await self.settle(ticket, cost=None)
            writer.close()

    async def _answer(self, said: dict[str, Any], tickets: dict[int, str], writer: asyncio.StreamWriter) -> None:
        try:
            if "request" in said and self.batches is not None:
                reply = await self.batches(said)
            else:
                ticket = await self.admit(said["model"], said["prompt"], said["answer"])
                tickets[ticket] = said["model"]
                reply = {"go": ticket}
        except BudgetSpent as spent:
            reply = {"spent": spent.what, "message": str(spent)}
        writer.write(json.dumps({"n": said["ask"], **reply}).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    async def _heard(self, said: dict[str, Any], model: str) -> None:
        if "usage" in said:
            await self.answered(said["ticket"], model, said["usage"])
        elif "refused" in said:
            await self.refused(said["ticket"], said["refused"])
        else:
            await self.settle(said["ticket"], cost=None)


async def _is_ours(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> bool:
    """Whether the other end knows the token. From then on a machine that is lost is noticed, though it says nothing."""
    try:
        async with asyncio.timeout(TOKEN_SECONDS):
            said = await reader.readexactly(len(token) + 1)
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        return False
    line: socket.socket = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return hmac.compare_digest(said, f"{token}\n".encode())
