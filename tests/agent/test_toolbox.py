"""The repository's tools and permissions behind the loop's seams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.agent.calls import Call, Gate, Tools
from ml_engineer.agent.ledger import NotBegun
from ml_engineer.agent.toolbox import PermissionGate, RepositoryTools
from ml_engineer.tools.context import open_context
from ml_engineer.tools.permissions import Mode, Permissions


def a_call(name: str, **tool_input: Any) -> Call:
    return Call("t1", name, tool_input, "step/1/0")


def with_tools(folder: Path, do: Callable[[RepositoryTools], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        root = folder / "repository"
        root.mkdir(exist_ok=True)
        async with open_context(root, folder / "run", fsync=False) as context:
            tools: Tools = RepositoryTools(context)
            assert isinstance(tools, RepositoryTools)
            return await do(tools)

    return asyncio.run(go())


def test_a_call_reaches_its_tool_and_a_wrong_one_comes_back_with_advice(tmp_path: Path) -> None:
    async def do(tools: RepositoryTools) -> None:
        outcome = await tools.run(a_call("Write", file_path="a.py", content="a = 1\n"))
        assert not outcome.is_error
        wrong = await tools.run(a_call("Write", path="a.py"))
        assert wrong.is_error
        assert "did you mean file_path?" in wrong.text

    with_tools(tmp_path, do)
    assert (tmp_path / "repository" / "a.py").read_text() == "a = 1\n"


def test_what_is_read_only_is_said_by_the_tool(tmp_path: Path) -> None:
    async def do(tools: RepositoryTools) -> list[bool]:
        return [tools.is_read_only(a_call(name)) for name in ("Read", "Grep", "Edit", "Bash", "NoSuchTool")]

    assert with_tools(tmp_path, do) == [True, True, False, False, True]


def test_an_edit_that_was_not_begun_may_be_made(tmp_path: Path) -> None:
    async def do(tools: RepositoryTools) -> None:
        call = a_call("Write", file_path="a.py", content="a = 1\n")
        with pytest.raises(NotBegun):
            await tools.settle(call, tools.mark(call))

    with_tools(tmp_path, do)


def test_an_edit_that_was_made_is_known_from_the_journal(tmp_path: Path) -> None:
    async def do(tools: RepositoryTools) -> None:
        call = a_call("Write", file_path="a.py", content="a = 1\n")
        mark = tools.mark(call)
        await tools.run(call)
        outcome = await tools.settle(call, mark)
        assert outcome is not None
        assert outcome.text.startswith("Write changed a.py; the run was interrupted")

    with_tools(tmp_path, do)


def test_an_edit_that_was_begun_and_not_made_may_be_made(tmp_path: Path) -> None:
    async def begin(tools: RepositoryTools) -> dict[str, Any]:
        call = a_call("Write", file_path="a.py", content="a = 1\n")
        mark = tools.mark(call)
        tools.context.checkpoints.begin("Write", "a.py")  # and here the process is killed
        return mark

    async def settle(tools: RepositoryTools) -> None:
        with pytest.raises(NotBegun):
            await tools.settle(a_call("Write", file_path="a.py", content="a = 1\n"), mark)

    mark = with_tools(tmp_path, begin)
    with_tools(tmp_path, settle)


def test_of_a_command_that_was_begun_nothing_is_known(tmp_path: Path) -> None:
    async def do(tools: RepositoryTools) -> Any:
        call = a_call("Bash", command="true")
        mark = tools.mark(call)
        await tools.run(call)
        return await tools.settle(call, mark)

    assert with_tools(tmp_path, do) is None


def gate(tmp_path: Path, mode: Mode, **options: Any) -> Gate:
    return PermissionGate(Permissions(mode, tmp_path, headless=options.pop("headless", False)), **options)


def test_what_is_allowed_passes_and_what_is_not_is_refused_with_the_reason(tmp_path: Path) -> None:
    edit = a_call("Edit", file_path="a.py", old_string="a", new_string="b")
    assert asyncio.run(gate(tmp_path, Mode.READ_ONLY).refuses(a_call("Read", file_path="a.py"))) is None
    refusal = asyncio.run(gate(tmp_path, Mode.READ_ONLY).refuses(edit))
    assert refusal is not None
    assert refusal.startswith("Edit was refused: ")
    assert asyncio.run(gate(tmp_path, Mode.ACCEPT_EDITS).refuses(edit)) is None


def test_the_user_is_asked_and_the_answer_counts(tmp_path: Path) -> None:
    edit = a_call("Edit", file_path="a.py", old_string="a", new_string="b")
    asked = []

    async def yes(call: Call, decision: Any) -> str | None:
        asked.append(call.name)
        return None

    assert asyncio.run(gate(tmp_path, Mode.ASK, ask=yes).refuses(edit)) is None
    assert asked == ["Edit"]
    refusal = asyncio.run(gate(tmp_path, Mode.ASK, ask=yes, headless=True).refuses(edit))
    assert refusal is not None
    assert asked == ["Edit"]
