"""Budgets: caps hold over a tree, shares are kept free and given back, prices are never guessed."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.agent import budget as module
from ml_engineer.agent import prices
from ml_engineer.agent.budget import EXPECTED_ANSWER, Budget, BudgetSpent, Caps
from ml_engineer.agent.prices import Tokens
from ml_engineer.agent.runs import Run

OPUS = "claude-opus-5-5"
MILLION = {"input_tokens": 1_000_000}  # $4 on Opus


def spend(budget: Budget, usage: dict[str, Any] | None = None, model: str = OPUS) -> None:
    with budget.call(model, 0) as call:
        call.spent(usage or {"input_tokens": 10, "output_tokens": 5})


# --- prices -----------------------------------------------------------------------------------------------------------


def test_a_known_bill_is_reproduced() -> None:
    assert prices.cost(OPUS, Tokens(input=11, output=22)) == Decimal("0.000484")


def test_every_kind_of_token_has_its_own_price() -> None:
    usage = {
        "input_tokens": 1_000_000,
        "output_tokens": 1_000_000,
        "cache_read_input_tokens": 1_000_000,
        "cache_creation_input_tokens": 2_000_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 1_000_000, "ephemeral_1h_input_tokens": 1_000_000},
    }
    assert prices.cost("claude-sonnet-5-5", Tokens.of(usage)) == Decimal("18.6")


@pytest.mark.parametrize(("prompt", "expected"), [(100_000, "0.01"), (100_001, "0.0500005")])
def test_a_long_prompt_is_billed_at_its_own_rate_as_a_whole(prompt: int, expected: str) -> None:
    assert prices.cost("claude-haiku-5-5", Tokens(input=prompt)) == Decimal(expected)


@pytest.mark.parametrize("model", ["claude-fable-5-2", "llama-4", "", "claude-opus-5-5-turbo"])
def test_a_model_without_a_price_is_unpriced(model: str) -> None:
    assert prices.cost(model, Tokens(input=1)) is None


def test_what_was_answered_in_a_message_batch_costs_half() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 100}
    full = prices.bill("claude-sonnet-5-5", usage)
    assert full == prices.cost("claude-sonnet-5-5", Tokens.of(usage))
    assert full is not None
    assert prices.bill("claude-sonnet-5-5", usage | {"service_tier": "batch"}) == full / 2
    assert prices.bill("nameless", usage | {"service_tier": "batch"}) is None
    budget = Budget()
    with budget.call("claude-sonnet-5-5", 1_000) as call:
        call.spent(usage | {"service_tier": "batch"})
    assert budget.usage().cost_usd == float(full / 2)


def test_an_id_with_a_date_has_the_price_of_the_model() -> None:
    assert prices.cost("claude-opus-5-5-20261001", Tokens(input=11, output=22)) == Decimal("0.000484")


@pytest.mark.parametrize("usage", [{}, {"input_tokens": None}, {"cache_creation": None}, {"output_tokens": "many"}])
def test_usage_with_missing_parts_counts_what_is_there(usage: dict[str, Any]) -> None:
    assert Tokens.of(usage) == Tokens()


# --- caps -------------------------------------------------------------------------------------------------------------


def test_turns_are_capped_before_the_next_call() -> None:
    budget = Budget(Caps(turns=2))
    spend(budget)
    spend(budget)
    with pytest.raises(BudgetSpent, match="the budget of 2 turns does not allow another call") as caught:
        spend(budget)
    assert caught.value.what == "turns"
    assert budget.usage().turns == 2


def test_cost_is_capped_with_the_estimate_of_the_next_call() -> None:
    budget = Budget(Caps(cost=Decimal("4.03")))
    spend(budget, MILLION)
    with pytest.raises(BudgetSpent) as caught, budget.call(OPUS, 3_000):  # 3,000 in and 1,000 out are $0.032
        raise AssertionError("the call was let through")
    assert caught.value.what == "cost"
    with budget.call(OPUS, 1_000):  # $0.024
        pass


def test_tokens_are_capped() -> None:
    budget = Budget(Caps(tokens=1_000_000 + EXPECTED_ANSWER))
    spend(budget, MILLION)
    spend(budget, {"input_tokens": 1})
    with pytest.raises(BudgetSpent, match=r"1,001,000 tokens"):
        spend(budget)


def test_wall_time_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    budget = Budget(Caps(seconds=60))
    spend(budget)
    now[0] += 60
    with pytest.raises(BudgetSpent, match="60 s of wall time"):
        spend(budget.child("step"))


def test_a_failed_call_is_no_turn_and_costs_nothing() -> None:
    budget = Budget(Caps(turns=1))
    with pytest.raises(ZeroDivisionError), budget.call(OPUS, 100):
        raise ZeroDivisionError
    spend(budget)


def test_a_cap_on_cost_without_a_price_is_refused_with_a_clear_word() -> None:
    budget = Budget(Caps(cost=Decimal(1)))
    with pytest.raises(BudgetSpent, match=r"price of llama-4 is not known .* give a cap on tokens instead") as caught:
        spend(budget, model="llama-4")
    assert caught.value.what == "price"


def test_with_a_cap_on_tokens_a_model_without_a_price_is_unpriced() -> None:
    budget = Budget(Caps(cost=Decimal(1), tokens=100_000))
    spend(budget, model="llama-4")
    assert budget.usage().cost_usd == "unpriced"


def test_a_cap_on_time_goes_on_where_it_was_when_a_run_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    run = Run.create({})
    assert run.worked() == 0
    for at in (1_000.0, 1_040.0):
        clock[0] = at
        run.event("turn")
    run.close()
    clock[0] = 9_000.0  # a pause, which is no work
    again = Run.open(run.id, work=True)
    again.event("resumed")
    clock[0] = 9_010.0
    again.event("turn")
    assert again.worked() == pytest.approx(50.0)
    again.close()
    spend(Budget(Caps(seconds=60), worked=again.worked()))
    with pytest.raises(BudgetSpent, match="60 s of wall time"):
        spend(Budget(Caps(seconds=60), worked=60.0))


@pytest.mark.parametrize("caps", [{"turns": 0}, {"cost": Decimal(-1)}, {"tokens": 0}, {"seconds": 0}])
def test_a_cap_of_nothing_is_a_mistake(caps: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be above zero"):
        Caps(**caps)


# --- the tree ---------------------------------------------------------------------------------------------------------


def test_what_an_agent_spends_its_parents_have_spent() -> None:
    run = Budget(Caps(turns=3))
    step = run.child("step 4")
    spend(step)
    spend(step.child("peer"))
    spend(run)
    for budget in (run, step):
        with pytest.raises(BudgetSpent, match="3 turns"):
            spend(budget)


def test_a_childs_own_cap_stops_it_alone_and_is_named() -> None:
    run = Budget()
    step = run.child("step 4", Caps(turns=1))
    spend(step)
    with pytest.raises(BudgetSpent, match="the budget of step 4 of 1 turns"):
        spend(step)
    spend(run.child("step 5"))


def test_a_reserved_share_is_kept_free_for_its_owner() -> None:
    run = Budget(Caps(turns=3))
    with run.reserve("peer", Caps(turns=2)) as peer:
        spend(run)
        with pytest.raises(BudgetSpent):
            spend(run)
        spend(peer)
        spend(peer)
        with pytest.raises(BudgetSpent, match="of peer of 2 turns"):
            spend(peer)


def test_what_is_left_of_a_share_is_given_back() -> None:
    run = Budget(Caps(cost=Decimal(10)))
    with run.reserve("peer", Caps(cost=Decimal(9))) as peer:
        spend(peer, MILLION)
        with pytest.raises(BudgetSpent):
            run.reserve("another", Caps(cost=Decimal(5))).__enter__()
    spend(run, MILLION)
    assert run.usage().cost_usd == 8


def test_a_share_that_is_not_there_cannot_be_reserved() -> None:
    run = Budget(Caps(tokens=10_000))
    with pytest.raises(BudgetSpent, match="10,000 tokens"), run.reserve("peer", Caps(tokens=20_000)):
        raise AssertionError("it was reserved")


def test_calls_in_flight_see_each_other() -> None:
    budget = Budget(Caps(turns=3))
    let_through = []

    async def agent(name: str) -> None:
        try:
            with budget.child(name).call(OPUS, 10) as call:
                let_through.append(name)
                await asyncio.sleep(0)
                call.spent({"input_tokens": 1})
        except BudgetSpent:
            pass

    async def all_at_once() -> None:
        await asyncio.gather(*(agent(str(number)) for number in range(10)))

    asyncio.run(all_at_once())
    assert len(let_through) == budget.usage().turns == 3


@given(
    cap=st.integers(1, 30),
    steps=st.lists(st.tuples(st.sampled_from(["run", "a", "b", "a/peer"]), st.booleans()), max_size=60),
)
def test_turns_never_pass_the_cap_and_nothing_is_lost(cap: int, steps: list[tuple[str, bool]]) -> None:
    run = Budget(Caps(turns=cap))
    agents = {"run": run, "a": run.child("a"), "b": run.child("b")}
    agents["a/peer"] = agents["a"].child("peer")
    answered = 0
    for name, fails in steps:
        try:
            with agents[name].call(OPUS, 10) as call:
                if not fails:
                    call.spent({"input_tokens": 1})
                    answered += 1
        except BudgetSpent:
            assert answered == cap
    usage = run.usage()
    assert usage.turns == usage.tokens.input == answered <= cap
    assert run.turns_left == cap - answered


def test_the_bill_is_by_agent() -> None:
    run = Budget()
    spend(run.child("step 4"), MILLION)
    spend(run.child("data-scientist"), model="llama-4")
    usage = run.usage()
    assert usage.cost_usd == "unpriced"
    assert usage.by_agent["step 4"].cost_usd == 4
    assert usage.by_agent["data-scientist"].tokens.output == 5
    assert usage.turns == 2
