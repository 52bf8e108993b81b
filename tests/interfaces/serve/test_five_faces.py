"""One review through five interfaces: command line, MCP, A2A, ACP, LangGraph. The sealed report is the same."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.interfaces.langgraph_export import ROOTS
from ml_engineer.report.schema import Report
from ml_engineer.report.seal import digest
from tests.interfaces.serve.conftest import Place
from tests.support.a2a_client import a2a_client, a2a_server, send
from tests.support.acp_editor import editor
from tests.support.mcp_server import SCRIPT, clean_environment, http_client, http_server

STEPS = (1, 5, 9)  # of which the prototype fails some checks


def by_command_line(place: Place) -> bytes:
    command = [SCRIPT, "review", "prototype", "--offline", "--format", "json", "--steps", ",".join(map(str, STEPS))]
    environment = clean_environment(place.home)
    done = subprocess.run(command, cwd=place.root, env=environment, capture_output=True, check=True, timeout=120)
    return done.stdout


def by_mcp(place: Place) -> bytes:
    async def session(url: str) -> bytes:
        async with http_client(url) as client:
            result = await client.call_tool("review_repository", {"path": "prototype", "steps": list(STEPS)})
            assert isinstance(result.structured_content, dict)
            (content,) = (await client.read_resource(result.structured_content["report_uri"])).contents
            return str(getattr(content, "text", "")).encode()

    with http_server(place.root, place.home) as running:
        return asyncio.run(session(running.url))


def by_a2a(place: Place) -> bytes:
    async def session(url: str) -> bytes:
        async with a2a_client(url) as client:
            heard = await send(client, {"skill": "review", "path": "prototype", "steps": list(STEPS)})
            return heard.parts["report.json"].raw

    with a2a_server(place.root, place.home) as running:
        return asyncio.run(session(running.url))


def by_acp(place: Place) -> bytes:
    async def session() -> bytes:
        async with editor(place.root, place.home) as opened:
            session_id = await opened.begin(place.root / "prototype")
            await opened.say(session_id, f"/review --steps {','.join(map(str, STEPS))}")
            return opened.editor.sealed.read_bytes()

    return asyncio.run(session())


APPLICATION = """
import json, sys
from ml_engineer import ml_engineer_graph

print(json.dumps(ml_engineer_graph.invoke(json.loads(sys.argv[1]))))
"""


def by_langgraph(place: Place) -> bytes:
    request = json.dumps({"path": "prototype", "steps": list(STEPS)})
    environment = clean_environment(place.home, **{ROOTS: str(place.root)})
    command = [sys.executable, "-c", APPLICATION, request]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=120)
    return Path(json.loads(done.stdout)["report_path"]).read_bytes()


def _bare(report: Report) -> dict[str, Any]:
    """Without what names the run and the hour: ids, times, the digest over them, and the briefs' places in the run."""
    data = report.model_dump(mode="json", exclude={"run": {"id", "started", "finished"}, "digest": True})
    for handoff in data["handoffs"]:
        handoff.pop("brief")
    return data


@pytest.fixture(scope="module")
def reference(place: Place) -> Report:
    report = Report.model_validate_json(by_command_line(place))
    assert {finding.step for finding in report.findings} <= set(STEPS)
    assert len(report.findings) > 5
    return report


@pytest.mark.parametrize("face", [by_mcp, by_a2a, by_acp, by_langgraph])
def test_the_report_is_the_one_of_the_command_line(
    place: Place, reference: Report, face: Callable[[Place], bytes]
) -> None:
    sealed = face(place)
    report = Report.model_validate_json(sealed)
    assert report.digest == digest(report)
    assert report.run.id != reference.run.id
    assert _bare(report) == _bare(reference)
    assert sealed.decode() == report.to_json(), "the JSON is byte for byte what was sealed"
