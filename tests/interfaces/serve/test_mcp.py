"""The MCP server, driven by the protocol's official client over stdio and HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from ml_engineer.agent.runs import ID
from ml_engineer.interfaces import schemas
from ml_engineer.interfaces.serve.command import WORKERS
from ml_engineer.report.schema import Report
from tests.interfaces.serve.conftest import Place
from tests.interfaces.test_schemas import validator
from tests.support.mcp_server import HttpServer, http_client, stdio

TOOLS = {
    "review_repository",
    "list_findings",
    "explain_rule",
    "plan_production",
    "route",
    "ask",
    "implement",
    "measure",
}


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    validator(f"mcp-{tool}").validate(result.structured_content)
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert result.structured_content is None
    return "".join(getattr(block, "text", "") for block in result.content)


async def resource(client: Client, uri: str) -> str:
    (content,) = (await client.read_resource(uri)).contents
    return str(getattr(content, "text", ""))


@pytest.mark.parametrize(("transport", "mode"), [("stdio", "auto"), ("http", "legacy")])
def test_a_client_reviews_and_reads_on(place: Place, server: HttpServer, transport: str, mode: Any) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, what: str | None) -> None:
        heard.append((done, total, what))

    async def session() -> None:
        async with Client(server.url if transport == "http" else stdio(place.root, place.home), mode=mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == TOOLS
            for name, tool in tools.items():
                assert tool.output_schema is not None, "every tool says what it gives"
                assert set(tool.output_schema["properties"]) == set(schemas.schema(f"mcp-{name}")["properties"])

            result = await client.call_tool("review_repository", {"path": "prototype"}, progress_callback=progress)
            review = result.structured_content
            assert isinstance(review, dict), result.content
            assert ID.match(review["run_id"])
            assert (review["repository"], review["coverage"], review["model"]) == ("prototype", "complete", None)
            assert len(review["steps"]) == 10
            assert review["fix_first"][0]["places"][0].startswith("app.py:")

            run_id = review["run_id"]
            page = await call(client, "list_findings", run_id=run_id, limit=2)
            assert (len(page["findings"]), page["next_offset"]) == (2, 2)
            assert page["total"] == review["findings_total"]
            found = await call(client, "list_findings", run_id=run_id, rule="mle0506", severity="high", path="app.py")
            assert [one["rule"] for one in found["findings"]] == ["MLE0506"]
            nothing = await call(client, "list_findings", run_id=run_id, rule="MLE0506", step=1)
            assert (nothing["findings"], nothing["next_offset"]) == ([], None)

            plan = await call(client, "plan_production", run_id=run_id)
            assert [one["step"] for one in plan["steps"]] == list(range(1, 11))
            deployment = plan["steps"][4]
            debugger = next(one for one in deployment["actions"] if one["rule"] == "MLE0506")
            assert debugger["places"][0].startswith("app.py:")
            assert "Rollback Strategy" in deployment["open_fields"]

            report = Report.model_validate_json(await resource(client, f"report://{run_id}"))
            assert report.digest == review["digest"]
            assert (await resource(client, f"report://{run_id}/markdown")).startswith("## ML Production System")
            runs = json.loads(await resource(client, "runs://all"))
            validator("mcp-runs").validate(runs)
            assert runs["runs"][0]["run_id"] == run_id

    asyncio.run(session())
    done = [one[0] for one in heard]
    assert done == sorted(done), "progress never goes back"
    assert heard[-1] == (15, 15, "seal")


def test_only_the_steps_that_were_asked_for(server: HttpServer) -> None:
    async def session() -> None:
        async with http_client(server.url) as client:
            review = await call(client, "review_repository", path="prototype", steps=[5])
            assert [one["step"] for one in review["steps"] if one["state"] == "done"] == [5]
            assert {one["step"] for one in review["fix_first"]} == {5}
            assert "numbers from 1 to 10" in await refusal(client, "review_repository", path="prototype", steps=[11])

    asyncio.run(session())


def test_rules_and_routes_need_neither_run_nor_model(server: HttpServer) -> None:
    async def session() -> None:
        async with http_client(server.url) as client:
            (rule,) = (await call(client, "explain_rule", rule="mle0506"))["rules"]
            assert (rule["id"], rule["step"], rule["step_name"]) == ("MLE0506", 5, "Model Deployment")
            assert rule["why"]
            assert rule["rests_on"]
            assert json.loads(await resource(client, "rule://MLE0506"))["rules"] == [rule]
            assert len(json.loads(await resource(client, "rules://all"))["rules"]) > 150
            assert "near it: MLE05" in await refusal(client, "explain_rule", rule="MLE0599")

            task = "Design the autoscaling of our GPU cluster on AWS"
            routed = (await call(client, "route", task=task))["handoffs"]
            assert [one["peer"] for one in routed] == ["cloud-architect"]
            assert "autoscaling" in routed[0]["why"]
            assert (await call(client, "route", task="Rename a variable"))["handoffs"] == []

    asyncio.run(session())


def test_what_was_found_counts_in_a_route(server: HttpServer) -> None:
    async def session() -> None:
        async with http_client(server.url) as client:
            review = await call(client, "review_repository", path="prototype")
            routed = await call(client, "route", task="Rename a variable", run_id=review["run_id"])
            assert [one["peer"] for one in routed["handoffs"]] == [one["peer"] for one in review["handoffs"]]
            assert review["handoffs"], "the prototype has faults that are for peers"

    asyncio.run(session())


def test_what_needs_a_model_or_a_permission_says_so(server: HttpServer) -> None:
    async def session() -> None:
        async with http_client(server.url) as client:
            for tool, more in (("ask", {"question": "What is it?"}), ("review_repository", {"use_model": True})):
                assert "needs a model, and this server has none" in await refusal(
                    client, tool, path="prototype", **more
                )
            said = await refusal(client, "implement", path="prototype", task="Turn the debugger off")
            assert "this server is read-only" in said
            training = {"label": "training", "command": "touch ran"}
            assert "this server is read-only" in await refusal(client, "measure", path="prototype", training=training)

    asyncio.run(session())


def test_prompts_name_the_tools(server: HttpServer) -> None:
    async def session() -> None:
        async with http_client(server.url) as client:
            prompts = {one.name: one for one in (await client.list_prompts()).prompts}
            assert set(prompts) == {"review_for_production", "bring_to_production", "fix_rule", "gate_a_merge"}
            for name, prompt in prompts.items():
                given = {argument.name: "churn" for argument in prompt.arguments or []}
                (message,) = (await client.get_prompt(name, given)).messages
                assert "review_repository" in getattr(message.content, "text", "")

    asyncio.run(session())


def test_many_calls_at_once_are_all_answered_by_few_processes(place: Place, server: HttpServer) -> None:
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(await asyncio.to_thread(server.jobs)))
            await asyncio.sleep(0.02)

    async def session() -> list[dict[str, Any]]:
        watching = asyncio.ensure_future(watch())
        async with http_client(server.url) as first, http_client(server.url) as second:
            calls = [call(client, "review_repository", path="prototype") for client in (first, second) * 3]
            answers = await asyncio.gather(*calls)
        watching.cancel()
        return answers

    answers = asyncio.run(session())
    assert len({one["run_id"] for one in answers}) == 6
    assert 1 <= most <= WORKERS
    assert all(Path(place.home, "runs", one["run_id"], "report.json").is_file() for one in answers)
    volatile = {"run_id", "digest", "report_uri", "markdown_uri"}
    told = [{key: value for key, value in one.items() if key not in volatile} for one in answers]
    assert told == [told[0]] * 6
