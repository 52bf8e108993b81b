"""`ml-engineer serve mcp|a2a|acp`: the same work for other agent systems. A protocol is imported when it is served."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ml_engineer.interfaces.model import ModelChoice, Money, model_options
from ml_engineer.interfaces.options import Refusal

MODES = ("read-only", "ask", "accept-edits", "full")
WORKERS = 2  # reviews at once
MEMORY = 2 << 30  # bytes of one review
SECONDS = 1_800.0  # of one review


@click.group()
def serve() -> None:
    """Serve other agent systems: reviews, findings, plans, and what the permissions allow beyond that."""


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --root, --permission and --max-total-cost, the same for every protocol."""
    for option in (
        click.option(
            "--max-total-cost",
            type=Money(),
            help="Stop asking the model before this server has spent so many US dollars; needs --max-cost.",
        ),
        click.option(
            "--permission",
            type=click.Choice(MODES),
            default="read-only",
            show_default=True,
            help="What may be done for clients beyond reading: implement, measure, commands.",
        ),
        click.option(
            "--root",
            "roots",
            type=click.Path(path_type=Path),
            multiple=True,
            help="Clients are confined to this folder; repeat it for more (default: the current folder).",
        ),
    ):
        command = option(command)
    return command


@serve.command()
@click.option("--http", metavar="HOST:PORT", help="Streamable HTTP at /mcp; without it the protocol is on stdio.")
@server_options
@model_options
def mcp(http: str | None, **options: Any) -> None:
    """Serve the Model Context Protocol, to Claude Code, Claude Desktop, Cursor, VS Code and others.

    Beyond loopback a bearer token is needed: set ML_ENGINEER_SERVE_TOKEN. docs/subagent.md has a block to paste for
    each client.
    """
    _serve("mcp", http, **options)


@serve.command()
@click.option("--http", default="127.0.0.1:8766", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@server_options
@model_options
def a2a(http: str, **options: Any) -> None:
    """Serve the Agent2Agent protocol, over JSON-RPC (/a2a) and HTTP+JSON (/rest).

    Beyond loopback a bearer token is needed: set ML_ENGINEER_SERVE_TOKEN. The agent card is readable without it.
    """
    _require("a2a", "a2a", "sse_starlette", "uvicorn")
    _serve("a2a", http, **options)


@serve.command()
@server_options
@model_options
def acp(**options: Any) -> None:
    """Serve the Agent Client Protocol on stdio, to Zed, JetBrains, Neovim and other editors.

    The editor starts this command itself: docs/subagent.md has a block to paste for each.
    """
    _require("acp", "acp")
    _serve("acp", None, **options)


def _require(extra: str, *modules: str) -> None:
    """Refusal where the protocol's SDK is not installed."""
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise Refusal(f"this protocol is not installed: pip install 'ml-engineer[{extra}]'")


def _serve(
    protocol: str,
    http: str | None,
    *,
    roots: tuple[Path, ...],
    permission: str,
    max_total_cost: str | None,
    model: str | None,
    max_cost: str | None,
    max_turns: int | None,
) -> None:
    """Serve with what `server_options` and `model_options` give."""
    from ml_engineer.interfaces.serve.allowance import Allowance
    from ml_engineer.interfaces.serve.common import Address, Policy, Roots
    from ml_engineer.tools.permissions import Mode

    choice = ModelChoice(False, model, max_cost, max_turns)
    allowed = Roots.open(roots)
    address = Address.parse(http) if http is not None else None
    policy = Policy(Mode(permission))
    allowance = Allowance.of(max_total_cost, choice)
    asyncio.run(_until_ended(protocol, address, roots=allowed, policy=policy, choice=choice, allowance=allowance))


async def _until_ended(protocol: str, address: Any, **service: Any) -> None:
    from ml_engineer.interfaces.pool import Pool
    from ml_engineer.interfaces.serve.service import Service

    server = importlib.import_module(f"ml_engineer.interfaces.serve.{protocol}")
    async with Pool(WORKERS, memory=MEMORY, seconds=SECONDS) as pool:
        gc.collect()
        gc.freeze()  # what is imported is never garbage: to look at it again and again holds up the loop, for 60 ms
        await server.serve(Service(pool=pool, **service), address)
