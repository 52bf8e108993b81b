"""The ACP agent: this agent inside an editor, by the Agent Client Protocol, on standard input and output.

A session is a run of mode "chat": it outlives the process, and `session/load` shows it again. Modes are the permission
modes, up to the one that the server was started with; read-only by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from acp import PROTOCOL_VERSION, RequestError
from acp.agent.connection import AgentSideConnection
from acp.helpers import update_available_commands
from acp.schema import (
    AgentCapabilities,
    AvailableCommand,
    AvailableCommandInput,
    ClientCapabilities,
    Implementation,
    InitializeResponse,
    ListSessionsResponse,
    LoadSessionResponse,
    NewSessionResponse,
    PromptCapabilities,
    PromptResponse,
    SessionCapabilities,
    SessionInfo,
    SessionListCapabilities,
    SessionMode,
    SessionModeState,
    SetSessionModeResponse,
    UnstructuredCommandInput,
)

from ml_engineer import __version__
from ml_engineer.agent.log import LogError
from ml_engineer.agent.runs import Run, RunError, discard
from ml_engineer.interfaces.serve.acp_prompt import words
from ml_engineer.interfaces.serve.acp_session import Door, Session
from ml_engineer.interfaces.serve.acp_stage import NAME, title
from ml_engineer.interfaces.serve.acp_wire import Wire
from ml_engineer.interfaces.serve.common import Refused
from ml_engineer.interfaces.serve.logs import log_in_lines
from ml_engineer.interfaces.serve.service import Service
from ml_engineer.tools.permissions import Mode

log = logging.getLogger(__name__)
_MODES = {
    Mode.READ_ONLY: ("Read only", "Nothing is changed, and only commands that read are run."),
    Mode.ASK: ("Ask", "Every change, and every command that does more than read, is asked for."),
    Mode.ACCEPT_EDITS: ("Accept edits", "Files are changed without asking; commands are asked for."),
    Mode.FULL: ("Full", "Asks only where a rule or an unreadable command says so."),
}
_COMMANDS = (
    ("review", "Review the repository in ten steps, without a model; gives the sealed report.", "[--steps 1,5]"),
    ("implement", "Carry out a task on a branch of its own, after you have approved the plan.", "what is to be done"),
    ("route", "Say which peers a task is for, and on what evidence.", "the task"),
)
MAX_LISTED = 100  # sessions in one answer


async def serve(service: Service, address: None) -> None:
    """Until the editor closes the input; what is at work then is stopped. ACP has no address."""
    log_in_lines()
    wire = await Wire.open()
    agent = Agent(service)
    connection = AgentSideConnection(agent, wire, listening=False)  # type: ignore[arg-type] # its optional methods
    try:
        await connection.listen()
    finally:
        await agent.close()
        await connection.close()


class Agent:
    """The protocol's methods; the SDK calls them by their names."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sessions: dict[str, Session] = {}
        self._reads = False

    def on_connect(self, conn: AgentSideConnection) -> None:
        self._connection = conn

    async def initialize(
        self, protocol_version: int, client_capabilities: ClientCapabilities | None = None, **_: Any
    ) -> InitializeResponse:
        files = client_capabilities.fs if client_capabilities is not None else None
        self._reads = bool(files is not None and files.read_text_file)
        return InitializeResponse(
            protocol_version=min(protocol_version, PROTOCOL_VERSION),
            agent_info=Implementation(name="ml-engineer", title="ML Engineer", version=__version__),
            agent_capabilities=AgentCapabilities(
                load_session=True,
                prompt_capabilities=PromptCapabilities(embedded_context=True),
                session_capabilities=SessionCapabilities(list=SessionListCapabilities()),
            ),
        )

    # --- sessions -------------------------------------------------------------------------------------------------

    async def new_session(self, cwd: str, mcp_servers: Any = None, **_: Any) -> NewSessionResponse:
        with _told():
            root = self._service.roots.resolve(cwd)
            choice = self._service.choice
            run = Run.create({"mode": "chat", "target": str(root), "ask_peers": not choice.offline, **choice.meta()})
        session = self._opened(run, root)
        session.empty = True
        if mcp_servers:
            log.warning("the editor's MCP servers are not used: %s", ", ".join(one.name for one in mcp_servers))
        return NewSessionResponse(session_id=session.run.id, modes=self._modes(session))

    async def load_session(self, cwd: str, session_id: str, **_: Any) -> LoadSessionResponse:
        with _told():
            root = self._service.roots.resolve(cwd)
            session = self._sessions.get(session_id)
            if session is None:
                run = Run.open(session_id, work=True)
                if run.meta.get("mode") != "chat" or run.meta.get("target") != str(root):
                    run.close()
                    raise Refused(f"{session_id} is no conversation about {root}")
                session = self._opened(run, root)
            await session.stage.replay()
        return LoadSessionResponse(modes=self._modes(session))

    async def list_sessions(self, cwd: str | None = None, **_: Any) -> ListSessionsResponse:
        found = await asyncio.to_thread(lambda: list(islice(self._kept(cwd), MAX_LISTED)))
        return ListSessionsResponse(sessions=found)

    def _kept(self, cwd: str | None) -> Iterator[SessionInfo]:
        """Conversations within the roots that were begun in an editor, latest first."""
        for run in self._service.kept():
            assert run.folder is not None, "a run that was opened is on disk"
            target = str(run.meta["target"])
            if (run.folder / NAME).exists() and cwd in (None, target):
                started = str(run.meta.get("started"))
                yield SessionInfo(session_id=run.id, cwd=target, title=title(run.folder), updated_at=started)

    def _opened(self, run: Run, root: Path) -> Session:
        door = Door(self._connection, self._service, self._reads)
        session = self._sessions[run.id] = Session(door, run, root, self._service.policy.mode)
        # After the answer, which names the session: it is written before the loop comes to this.
        asyncio.get_running_loop().call_soon(session.stage.show, _commands())
        return session

    def _modes(self, session: Session) -> SessionModeState:
        return SessionModeState(
            current_mode_id=session.mode.value,
            available_modes=[
                SessionMode(id=mode.value, name=_MODES[mode][0], description=_MODES[mode][1])
                for mode in self._allowed()
            ],
        )

    def _allowed(self) -> list[Mode]:
        modes = list(Mode)
        return modes[: modes.index(self._service.policy.mode) + 1]

    def _session(self, session_id: str) -> Session:
        if session_id not in self._sessions:
            raise RequestError.invalid_params({"details": f"there is no session {session_id} here; begin or load one"})
        return self._sessions[session_id]

    # --- in a session ---------------------------------------------------------------------------------------------

    async def set_session_mode(self, session_id: str, mode_id: str, **_: Any) -> SetSessionModeResponse:
        session = self._session(session_id)
        if mode_id not in self._allowed():
            allowed = ", ".join(self._allowed())
            details = f"mode {mode_id} is not among {allowed}; start the agent with --permission for more"
            raise RequestError.invalid_params({"details": details})
        session.set_mode(Mode(mode_id))
        return SetSessionModeResponse()

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> PromptResponse:
        session = self._session(session_id)
        with _told():
            text = await words(prompt, self._connection, session_id, session.cwd, reads=self._reads)
            return PromptResponse(stop_reason=await session.prompt(text))

    async def cancel(self, session_id: str, **_: Any) -> None:
        if session_id in self._sessions:
            self._sessions[session_id].cancel()

    async def close(self) -> None:
        """Stop everything; sessions in which nothing was said are not kept."""
        for session in self._sessions.values():
            await session.close()
            if session.empty:
                discard(session.run)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What keeps a request from being done becomes an error that says so."""
    try:
        yield
    except (Refused, RunError, LogError, OSError) as error:
        raise RequestError.invalid_params({"details": str(error)}) from error


def _commands() -> Any:
    return update_available_commands(
        AvailableCommand(
            name=name,
            description=description,
            input=AvailableCommandInput(root=UnstructuredCommandInput(hint=hint)),
        )
        for name, description, hint in _COMMANDS
    )
