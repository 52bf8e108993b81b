"""An implementation for an A2A client: the plan and what the permissions leave open are questions in its task."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from a2a.types import CancelTaskRequest

from tests.interfaces.serve.conftest import Place
from tests.support.a2a_client import Heard, a2a_client, a2a_server, asked_for, send
from tests.support.implementation import debugger_off, git, make_repository
from tests.support.mcp_server import SCRIPT, HttpServer, clean_environment
from tests.support.messages_server import MessagesServer


@dataclass(frozen=True)
class Workplace:
    """A server with a scripted model, and a repository that it may change."""

    server: HttpServer
    target: Path

    @property
    def order(self) -> str:
        return f"implement ./{self.target.name} Turn the debugger off"

    @property
    def branches(self) -> list[str]:
        return git(self.target, "branch", "--list", "--format=%(refname:short)", "ml-engineer/*").split()


@pytest.fixture(scope="module")
def model() -> Iterator[MessagesServer]:
    with MessagesServer(debugger_off()) as running:
        yield running


@pytest.fixture(scope="module")
def asking(place: Place, model: MessagesServer) -> Iterator[HttpServer]:
    options = ("--permission", "ask", "--model", "scripted")
    with a2a_server(place.root, place.home, *options, ANTHROPIC_BASE_URL=model.url) as running:
        yield running


@pytest.fixture
def workplace(place: Place, asking: HttpServer, request: pytest.FixtureRequest) -> Workplace:
    return Workplace(asking, make_repository(place.root / request.node.name))


def test_the_plan_is_approved_in_the_task_and_edits_are_asked_for(workplace: Workplace) -> None:
    async def session() -> tuple[Heard, list[str]]:
        questions = []
        async with a2a_client(workplace.server.url) as client:
            heard = await send(client, workplace.order)
            while heard.state == "input_required":
                questions.append(heard.said[-1])
                answer = {"approved": True} if len(questions) % 2 else "Yes."
                heard = await send(client, answer, task=heard)
        return heard, questions

    heard, questions = asyncio.run(session())
    assert heard.state == "completed", heard.said
    plan, edit = questions
    assert "Turn the debugger off" in plan
    assert "$ ! grep -q debug=True app.py" in plan
    assert "Carry out this plan?" in plan
    assert "Edit: app.py" in edit
    report = heard.report
    (branch,) = workplace.branches
    assert (report.run.mode, branch) == ("implement", f"ml-engineer/{report.run.id}")
    assert "debug=True" not in git(workplace.target, "show", f"{branch}:app.py")
    assert "debug=True" in (workplace.target / "app.py").read_text(), "the repository's own files stay as they are"
    assert branch in heard.said[-1]


def test_a_plan_that_is_refused_leaves_nothing(workplace: Workplace) -> None:
    async def session() -> Heard:
        async with a2a_client(workplace.server.url, "HTTP+JSON") as client:
            heard = await send(client, workplace.order)
            assert heard.state == "input_required"
            heard = await send(client, "Perhaps, if the weather allows", task=heard)
            assert heard.state == "input_required", "what is neither yes nor no is asked for again"
            assert "Carry out this plan?" in heard.said[-1]
            return await send(client, "no", task=heard)

    heard = asyncio.run(session())
    assert heard.state == "rejected"
    assert "was not approved; nothing was changed" in heard.said[-1]
    assert not workplace.branches


def test_a_task_that_waits_for_an_answer_can_be_cancelled(place: Place, workplace: Workplace) -> None:
    async def session() -> Heard:
        async with a2a_client(workplace.server.url) as client:
            heard = await send(client, workplace.order)
            assert heard.state == "input_required"
            await client.cancel_task(CancelTaskRequest(id=heard.task_id))
            return await asked_for(client, heard.task_id)

    assert asyncio.run(session()).state == "canceled"
    assert "debug=True" in (workplace.target / "app.py").read_text()
    command, environment = [SCRIPT, "runs", "list", "--json"], clean_environment(place.home)
    listed = subprocess.run(command, capture_output=True, check=True, env=environment, timeout=60).stdout
    runs = [run for run in map(json.loads, listed.splitlines()) if run["target"] == str(workplace.target)]
    states = [run["state"] for run in runs]
    assert states == ["interrupted"], "nobody works on it any more, and it can be resumed"


def test_with_the_permission_full_nobody_is_asked(place: Place, model: MessagesServer) -> None:
    target = make_repository(place.root / "unattended")

    async def session(server: HttpServer) -> Heard:
        async with a2a_client(server.url) as client:
            return await send(client, "implement ./unattended Turn the debugger off")

    options = ("--permission", "full", "--model", "scripted")
    with a2a_server(place.root, place.home, *options, ANTHROPIC_BASE_URL=model.url) as running:
        heard = asyncio.run(session(running))
        assert "input_required" not in heard.states
        assert heard.state == "completed", heard.said
        assert Workplace(running, target).branches == [f"ml-engineer/{heard.report.run.id}"]
