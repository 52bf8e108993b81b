"""The shipped examples are sent where a senior engineer would send them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_engineer.assessment.assess import assess
from ml_engineer.delegation.routes import PEERS
from ml_engineer.delegation.routing import route
from ml_engineer.report.schema import Handoff

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def routed(name: str) -> dict[str, Handoff]:
    found = assess(EXAMPLES / name)
    claims = {field: claim for fields in found.claims.values() for field, claim in fields.items()}
    return {one.peer: one for one in route(found.findings, claims)}


def test_the_broken_prototype_needs_everybody_each_with_the_question_of_its_trade() -> None:
    made = routed("churn")
    assert set(made) == set(PEERS)
    assert "[tainted-evaluation]\n- MLE0101" in made["data-scientist"].context
    assert "[workload-faults]\n- MLE0908 critical" in made["devops-engineer"].context
    assert "[blind-operation]" in made["aiops-specialist"].context
    assert "[no-data-pipeline]" in made["data-engineer"].context
    assert "[unknown-capacity]" in made["cloud-architect"].context
    assert "[no-success-criterion]" in made["ai-strategist"].context


def test_the_production_example_leaves_the_question_of_quality_in_operation() -> None:
    made = routed("churn-production")
    assert set(made) <= {"aiops-specialist"}, {peer: one.context for peer, one in made.items()}


@pytest.mark.parametrize("name", ["churn", "vision"])
def test_what_is_our_own_trade_is_not_handed_on(name: str) -> None:
    contexts = "\n".join(one.context for one in routed(name).values())
    for ours in ("MLE0306", "MLE0310", "MLE0509", "MLE1002", "MLE1005"):
        assert ours not in contexts
