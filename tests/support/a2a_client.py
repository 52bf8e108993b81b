"""`ml-engineer serve a2a` in a process of its own, and what the protocol's official client hears of a task."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from a2a.client import Client, ClientConfig, create_client
from a2a.helpers import new_data_part, new_text_part
from a2a.types import (
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)

from ml_engineer.report.schema import Report
from tests.support.mcp_server import DEADLINE, HttpServer, http_server


def a2a_server(
    root: Path, home: Path, *options: str, **environment: str
) -> contextlib.AbstractContextManager[HttpServer]:
    """The same server, with the other protocol."""
    return http_server(root, home, *options, protocol="a2a", **environment)


@contextlib.asynccontextmanager
async def a2a_client(url: str, binding: str = "JSONRPC", token: str | None = None) -> AsyncIterator[Client]:
    """The official client, over one of the two bindings."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(headers=headers, timeout=DEADLINE) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding])
        yield await create_client(url, client_config=config)


@dataclass
class Heard:
    """What came of a task, in order."""

    task_id: str = ""
    context_id: str = ""
    states: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)

    def take(self, event: StreamResponse) -> None:
        match event.WhichOneof("payload"):
            case "task":
                self.take_task(event.task)
            case "status_update":
                self.task_id = event.status_update.task_id
                self._state(event.status_update.status)
            case "artifact_update":
                artifact = event.artifact_update.artifact
                (self.parts[artifact.name],) = artifact.parts

    def take_task(self, task: Task) -> None:
        self.task_id, self.context_id = task.id, task.context_id
        self._state(task.status)
        for artifact in task.artifacts:
            (self.parts[artifact.name],) = artifact.parts

    def _state(self, status: Any) -> None:
        self.states.append(TaskState.Name(status.state).removeprefix("TASK_STATE_").lower())
        self.said += [part.text for part in status.message.parts]

    @property
    def state(self) -> str:
        return self.states[-1]

    @property
    def report(self) -> Report:
        return Report.model_validate_json(self.parts["report.json"].raw)


def message(content: str | dict[str, Any], task: Heard | None = None) -> SendMessageRequest:
    part = new_text_part(content) if isinstance(content, str) else new_data_part(content)
    about = {"task_id": task.task_id, "context_id": task.context_id} if task is not None else {}
    return SendMessageRequest(message=Message(role=Role.ROLE_USER, message_id=str(uuid.uuid4()), parts=[part], **about))


async def send(
    client: Client,
    content: str | dict[str, Any],
    *,
    task: Heard | None = None,
    until_heard: Callable[[Heard], bool] = lambda heard: False,
) -> Heard:
    """Send a message and follow what comes of it, to the end of the stream or until enough was heard."""
    heard = task or Heard()
    stream = client.send_message(message(content, task))
    async with contextlib.aclosing(stream):
        async for event in stream:
            heard.take(event)
            if until_heard(heard):
                break
    return heard


async def resubscribed(client: Client, task_id: str) -> Heard:
    """What comes of a task for a client that comes back to it."""
    heard = Heard()
    async for event in client.subscribe(SubscribeToTaskRequest(id=task_id)):
        heard.take(event)
    return heard


async def asked_for(client: Client, task_id: str) -> Heard:
    """The task as the server has it now."""
    heard = Heard()
    heard.take_task(await client.get_task(GetTaskRequest(id=task_id)))
    return heard
