"""A repository, a run and a driver that calls tools as the agent does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.tools.base import ToolResult
from ml_engineer.tools.checkpoints import Caps
from ml_engineer.tools.context import open_context
from ml_engineer.tools.registry import invoke


class Driver:
    """Tools over `root`. `call` gives the result; `ok` its text, and fails on an error; `no` the reverse."""

    def __init__(self, root: Path, run_dir: Path, caps: Caps | None = None) -> None:
        self.root, self.run_dir = root, run_dir
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        opening = self._stack.enter_async_context(open_context(root, run_dir, caps=caps, fsync=False))
        self.context = self._runner.run(opening)

    def call(self, name: str, **raw: Any) -> ToolResult:
        return self._runner.run(invoke(name, raw, self.context))

    def ok(self, name: str, **raw: Any) -> str:
        result = self.call(name, **raw)
        assert not result.is_error, result.text
        return result.text

    def no(self, name: str, **raw: Any) -> str:
        result = self.call(name, **raw)
        assert result.is_error, f"{name} should have failed: {result.text}"
        return result.text

    def sleep(self, seconds: float) -> None:
        self._runner.run(asyncio.sleep(seconds))

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    return folder


@pytest.fixture
def tools(root: Path, tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(root, tmp_path / "run")
    yield driver
    driver.close()


@pytest.fixture
def open_tools(root: Path, tmp_path: Path) -> Iterator[Any]:
    """Opens further drivers over the same repository and run, with caps."""
    drivers: list[Driver] = []

    def opened(caps: Caps | None = None) -> Driver:
        drivers.append(Driver(root, tmp_path / "run", caps))
        return drivers[-1]

    yield opened
    for driver in drivers:
        driver.close()
