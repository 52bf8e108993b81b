"""`ml-engineer serve acp` started by an editor: the protocol's official client, which remembers what it is shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from acp import spawn_agent_process
from acp.client.connection import ClientSideConnection
from acp.schema import (
    AllowedOutcome,
    ClientCapabilities,
    DeniedOutcome,
    FileSystemCapabilities,
    ReadTextFileResponse,
    RequestPermissionResponse,
)

from tests.support.mcp_server import SCRIPT, clean_environment


@dataclass
class Editor:
    """Whoever sits at the editor: answers each question with the next answer ("allow", "reject",
    "cancelled", "never")."""

    answers: list[str] = field(default_factory=list)
    buffers: dict[str, str] = field(default_factory=dict)  # by path: what is not saved
    updates: list[Any] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append(update)

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_: Any
    ) -> RequestPermissionResponse:
        self.asked.append(tool_call)
        answer = self.answers.pop(0)
        if answer == "never":
            await asyncio.Event().wait()
        if answer == "cancelled":
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        assert answer in [option.option_id for option in options]
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=answer))

    async def read_text_file(self, session_id: str, path: str, **_: Any) -> ReadTextFileResponse:
        return ReadTextFileResponse(content=self.buffers.get(path) or Path(path).read_text())

    def on_connect(self, conn: Any) -> None:
        pass

    # --- what was shown ---

    def of(self, kind: str) -> list[Any]:
        return [update for update in self.updates if update.session_update == kind]

    @property
    def text(self) -> str:
        """What the agent has said."""
        return "".join(one.content.text for one in self.of("agent_message_chunk") if one.content.type == "text")

    @property
    def plan(self) -> list[tuple[str, str]]:
        return [(entry.content, entry.status) for entry in self.of("plan")[-1].entries]

    @property
    def sealed(self) -> Path:
        """The file of the report that was linked last."""
        links = [one.content for one in self.of("agent_message_chunk") if one.content.type == "resource_link"]
        return Path(links[-1].uri.removeprefix("file://"))

    def calls(self) -> dict[str, str]:
        """The last state of each tool call."""
        states = {}
        for update in self.updates:
            if update.session_update in ("tool_call", "tool_call_update"):
                states[update.tool_call_id] = update.status
        return states


@dataclass
class Opened:
    """A connection to an agent's process."""

    agent: ClientSideConnection
    editor: Editor
    process: psutil.Process

    async def begin(self, cwd: Path) -> str:
        return (await self.agent.new_session(cwd=str(cwd), mcp_servers=[])).session_id

    async def say(self, session_id: str, *blocks: Any) -> str:
        """A prompt of text, or of content blocks; the stop reason."""
        content = [{"type": "text", "text": one} if isinstance(one, str) else one for one in blocks]
        return (await self.agent.prompt(session_id=session_id, prompt=content)).stop_reason

    async def until(self, condition: Any, what: str) -> None:
        """Until the editor has seen it."""
        try:
            async with asyncio.timeout(60):
                while not condition(self.editor):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}; seen: {self.editor.updates[-5:]}") from None


@contextlib.asynccontextmanager
async def editor(
    root: Path, home: Path, *options: str, shows: Editor | None = None, reads: bool = False, **environment: str
) -> AsyncIterator[Opened]:
    """An editor that has started the agent and said hello. `reads`: it offers its buffers."""
    person = shows or Editor()
    command = (SCRIPT, "serve", "acp", "--root", str(root), *options)
    quiet = {"stderr": asyncio.subprocess.DEVNULL, "limit": 1 << 26, "shutdown_timeout": 30.0}
    async with spawn_agent_process(
        person, *command, env=clean_environment(home, **environment), transport_kwargs=quiet
    ) as (agent, process):  # fmt: skip
        files = FileSystemCapabilities(read_text_file=reads)
        await agent.initialize(protocol_version=1, client_capabilities=ClientCapabilities(fs=files))
        yield Opened(agent, person, psutil.Process(process.pid))
