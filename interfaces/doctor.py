"""`ml-engineer doctor`: what this machine has and lacks, and how to get it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml_engineer import __version__
from ml_engineer.agent.runs import home

if TYPE_CHECKING:
    from ml_engineer.agent.client import Settings

_LIBRARIES = (
    *("anthropic", "langgraph", "langgraph-checkpoint-sqlite", "pydantic", "gitpython", "jinja2", "rich"),
    *("mcp", "prompt_toolkit"),
)
_PROGRAMS = {
    "git": "needed for history, tracked files and worktrees: install git",
    "rg": "faster search: pip install 'ml-engineer[fast]'",
    "ruff": "more findings on Python: pip install 'ml-engineer[enrich]'",
    "hadolint": "more findings on Dockerfiles: pip install 'ml-engineer[enrich]'",
}
_EXTRAS = {  # what is imported, what it is for
    "a2a": ("a2a", "serve a2a, and peers that are reached by it"),
    "acp": ("acp", "serve acp, for editors"),
    "ray": ("ray", "batch on a cluster"),
}
PATIENCE = 60.0  # seconds for a model to answer; one that runs locally may have to be loaded first


@click.command()
def doctor() -> None:
    """Say what this machine has and lacks; where a model is configured it is asked one word. Exit code 2 where a review
    would not work."""
    good = True
    for state, name, text in checks():
        click.echo(f"{state:4}  {name:28}  {text}")
        good = good and state != "bad"
    if not good:
        sys.exit(2)


def checks() -> Iterator[tuple[str, str, str]]:
    """(state, what, explanation); state is ok, none (works without it) or bad."""
    yield "ok", "ml-engineer", __version__
    yield ("ok" if sys.version_info >= (3, 11) else "bad"), "python", platform.python_version()
    for library in _LIBRARIES:
        try:
            yield "ok", library, importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            yield "bad", library, "not installed: pip install ml-engineer"
    for program, purpose in _PROGRAMS.items():
        path = find_program(program)
        state = "ok" if path else "bad" if program == "git" else "none"
        yield state, program, path or purpose
    for extra, (module, purpose) in _EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        how = "installed" if there else f"pip install 'ml-engineer[{extra}]'"
        yield "ok" if there else "none", f"extra {extra}", f"{purpose}: {how}"
    yield _sandbox()
    yield _state_directory()
    yield _model()


def find_program(name: str) -> str | None:
    """Where a program is: beside our own Python first, then on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / name
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)


def _sandbox() -> tuple[str, str, str]:
    """The level that confines commands here, as its self-test proves it."""
    from ml_engineer.tools.launch import LaunchError
    from ml_engineer.tools.sandbox import Level, choose

    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        workspace.mkdir()
        try:
            sandbox = choose(workspace, Path(folder) / "scratch")
        except LaunchError as error:
            return "none", "sandbox", f"off: {error}"
    state = "none" if sandbox.level is Level.OFF else "ok"
    return state, "sandbox", sandbox.banner().removeprefix("sandbox: ")


def _state_directory() -> tuple[str, str, str]:
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return "none", "state directory", f"{folder}: {error.strerror}; runs are kept in memory. Set ML_ENGINEER_HOME"
    return "ok", "state directory", str(folder)


def _model() -> tuple[str, str, str]:
    """Whether a model answers, by one tiny call of a few tokens."""
    from ml_engineer.agent.client import ConfigError, find_settings

    try:
        settings = find_settings()
    except ConfigError as error:
        return "bad", "model", str(error)
    if settings is None:
        return "none", "model", "no key and no base URL: `review` works without a model"
    return asyncio.run(_ask(settings))


async def _ask(settings: Settings) -> tuple[str, str, str]:
    from ml_engineer.agent.client import ConfigError, open_client, ping
    from ml_engineer.agent.failures import ModelError

    named = f"{settings.model} at {settings.place}"
    try:
        client = open_client(settings)
        started = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                await ping(client)
        finally:
            await client.close()
    except ConfigError as error:
        return "bad", "model", str(error)
    except ModelError as error:
        return "bad", "model", f"{named}: {error}"
    except TimeoutError:
        return "bad", "model", f"{named} has not answered within {PATIENCE:g} s"
    return "ok", "model", f"{named} answered in {time.monotonic() - started:.1f} s"
