"""Sentences that say something was run or measured, and those that only sound like it."""

from __future__ import annotations

import pytest

from ml_engineer.agent.boasts import unproved

BOASTS = [
    "All tests pass.",
    "The suite is green.",
    "12 passed.",
    "I ran the service and it answered.",
    "We have measured the latency.",
    "The build succeeded.",
    "pytest exited with code 0.",
    "It runs cleanly.",
    "This was verified by running train.py.",
    "p95 is 12 ms.",
    "It answers 900 requests per second.",
    "The process takes 1.2 GB.",
    "Accuracy rose by 4 %.",
]
PLAIN = [
    "No test passes a customer through the model.",
    "The pipeline deploys although tests fail.",
    "Deploy only after the tests pass.",
    "If the build succeeds, the image is pushed at once.",
    "The latency was not measured.",
    "Nothing was run.",
    "The model is loaded in each request.",
    "Python 3.8 is past its end of life.",
    "Port 8080 is exposed, the app listens on 5000.",
    "Step 5 needs 2 changes in 3 files.",
]


@pytest.mark.parametrize("text", BOASTS)
def test_a_boast_needs_proof(text: str) -> None:
    assert unproved(text, ran=False, known=[]) is not None


@pytest.mark.parametrize("text", PLAIN)
def test_plain_words_need_none(text: str) -> None:
    assert unproved(text, ran=False, known=[]) is None


@pytest.mark.parametrize("text", BOASTS)
def test_with_a_command_and_its_figures_they_may_stand(text: str) -> None:
    known = ["12 ms", "900 req/s, 1.20 GB, 4 points"]
    assert unproved(text, ran=True, known=known) is None


@pytest.mark.parametrize(
    "text", ["Target: p95 below 100 ms.", "Tests pass before anything is deployed.", "5 % of traffic."]
)
def test_a_plan_may_set_targets(text: str) -> None:
    assert unproved(text, ran=False, known=[], plan=True) is None


@pytest.mark.parametrize("text", ["We measured 12 ms.", "I tested the rollback."])
def test_a_plan_may_not_say_that_it_was_done(text: str) -> None:
    assert unproved(text, ran=False, known=[], plan=True) is not None
