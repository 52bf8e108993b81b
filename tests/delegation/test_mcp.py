"""`mcp`: real MCP servers on loopback and over stdio."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from ml_engineer.delegation import desk as desk_module
from ml_engineer.delegation.transports.mcp import MCP
from ml_engineer.report.schema import Handoff, HandoffState, PeerReply
from tests.delegation.conftest import GOOD, desk, handoff
from tests.support.peer_servers import fixed_app, mcp_app, serve


@pytest.fixture
def server() -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:
        yield lambda tool, name="ask": stack.enter_context(serve(mcp_app(tool, name))) + "/mcp"


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "BACKOFF", 0.01)


def hand(transport: MCP, root: Path = Path(), timeout: float = 20.0) -> tuple[Handoff, PeerReply]:
    one = desk({"data-engineer": transport}, root=root, timeout=timeout)
    done = asyncio.run(one.hand(handoff("data-engineer"), ("ml-engineer",)))
    assert done.reply is not None
    return done, done.reply


def test_a_tool_s_text_is_the_reply(server: Callable[..., str]) -> None:
    told: list[str] = []

    async def review(text: str) -> str:
        told.append(text)
        return f"Done.\n```json\n{GOOD}\n```"

    done, reply = hand(MCP("review", "text", server(review, "review")))
    assert (done.state, reply.answer) == (HandoffState.ANSWERED, "Split by customer."), reply.error
    assert told[0].startswith("# Hand-off to data-engineer")


class Answer(BaseModel):
    answer: str
    turns: int = 0


def test_a_structured_result_is_the_reply(server: Callable[..., str]) -> None:
    async def ask(brief: str) -> Answer:
        return Answer(answer="Version the data.")

    assert hand(MCP("ask", "brief", server(ask)))[1].answer == "Version the data."


def test_errors_of_the_tool_are_no_answer(server: Callable[..., str]) -> None:
    async def ask(brief: str) -> str:
        raise ToolError(GOOD)

    done, reply = hand(MCP("ask", "brief", server(ask)))
    assert done.state is HandoffState.FAILED
    assert "the tool ask ended with an error" in str(reply.error)


def test_a_tool_or_argument_that_is_not_there_is_said(server: Callable[..., str]) -> None:
    async def ask(brief: str) -> str:
        return GOOD

    url = server(ask)
    for transport in (MCP("answer", "brief", url), MCP("ask", "question", url)):
        done, reply = hand(transport)
        assert done.state is HandoffState.FAILED
        assert str(reply.error).startswith("mcp: ")


def test_out_of_time_the_server_s_work_is_cancelled(server: Callable[..., str]) -> None:
    ended: list[str] = []

    async def ask(brief: str) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return GOOD

    started = time.monotonic()
    _, reply = hand(MCP("ask", "brief", server(ask)), timeout=2.0)
    assert reply.error == "no reply within 2 s; the peer was stopped"
    assert time.monotonic() - started < 12
    deadline = time.monotonic() + 10
    while not ended and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended == ["cancelled"]


def test_fifty_megabytes_are_refused(server: Callable[..., str]) -> None:
    async def ask(brief: str) -> str:
        return json.dumps({"answer": "x" * 50_000_000})

    done, reply = hand(MCP("ask", "brief", server(ask)), timeout=60)
    assert done.state is HandoffState.FAILED
    assert reply.answer == ""
    assert len(str(reply.error)) < 1000


@pytest.mark.parametrize("status", [404, 500, 503])
def test_http_faults_are_named(status: int) -> None:
    with serve(fixed_app(status, b"{}")) as url:
        done, reply = hand(MCP("ask", "brief", url + "/mcp"))
    assert done.state is HandoffState.FAILED
    assert str(reply.error).startswith("mcp: ")


def test_nobody_there_costs_nothing() -> None:
    _, reply = hand(MCP("ask", "brief", "http://127.0.0.1:9/mcp"))
    assert str(reply.error).startswith("mcp: ")
    assert reply.usage.cost_usd == 0


def test_a_server_that_is_started_by_a_command(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(
        "import os\nfrom mcp.server import MCPServer\nserver = MCPServer('peer', log_level='CRITICAL')\n"
        "@server.tool()\nasync def ask(brief: str) -> dict[str, object]:\n"
        "    return {'answer': f'{brief.splitlines()[0]} in {os.getcwd()}', 'usage': {'turns': 1}}\nserver.run()\n"
    )
    _, reply = hand(MCP("ask", "brief", None, (sys.executable, "server.py")), root=tmp_path, timeout=60)
    assert reply.answer.startswith("# Hand-off to data-engineer"), reply.error
    assert reply.answer.endswith(f"in {tmp_path}")


def test_a_command_that_is_no_server(tmp_path: Path) -> None:
    for command in (("/nonexistent/server",), (sys.executable, "-c", "pass")):
        done, reply = hand(MCP("ask", "brief", None, command), root=tmp_path, timeout=30)
        assert done.state is HandoffState.FAILED
        assert str(reply.error).startswith("mcp: ")


def test_what_a_server_writes_to_stderr_reaches_no_terminal_and_its_end_explains_the_failure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; sys.stderr.write('x' * 5_000_000 + '\\x1b[2J no database'); sys.exit(3)"
    _, reply = hand(MCP("ask", "brief", None, (sys.executable, "-c", code)), root=tmp_path, timeout=60)
    assert capfd.readouterr() == ("", "")
    assert str(reply.error).endswith("no database")
    assert len(str(reply.error)) < 1_000
