"""A batch that asks a model: the scripted server, real workers, one budget."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.interfaces.batch.conftest import Batch, wait_for
from tests.interfaces.batch.model import STEPS, asked, script, summary_of
from tests.support.batches_server import BatchesServer
from tests.support.script import Fault

Many = Callable[[int], list[Path]]
Start = Callable[..., subprocess.Popen[str]]


def test_every_repository_is_reviewed_with_the_model(batch: Batch, model: BatchesServer, many: Many, out: Path) -> None:
    model.script = script({"input_tokens": 100, "output_tokens": 10})
    result = batch(*many(3))
    assert result.exit_code == 0, result.stderr
    assert len(model.requests) == 3 * STEPS
    summary = summary_of(out)
    assert summary.usage.turns == 3 * STEPS
    assert summary.usage.tokens.input == 3 * STEPS * 100
    assert all((out / "reports" / row.folder / "report.html").is_file() for row in summary.repositories)
    assert list(out.glob(".runs/*")) == []


def test_a_refusal_of_the_server_holds_for_all(batch: Batch, model: BatchesServer, many: Many, out: Path) -> None:
    model.script = script(faults=[Fault("status", 429, retry_after=4.0)])
    result = batch(*many(2))
    assert result.exit_code == 0, result.stderr
    refused = [one for one in model.requests if one.fault]
    assert len(refused) == 1  # a fault of the script is served once
    assert len(model.requests) == 2 * STEPS + 1
    early = [one for one in model.requests if refused[0].answered + 2.0 < one.received < refused[0].answered + 4.0]
    assert early == []
    assert summary_of(out).usage.turns == 2 * STEPS


def test_the_cap_holds_for_the_whole_batch_and_a_larger_one_goes_on(
    batch: Batch, model: BatchesServer, many: Many, out: Path
) -> None:
    roots = many(4)
    model.script = script({"input_tokens": 10_000, "output_tokens": 500})
    result = batch(*roots, "--max-cost", "0.50", "--workers", "1")
    assert result.exit_code == 2
    first = len(model.requests)
    summary = summary_of(out)
    assert "does not allow another call" in result.stderr
    assert isinstance(summary.usage.cost_usd, float)
    assert 0 < summary.usage.cost_usd <= 0.50
    assert summary.totals.waiting > 0
    assert summary.totals.partial == 1
    assert batch(*roots, "--max-cost", "0.50").exit_code == 2
    assert len(model.requests) == first  # nothing is left of it
    assert batch(*roots[:2], "--retry", "--offline").exit_code == 0
    assert len(model.requests) == first
    assert summary_of(out).totals.reviewed == 2


def test_a_batch_that_was_killed_asks_for_nothing_again(
    started: Start, batch: Batch, model: BatchesServer, many: Many, out: Path
) -> None:
    roots = many(3)
    model.script = script(latency=0.2)
    child = started(*roots, "--workers", "1", **asked(model))
    wait_for(lambda: len(model.requests) >= STEPS + 4)
    child.kill()
    child.communicate()
    before = len(model.requests)
    assert batch(*roots, "--workers", "1").exit_code == 0
    bodies = Counter(str(one.body) for one in model.requests)
    assert len(bodies) == 3 * STEPS
    again = sum(count - 1 for count in bodies.values())
    assert again <= 8  # only what was in flight at the kill: the parallel steps of one repository
    assert before > STEPS
    assert summary_of(out).usage.turns == 3 * STEPS
