"""The settings: defaults, what may be set, and every mistake named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_engineer.delegation.connect import connect
from ml_engineer.delegation.peers import built_in
from ml_engineer.delegation.settings import DelegationError, Settings, read_settings
from ml_engineer.delegation.transports.a2a import A2A
from ml_engineer.delegation.transports.base import Ask, Written
from ml_engineer.delegation.transports.command import Command
from ml_engineer.delegation.transports.local import Local
from ml_engineer.delegation.transports.mcp import MCP


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return read_settings(path)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "config.toml") == Settings()
    (tmp_path / "file").touch()
    assert read_settings(tmp_path / "file" / "config.toml") == Settings()


def test_each_way_to_reach_a_peer(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        """
        [model]
        name = "of somebody else"
        [delegation]
        threshold = "medium"
        parallel = 2
        max_cost = 3
        [peers.data-scientist]
        transport = "command"
        command = ["claude", "-p"]
        timeout = 900
        [peers.cloud-architect]
        transport = "a2a"
        url = "https://agents.example.com"
        token_env = "ARCHITECT_TOKEN"
        [peers.data-engineer]
        transport = "mcp"
        url = "http://127.0.0.1:8000/mcp"
        tool = "review"
        argument = "text"
        [peers.devops-engineer]
        transport = "mcp"
        command = ["python", "server.py"]
        [peers.ai-strategist]
        transport = "queue"
        """,
    )
    assert (found.threshold, found.parallel, found.max_cost) == ("medium", 2, 3)
    transports = connect(built_in().peers, found)
    assert transports == {
        "data-scientist": Command(("claude", "-p")),
        "cloud-architect": A2A("https://agents.example.com", "ARCHITECT_TOKEN"),
        "data-engineer": MCP("review", "text", "http://127.0.0.1:8000/mcp"),
        "devops-engineer": MCP("ask", "brief", None, ("python", "server.py")),
    }


def test_with_a_model_the_six_are_local_unless_set_otherwise(tmp_path: Path) -> None:
    async def run(ask: Ask) -> Written:
        raise AssertionError("not called here")

    found = settings(tmp_path, '[peers.ai-strategist]\ntransport = "queue"\n[peers.data-engineer]\ntimeout = 5\n')
    transports = connect(built_in().peers, found, run)
    assert transports == {name: Local(run) for name in built_in().peers if name != "ai-strategist"}


WRONG = {
    "[delegation]\nthreshold = 'grave'": "threshold must be one of critical",
    "[delegation]\nparallel = 0": "parallel must be above zero",
    "[delegation]\nparallel = 'four'": "parallel is 'four'; it must be a whole number",
    "[delegation]\nparallel = true": "parallel is True",
    "[delegation]\nparalel = 4": "paralel is not a setting; there are threshold, parallel",
    "delegation = 3": "[delegation] must be a table",
    "peers = 3": "peers must be tables",
    "[peers]\nx = 3": "[peers.x] must be a table",
    "[peers.x]\ntransport = 'pigeon'": "transport is 'pigeon'; it must be one of local, command, a2a, mcp, queue",
    "[peers.x]\ntransport = 'command'": "transport command needs command",
    "[peers.x]\ntransport = 'command'\ncommand = 'claude -p'": "command is 'claude -p'; it must be a list of words",
    "[peers.x]\ntransport = 'command'\ncommand = ['a', 3]": "command must be a list of words",
    "[peers.x]\ntransport = 'a2a'": "transport a2a needs url",
    "[peers.x]\ntransport = 'mcp'": "transport mcp needs url or command",
    "[peers.x]\ntransport = 'a2a'\nurl = 'ftp://x'": "must begin with http",
    "[peers.x]\ntimeout = -1": "timeout must be above zero",
    "[peers.x": "cannot be read",
}


@pytest.mark.parametrize(("text", "says"), WRONG.items())
def test_a_mistake_is_named_with_file_table_and_setting(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DelegationError) as caught:
        settings(tmp_path, text)
    assert says in str(caught.value)
    assert str(tmp_path / "config.toml") in str(caught.value)


def test_settings_for_nobody_are_a_mistake(tmp_path: Path) -> None:
    found = settings(tmp_path, "[peers.data-scientits]\ntransport = 'queue'")
    with pytest.raises(DelegationError, match=r"\[peers.data-scientits\] has no definition; there are ai-strategist"):
        connect(built_in().peers, found)
