"""The blocks of docs/subagent.md that users paste: they parse, and their commands are ones that we have."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from ml_engineer.interfaces.cli import cli

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "subagent.md").read_text("utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def servers() -> list[dict[str, Any]]:
    found = [block.get(key, {}) for block in BLOCKS for key in ("mcpServers", "servers", "agent_servers")]
    return [server for table in found for server in table.values()]


def commands() -> list[list[str]]:
    written = [[server["command"], *server["args"]] for server in servers() if "command" in server]
    shell = [shlex.split(line) for line in re.findall(r"^claude mcp add .* -- (.*)$", TEXT, re.MULTILINE)]
    return written + shell


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_block_starts_a_command_that_there_is(command: list[str]) -> None:
    assert command[0] == "/absolute/path/to/ml-engineer", "clients need the whole path"
    context, rest = click.Context(cli), command[1:]
    group: click.Command = cli
    while isinstance(group, click.Group):
        name, found, rest = group.resolve_command(context, rest)
        assert found is not None
        group = found
        context = click.Context(group, info_name=name)
    group.make_context(command[0], list(rest))  # raises where an option is not ours


def test_addresses_are_on_loopback_and_carry_the_token() -> None:
    remote = [server for server in servers() if "url" in server]
    assert remote
    for server in remote:
        assert server["url"].startswith("http://127.0.0.1:")
        assert server["headers"]["Authorization"].startswith("Bearer ${")
