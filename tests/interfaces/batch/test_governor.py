"""One budget and one rate for many workers. Time is real here, and a hundredth of what it is in earnest."""

from __future__ import annotations

import asyncio
import heapq
import json
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from ml_engineer.agent import prices
from ml_engineer.agent.budget import BudgetSpent, Caps
from ml_engineer.agent.prices import Tokens
from ml_engineer.interfaces.batch.asking import Line, connect
from ml_engineer.interfaces.batch.governor import FIRST_GAP, LONGEST_GAP, Account, Governor, Pace

MODEL = "claude-sonnet-5-5"
CALL = prices.cost(MODEL, Tokens(output=1_000, cache_write=1_000)) or Decimal(0)  # the most that it can cost
USAGE = {"input_tokens": 500, "output_tokens": 500}
PAID = prices.cost(MODEL, Tokens.of(USAGE)) or Decimal(0)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(60):
            return await work()

    return asyncio.run(limited())


def test_a_call_that_does_not_fit_waits_for_those_in_flight() -> None:
    async def work() -> tuple[Governor, int]:
        governor = Governor(Caps(cost=CALL * 2))
        first, second = await governor.admit(MODEL, 1_000, 1_000), await governor.admit(MODEL, 1_000, 1_000)
        third = asyncio.create_task(governor.admit(MODEL, 1_000, 1_000))
        await asyncio.sleep(0.05)
        assert not third.done()
        await governor.refused(first, 0.0)  # it has cost nothing
        await third
        await governor.answered(second, MODEL, USAGE)
        fourth = asyncio.create_task(governor.admit(MODEL, 1_000, 1_000))
        await governor.settle(third.result(), cost=None)
        with pytest.raises(BudgetSpent, match="does not allow another call"):
            await fourth
        return governor, second

    governor, _ = run(work)
    assert governor.account.cost == PAID + CALL
    assert governor.account.turns == 2
    assert "budget of" in str(governor.exhausted)


def test_the_cap_is_never_passed_whatever_comes_back() -> None:
    cap = CALL * 7 + CALL / 2

    async def work() -> Governor:
        governor = Governor(Caps(cost=cap))

        async def worker(number: int) -> None:
            while True:
                try:
                    ticket = await governor.admit(MODEL, 1_000, 1_000)
                except BudgetSpent:
                    return
                held = sum(governor._held.values(), Decimal(0))
                assert governor.account.cost + held <= cap
                await asyncio.sleep(0.001)
                if number % 3 == 0:
                    await governor.settle(ticket, cost=None)
                else:
                    await governor.answered(
                        ticket, MODEL, {"output_tokens": 1_000, "cache_creation_input_tokens": 1_000}
                    )

        await asyncio.gather(*(worker(number) for number in range(20)))
        return governor

    governor = run(work)
    assert CALL * 7 == governor.account.cost <= cap
    assert governor.account.turns == 7


def test_turns_are_capped_and_a_refused_call_is_none() -> None:
    async def work() -> Governor:
        governor = Governor(Caps(turns=2))
        await governor.refused(await governor.admit(MODEL, 1, 1), 0.0)
        for _ in range(2):
            await governor.answered(await governor.admit(MODEL, 1, 1), MODEL, USAGE)
        with pytest.raises(BudgetSpent, match="2 turns"):
            await governor.admit(MODEL, 1, 1)
        return governor

    assert run(work).account.turns == 2


def test_what_is_in_flight_is_written_down_before_it_leaves() -> None:
    kept: list[tuple[Decimal, int]] = []

    async def work() -> None:
        governor = Governor(
            Caps(cost=Decimal(10)), Account(Decimal(1), 3, lambda cost, turns: kept.append((cost, turns)))
        )
        await governor.answered(await governor.admit(MODEL, 1_000, 1_000), MODEL, USAGE)

    run(work)
    assert kept == [(1 + CALL, 4), (1 + PAID, 4)]


def test_a_model_without_a_price_has_no_cap_on_cost() -> None:
    with pytest.raises(BudgetSpent, match="price of nameless is not known"):
        run(lambda: Governor(Caps(cost=Decimal(1))).admit("nameless", 1, 1))
    assert run(lambda: Governor(Caps(turns=1)).admit("nameless", 1, 1)) == 1


def test_nobody_asks_before_the_moment_that_the_server_names() -> None:
    async def work() -> list[float]:
        governor = Governor(Caps())
        waiting = [asyncio.create_task(governor.admit(MODEL, 1, 1)) for _ in range(3)]
        first = await waiting[0]
        await asyncio.gather(*waiting)
        begun = time.monotonic()
        await governor.refused(first, 0.3)
        left = []

        async def ask() -> None:
            await governor.admit(MODEL, 1, 1)
            left.append(time.monotonic() - begun)

        await asyncio.gather(*(ask() for _ in range(5)))
        return left

    assert min(run(work)) >= 0.3


def test_the_gap_widens_with_refusals_and_closes_with_answers() -> None:
    pace = Pace()
    for _ in range(200):
        pace.refused(0.0, 0.0)
    assert pace.gap == LONGEST_GAP
    for _ in range(500):
        pace.answered()
    assert pace.gap == 0.0


def test_as_many_leave_at_once_as_passed_before_and_one_more_is_waited_for() -> None:
    pace, left = Pace(), [0.0]
    for _ in range(20):  # a server that lets four calls pass and then none for a second, 0.1 s away
        left = [pace.moment]
        for _ in range(4):
            pace.leaves(left[-1])
            left.append(pace.moment)
        pace.leaves(left[-1])
        next_moment, now = pace.moment, left[-1] + 0.1
        pace.refused(1.0, now, 0.1)
        assert pace.moment == now + 1.0
        for _ in range(4):
            pace.answered()
    assert pace.burst == 4
    assert left[:4] == [left[0]] * 4
    assert left[4] == pytest.approx(left[0] + FIRST_GAP, abs=FIRST_GAP)
    assert next_moment == pytest.approx(left[-1] + 0.15)


def test_what_is_in_flight_at_a_refusal_is_one_refusal() -> None:
    pace = Pace()
    for number in range(60):
        pace.refused(1.0, 0.001 * number)
    assert pace.gap == FIRST_GAP
    pace.refused(1.0, 3.0)
    assert pace.gap > FIRST_GAP


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("rate", "workers"), [(2.0, 16), (5.0, 16), (5.0, 60)])
def test_with_turns_of_two_seconds_a_rate_is_used_up(rate: float, workers: int, exact: bool) -> None:
    """In simulated time: a server that lets `rate` calls a second pass, five at once, 20 ms away."""
    pace, burst, turns, lag, told = Pace(), 5.0, 300, 0.02, 0.5
    events = [(0.0, number, "wants", 0.0) for number in range(workers)]
    line, tokens, last, done, number, now = 0, burst, 0.0, 0, workers, 0.0

    def then(seconds: float, what: str) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (now + seconds, number, what, now))

    while done < turns:
        now, _, what, sent = heapq.heappop(events)
        if what == "arrives":
            tokens, last = min(burst, tokens + (now - last) * rate), now
            told = (1 - tokens) / rate if exact else told
            then(2.0, "answered") if tokens >= 1 else then(lag, "refused")
            tokens -= tokens >= 1
        elif what == "answered":
            pace.answered()
            done += 1
        elif what == "refused":
            pace.refused(told, now, now - sent + lag)
        line += what in ("wants", "answered", "refused")
        while line and pace.moment <= now:
            pace.leaves(now)
            line -= 1
            then(lag, "arrives")
        if line:
            then(pace.moment - now, "moves")
    assert (turns - burst) / rate + 2.0 >= 0.95 * now


@pytest.mark.parametrize(("rate", "burst"), [(50.0, 5.0), (20.0, 5.0)])
def test_what_the_server_allows_is_used(rate: float, burst: float) -> None:
    """A server that lets `rate` calls a second pass, and 16 workers that would want 80."""

    async def work() -> tuple[int, int]:
        governor, tokens, last, seconds = Governor(Caps()), burst, time.monotonic(), 5.0
        done, end = 0, last + seconds

        async def worker() -> None:
            nonlocal tokens, last, done
            while time.monotonic() < end:
                ticket = await governor.admit(MODEL, 1, 1)
                now = time.monotonic()
                tokens, last = min(burst, tokens + (now - last) * rate), now
                if tokens < 1:
                    await governor.refused(ticket, 0.1)
                    continue
                tokens -= 1
                await asyncio.sleep(0.2)
                await governor.answered(ticket, MODEL, USAGE)
                done += 1

        await asyncio.gather(*(worker() for _ in range(16)))
        return done, round(rate * seconds + burst)

    done, allowed = run(work)
    assert done >= 0.8 * allowed  # 0.95 and more on a quiet machine


def test_a_batch_that_is_gone_ends_no_step() -> None:
    """A worker outlives its batch by a moment: what it wrote down then would be true for good."""

    async def work() -> None:
        governor = Governor(Caps())
        governor.pace.refused(60.0, time.monotonic())
        async with governor.serving() as address:
            reader, writer = await asyncio.open_unix_connection(address)
            line = Line(reader, writer)
            listening = asyncio.create_task(line.listen())
            asking = asyncio.create_task(line.admit("a", MODEL, 1, 1))
            while not governor._held:
                await asyncio.sleep(0.01)
        await listening
        await asyncio.sleep(0.05)
        assert not asking.done()
        asking.cancel()
        writer.close()

    run(work)


@pytest.mark.parametrize("host", [None, "127.0.0.1"])
def test_over_the_socket(host: str | None) -> None:
    async def work() -> Governor:
        governor = Governor(Caps(cost=CALL * 3))
        async with governor.serving(host) as address:
            reader, writer = await connect(address)
            line = Line(reader, writer)
            listening = asyncio.create_task(line.listen())
            await asyncio.gather(*(line.admit(name, MODEL, 1_000, 1_000) for name in "ab"))
            line.notify("turn", agent="a", usage=USAGE)
            line.say("b", refused=0.0)
            await line.admit("a", MODEL, 1_000, 1_000)
            await line.admit("a", MODEL, 1_000, 1_000)  # the one before has broken off
            with pytest.raises(BudgetSpent):
                await line.admit("b", MODEL, 10_000, 100_000)
                await line.admit("b", MODEL, 10_000, 100_000)
            writer.close()  # killed, with one in flight
            while governor._held:
                await asyncio.sleep(0.01)
            listening.cancel()
        return governor

    governor = run(work)
    assert governor.account.cost == PAID + 2 * CALL
    assert governor.refusals == 1


def test_who_does_not_know_the_token_is_not_heard() -> None:
    async def work() -> None:
        governor = Governor(Caps(cost=CALL))
        async with governor.serving("127.0.0.1") as address:
            token, _, place = address.removeprefix("tcp:").partition("@")
            for wrong in ("0" * len(token), "short"):
                reader, writer = await connect(f"tcp:{wrong}@{place}")
                asked = {"ask": 1, "model": MODEL, "prompt": 1_000, "answer": 1_000}
                writer.write(f"{json.dumps(asked)}\n".encode())
                assert await reader.read() == b""
                writer.close()
        assert governor.account.turns == 0
        with pytest.raises(ConnectionError, match="open it to the cluster"):
            await connect(address)

    run(work)
