"""What a server may spend in all: held back before a call, counted after it, refused where nothing is left."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ml_engineer.interfaces.jobs import review_job, review_meta
from ml_engineer.interfaces.model import ModelChoice
from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.serve.allowance import Allowance
from ml_engineer.interfaces.serve.common import Policy, Refused, Roots
from ml_engineer.interfaces.serve.service import Service
from ml_engineer.report.schema import Usage
from tests.support.conversation import make_repository

CHOICE = ModelChoice(model="m", max_cost="2")


def test_calls_at_once_cannot_pass_the_sum() -> None:
    allowance = Allowance(Decimal(5))
    with allowance.part(CHOICE) as one, allowance.part(CHOICE) as two, allowance.part(CHOICE) as three:
        assert [part.choice.max_cost for part in (one, two, three)] == ["2", "2", "1"]
        with pytest.raises(Refused, match=r"\$5 on models in all; \$0 are spent, and \$5 are held back"):
            allowance.part(CHOICE).__enter__()
    assert (allowance.held, allowance.gone) == (0, 0), "nothing was begun"


def test_what_was_spent_counts_and_the_rest_is_given_back() -> None:
    allowance = Allowance(Decimal(3))
    with allowance.part(CHOICE) as part:
        part.begins()
        part.spent(Usage(turns=2, cost_usd=0.5))
    with allowance.part(CHOICE) as part:
        part.begins()
        part.spent(Usage(turns=9, cost_usd=1.75), before=Usage(turns=7, cost_usd=1.5))
    assert allowance.gone == Decimal("0.75")


def test_what_is_not_known_counts_with_its_whole_cap() -> None:
    allowance = Allowance(Decimal(3))
    with pytest.raises(KeyError), allowance.part(CHOICE) as part:
        part.begins()
        raise KeyError
    assert allowance.gone == 2
    with pytest.raises(KeyError), allowance.part(CHOICE):
        raise KeyError
    assert allowance.gone == 2, "it had not begun"
    with allowance.part(CHOICE) as part:
        assert part.choice.max_cost == "1"
        part.begins()
        part.spent(Usage(turns=1, cost_usd="unpriced"))
    with pytest.raises(Refused, match="--max-total-cost"):
        allowance.part(CHOICE).__enter__()


def test_what_needs_no_model_is_not_counted_and_without_a_limit_nothing_changes() -> None:
    spent = Allowance(Decimal(1))
    spent.gone = Decimal(1)
    offline = ModelChoice(offline=True)
    with spent.part(offline) as part:
        assert part.choice == offline
    with Allowance().part(CHOICE) as part:
        assert part.choice == CHOICE


def test_the_sum_needs_the_cap_of_one_call() -> None:
    with pytest.raises(Refusal, match="needs --max-cost"):
        Allowance.of("5", ModelChoice())
    assert Allowance.of("5", CHOICE).total == 5
    assert Allowance.of(None, ModelChoice()).total is None


def test_reviews_with_a_model_share_the_sum_and_those_without_one_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(tmp_path / "repository")
    monkeypatch.setenv("ML_ENGINEER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "never used")
    asked: list[tuple[bool, str]] = []

    async def session() -> None:
        made = await review_job(review_meta(root, offline=True))
        dear = made.model_copy(update={"usage": Usage(turns=1, cost_usd=2.5)}).model_dump_json()

        async def review(meta: dict[str, Any], listen: object) -> SimpleNamespace:
            asked.append((meta["model_options"]["offline"], meta["model_options"]["max_cost"]))
            return SimpleNamespace(report=dear)

        choice = ModelChoice(max_cost="2")
        pool: Any = SimpleNamespace(review=review)
        service = Service(Roots((root,)), Policy(), choice, pool, Allowance(Decimal(3)))
        await service.review(".", with_model=True)
        await service.review(".", with_model=True)
        with pytest.raises(Refused, match="on models in all"):
            await service.review(".", with_model=True)
        await service.review(".")

    asyncio.run(session())
    assert asked == [(False, "2"), (False, "0.5"), (True, "2")]
