"""A batch that asks a model: the scripted server, real workers, one budget."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ml_engineer.interfaces.batch.summary import Summary
from tests.interfaces.batch.conftest import wait_for
from tests.support.messages_server import MessagesServer
from tests.support.review import finish
from tests.support.script import Agent, Fault, Script, Turn

Many = Callable[[int], list[Path]]
Start = Callable[..., subprocess.Popen[str]]
STEPS = 10


def script(usage: dict[str, int] | None = None, *, latency: float = 0.0, faults: list[Fault] | None = None) -> Script:
    """Every step of every repository ends with its first answer."""
    return Script([Agent([Turn([finish()], faults=list(faults or ()), usage=usage)])], latency)


def asked(server: MessagesServer) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "k", "ML_ENGINEER_MODEL": "claude-sonnet-5-5",
        "ML_ENGINEER_MAX_TOKENS": "1000",
    }  # fmt: skip


def ended(child: subprocess.Popen[str], code: int) -> tuple[str, str]:
    shown, errors = child.communicate(timeout=300)
    assert child.returncode == code, errors
    assert "Traceback" not in errors
    return shown, errors


def summary_of(out: Path) -> Summary:
    return Summary.model_validate_json((out / "summary.json").read_bytes())


def test_every_repository_is_reviewed_with_the_model(started: Start, many: Many, out: Path) -> None:
    with MessagesServer(script({"input_tokens": 100, "output_tokens": 10}), keep_bodies=False) as server:
        ended(started(*many(3), **asked(server)), 0)
        assert len(server.requests) == 3 * STEPS
    summary = summary_of(out)
    assert summary.usage.turns == 3 * STEPS
    assert summary.usage.tokens.input == 3 * STEPS * 100
    assert all((out / "reports" / row.folder / "report.html").is_file() for row in summary.repositories)
    assert list(out.glob(".runs/*")) == []


def test_a_refusal_of_the_server_holds_for_all(started: Start, many: Many, out: Path) -> None:
    faults = [Fault("status", 429, retry_after=4.0)]
    with MessagesServer(script(faults=faults), keep_bodies=False) as server:
        ended(started(*many(2), **asked(server)), 0)
        requests = list(server.requests)
    refused = [one for one in requests if one.fault]
    assert len(refused) == 1  # a fault of the script is served once
    assert len(requests) == 2 * STEPS + 1
    early = [one for one in requests if refused[0].answered + 2.0 < one.received < refused[0].answered + 4.0]
    assert early == []
    assert summary_of(out).usage.turns == 2 * STEPS


def test_the_cap_holds_for_the_whole_batch_and_a_larger_one_goes_on(started: Start, many: Many, out: Path) -> None:
    roots = many(4)
    usage = {"input_tokens": 10_000, "output_tokens": 500}
    with MessagesServer(script(usage), keep_bodies=False) as server:
        _, errors = ended(started(*roots, "--max-cost", "0.50", "--workers", "1", **asked(server)), 2)
        first = len(server.requests)
        summary = summary_of(out)
        assert "does not allow another call" in errors
        assert isinstance(summary.usage.cost_usd, float)
        assert 0 < summary.usage.cost_usd <= 0.50
        assert summary.totals.waiting > 0
        assert summary.totals.partial == 1
        ended(started(*roots, "--max-cost", "0.50", **asked(server)), 2)
        assert len(server.requests) == first  # nothing is left of it
        ended(started(*roots[:2], "--retry", "--offline", **asked(server)), 0)
        assert len(server.requests) == first
    assert summary_of(out).totals.reviewed == 2


def test_a_batch_that_was_killed_asks_for_nothing_again(started: Start, many: Many, out: Path) -> None:
    roots = many(3)
    with MessagesServer(script(latency=0.2)) as server:
        child = started(*roots, "--workers", "1", **asked(server))
        wait_for(lambda: len(server.requests) >= STEPS + 4)
        child.kill()
        child.communicate()
        before = len(server.requests)
        ended(started(*roots, "--workers", "1", **asked(server)), 0)
        bodies = Counter(str(one.body) for one in server.requests)
    assert len(bodies) == 3 * STEPS
    again = sum(count - 1 for count in bodies.values())
    assert again <= 8  # only what was in flight at the kill: the parallel steps of one repository
    assert before > STEPS
    assert summary_of(out).usage.turns == 3 * STEPS
