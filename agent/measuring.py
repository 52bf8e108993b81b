"""The measuring tools of an agent that may run things, and the permission that they need.

Each runs a program of the repository, so it is judged as the command that it runs: what Bash may not run, they may not
measure. Their results are records that a claim in state `measured` cites by name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ml_engineer.agent.calls import Call, Gate
from ml_engineer.tools.base import Tool
from ml_engineer.tools.benchmark import BENCHMARK
from ml_engineer.tools.permissions import command_of
from ml_engineer.tools.profile_model import PROFILE_MODEL
from ml_engineer.tools.run_training import RUN_TRAINING

MEASURING: dict[str, Tool[Any]] = {tool.name: tool for tool in (BENCHMARK, PROFILE_MODEL, RUN_TRAINING)}


@dataclass(frozen=True)
class MeasuringGate:
    """Asks about measuring as about the command that it runs, which may have been agreed to already."""

    permissions: Gate

    async def refuses(self, call: Call) -> str | None:
        if call.name not in MEASURING:
            return await self.permissions.refuses(call)
        as_command = replace(call, name="Bash", input={"command": command_of(call.name, call.input) or ""})
        refusal = await self.permissions.refuses(as_command)
        return None if refusal is None else refusal.replace("Bash was refused", f"{call.name} was refused", 1)
