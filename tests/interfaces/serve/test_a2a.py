"""The A2A server, driven by the protocol's official client over both bindings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver
from a2a.types import AgentCard, CancelTaskRequest

from ml_engineer.interfaces.serve.order import STEP_SKILLS
from ml_engineer.report import markdown
from ml_engineer.report.schema import Report
from ml_engineer.report.seal import digest
from tests.interfaces.serve.conftest import Place
from tests.support.a2a_client import Heard, a2a_client, a2a_server, asked_for, message, resubscribed, send
from tests.support.mcp_server import HttpServer, until

BINDINGS = ["JSONRPC", "HTTP+JSON"]


@pytest.fixture(scope="module")
def a2a(place: Place) -> Iterator[HttpServer]:
    """A read-only server without a token and without a model."""
    with a2a_server(place.root, place.home) as running:
        yield running


async def card_of(url: str) -> AgentCard:
    async with httpx.AsyncClient() as http:
        return await A2ACardResolver(http, url).get_agent_card()


def test_the_card_names_the_skills_and_where_they_are(a2a: HttpServer) -> None:
    card = asyncio.run(card_of(a2a.url))
    assert [skill.id for skill in card.skills] == ["review", "route", *STEP_SKILLS], (
        "a read-only server changes nothing"
    )
    assert card.capabilities.streaming
    assert {one.protocol_binding: one.url for one in card.supported_interfaces} == {
        "JSONRPC": f"{a2a.url}/a2a",
        "HTTP+JSON": f"{a2a.url}/rest",
    }
    assert not card.security_requirements


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_review_streams_its_steps_and_leaves_the_sealed_report(a2a: HttpServer, binding: str) -> None:
    async def session() -> Heard:
        async with a2a_client(a2a.url, binding) as client:
            return await send(client, "review prototype")

    heard = asyncio.run(session())
    assert (heard.states[0], heard.states[1], heard.state) == ("submitted", "working", "completed")
    assert [line for line in heard.said if line.startswith("Step 5 of 10")] == [
        "Step 5 of 10 is done: Model Deployment."
    ]
    assert heard.said.index("The repository is read.") < heard.said.index("The evidence is checked.")
    assert heard.said[-1].startswith("prototype: ")
    report = heard.report
    assert report.digest == digest(report), "the bytes on the wire are those that were sealed"
    assert (report.repository.name, report.coverage.state) == ("prototype", "complete")
    assert heard.parts["report.json"].media_type == "application/json"
    assert heard.parts["report.md"].text == markdown.render(report)


def test_one_step_and_numbers_that_arrive_as_floats(a2a: HttpServer) -> None:
    async def session() -> tuple[Heard, Heard]:
        async with a2a_client(a2a.url) as client:
            by_name = await send(client, "model-deployment ./prototype")
            return by_name, await send(client, {"skill": "review", "path": "prototype", "steps": [5]})

    for heard in asyncio.run(session()):
        assert {finding.step for finding in heard.report.findings} == {5}


def test_a_task_is_routed_by_its_words_or_by_what_stands_there(a2a: HttpServer) -> None:
    async def session() -> tuple[Heard, Heard]:
        async with a2a_client(a2a.url) as client:
            words = await send(client, "route Plan a Kubernetes cluster in three regions")
            return words, await send(client, {"skill": "route", "path": "prototype", "task": "Make it better"})

    words, found = asyncio.run(session())
    routes = json.loads(words.parts["routes.json"].raw)
    assert routes["handoffs"]
    assert routes["run_id"] is None
    assert routes["handoffs"][0]["peer"] in words.said[-1]
    assert json.loads(found.parts["routes.json"].raw)["run_id"]
    assert found.state == "completed"


def test_what_is_not_understood_is_asked_for_in_the_same_task(a2a: HttpServer) -> None:
    async def session() -> tuple[str, list[str], Heard]:
        async with a2a_client(a2a.url) as client:
            heard = await send(client, "What a lovely day")
            state, said = heard.state, list(heard.said)
            return state, said, await send(client, "review prototype --steps 5", task=heard)

    state, said, heard = asyncio.run(session())
    assert state == "input_required"
    assert "`review [PATH]" in said[-1]
    assert heard.state == "completed"
    assert heard.report.findings


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("review ../outside", "outside the folders"),
        ("review {outside}", "outside the folders"),
        ("review escape", "outside the folders"),
        ({"skill": "review", "path": "prototype/../escape"}, "outside the folders"),
        ("route /etc Scale it", "outside the folders"),
        ("review nowhere", "no such folder"),
        ("implement ./prototype Add a route", "this server is read-only"),
        ({"skill": "review", "path": "prototype", "use_model": True}, "needs a model"),
        ({"skill": "dance"}, "must be one of"),
        ('{"skill": "review"', "begins like JSON and is none"),
        ('{"skill": ' * 20_000, "begins like JSON and is none"),
        ("review prototype --steps 12", "numbers from 1 to 10"),
    ],
)
@pytest.mark.parametrize("binding", BINDINGS)
def test_what_a_client_may_not_have_is_rejected_with_a_reason(
    place: Place, a2a: HttpServer, binding: str, content: Any, says: str
) -> None:
    async def session() -> Heard:
        async with a2a_client(a2a.url, binding) as client:
            text = content.format(outside=place.outside) if isinstance(content, str) and "{o" in content else content
            return await send(client, text)

    heard = asyncio.run(session())
    assert heard.state == "rejected"
    assert says in heard.said[-1]
    assert not heard.parts


def test_two_clients_at_once_each_get_their_own(a2a: HttpServer) -> None:
    async def one(binding: str) -> Heard:
        async with a2a_client(a2a.url, binding) as client:
            return await send(client, "review prototype")

    async def both() -> list[Heard]:
        return await asyncio.gather(*map(one, BINDINGS))

    first, second = (heard.report for heard in asyncio.run(both()))
    assert first.run.id != second.run.id
    assert first.findings == second.findings


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_cancelled_task_leaves_no_process(a2a: HttpServer, large: Path, binding: str) -> None:
    async def session() -> Heard:
        async with a2a_client(a2a.url, binding) as client:
            heard = await send(client, "review large", until_heard=lambda one: bool(one.task_id))
            await asyncio.to_thread(until, a2a.jobs, "the review's process")
            await client.cancel_task(CancelTaskRequest(id=heard.task_id))
            assert not a2a.jobs(), "the answer comes when the work has ended"
            return await asked_for(client, heard.task_id)

    assert asyncio.run(session()).state == "canceled"


def test_a_client_that_has_left_comes_back_to_its_task(a2a: HttpServer, large: Path) -> None:
    async def session() -> tuple[Heard, Heard]:
        async with a2a_client(a2a.url) as client:
            begun = await send(client, "review large --steps 1,2", until_heard=lambda one: bool(one.task_id))
        async with a2a_client(a2a.url) as client:
            return begun, await resubscribed(client, begun.task_id)

    begun, heard = asyncio.run(session())
    assert heard.task_id == begun.task_id
    assert heard.state == "completed"
    assert heard.report.repository.name == "large"


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_message_to_a_task_at_work_does_not_begin_it_again(a2a: HttpServer, large: Path, binding: str) -> None:
    async def session() -> tuple[Heard, Heard]:
        async with a2a_client(a2a.url, binding) as client:
            begun = await send(client, "review large --steps 1", until_heard=lambda one: len(one.states) > 1)
            assert begun.state == "working"
            asked = Heard(begun.task_id, begun.context_id)
            return await send(client, "review prototype", task=asked), await asked_for(client, begun.task_id)

    heard, kept = asyncio.run(session())
    assert heard.states.count("completed") == 1
    assert (kept.state, kept.report.repository.name) == ("completed", "large")


def test_a_task_that_has_ended_can_be_asked_for_and_not_cancelled(a2a: HttpServer) -> None:
    async def session() -> Heard:
        async with a2a_client(a2a.url) as client:
            heard = await send(client, "review prototype --steps 5")
            with pytest.raises(Exception, match="cannot be canceled"):
                await client.cancel_task(CancelTaskRequest(id=heard.task_id))
            with pytest.raises(Exception, match="not found"):
                await asked_for(client, "no-such-task")
            again = await asked_for(client, heard.task_id)
            assert again.report == heard.report
            with pytest.raises(Exception, match="terminal state"):
                async for _ in client.send_message(message("yes", heard)):
                    pass
            return again

    assert asyncio.run(session()).state == "completed"


def test_the_report_comes_whole_without_streaming(a2a: HttpServer) -> None:
    """A client that only polls gets the same artefacts with the task."""
    body = {
        "message": {"role": "ROLE_USER", "messageId": "m1", "parts": [{"text": "review prototype --steps 5"}]},
        "configuration": {"returnImmediately": False},
    }
    answer = httpx.post(f"{a2a.url}/rest/message:send", json=body, headers={"A2A-Version": "1.0"}, timeout=60)
    task = answer.json()["task"]
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    assert {one["name"] for one in task["artifacts"]} == {"report.json", "report.md"}


def test_the_sealed_report_is_a_report(a2a: HttpServer) -> None:
    async def session() -> Report:
        async with a2a_client(a2a.url) as client:
            return (await send(client, "Please check whether ./prototype is ready for production.")).report

    assert asyncio.run(session()).score.steps
