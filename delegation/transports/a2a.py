"""`a2a`: an agent that speaks the Agent2Agent protocol, by the URL where its card is. Needs `ml-engineer[a2a]`.

The brief is one message of the user; the reply is what the task leaves as artifacts, or the agent's message. When we
run out of time the task is cancelled at the other side too.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_engineer.delegation.transports.base import Ask, Declined, TransportError, Written
from ml_engineer.delegation.transports.http import GRACE, as_transport_error, open_http, token

if TYPE_CHECKING:
    from a2a.client import Client

POLL = 1.0  # seconds between looks at a task whose server does not stream


@dataclass(frozen=True, slots=True)
class A2A:
    url: str
    token_env: str | None = None
    name: str = "a2a"

    async def ask(self, ask: Ask) -> Written:
        try:
            from a2a.client import ClientConfig, create_client
        except ImportError as error:
            raise TransportError(
                "the A2A client is not installed: pip install 'ml-engineer[a2a]'", begun=False
            ) from error
        import httpx

        try:
            async with open_http(httpx, self.url, token(self.token_env), ask.timeout + GRACE) as http:
                config = ClientConfig(httpx_client=http, supported_protocol_bindings=["JSONRPC", "HTTP+JSON"])
                client = await create_client(self.url, client_config=config)
                return Written(await _converse(client, ask))
        except (Declined, TransportError):
            raise
        except Exception as error:
            raise as_transport_error(error) from error


async def _converse(client: Client, ask: Ask) -> str:
    """Send the brief and follow the task to its end."""
    from a2a.types import CancelTaskRequest, GetTaskRequest, Message, Part, Role, SendMessageRequest, Task

    message = Message(role=Role.ROLE_USER, message_id=str(uuid.uuid4()), parts=[Part(text=ask.brief)])
    task = Task()
    said: Any = None
    pieces: dict[str, list[Any]] = {}
    try:
        async for event in client.send_message(SendMessageRequest(message=message)):
            match event.WhichOneof("payload"):
                case "message":
                    return _text([event.message])
                case "task":
                    task = event.task
                    pieces = {artifact.artifact_id: [artifact] for artifact in task.artifacts}
                case "status_update":
                    task.id = event.status_update.task_id
                    task.status.CopyFrom(event.status_update.status)
                case "artifact_update":
                    update = event.artifact_update
                    kept = pieces.setdefault(update.artifact.artifact_id, [])
                    if not update.append:
                        kept.clear()
                    kept.append(update.artifact)
        while task.id and not _ended(task):
            await asyncio.sleep(POLL)
            task = await client.get_task(GetTaskRequest(id=task.id))
            pieces = {artifact.artifact_id: [artifact] for artifact in task.artifacts}
        said = task.status.message
        _judge(task, said)
        return _text([piece for kept in pieces.values() for piece in kept] or [said])
    except asyncio.CancelledError:
        if task.id and not _ended(task):
            with suppress(Exception, asyncio.CancelledError):  # the peer may be gone; we leave either way
                async with asyncio.timeout(2):
                    await client.cancel_task(CancelTaskRequest(id=task.id))
        raise


def _ended(task: Any) -> bool:
    from a2a.types import TaskState

    return task.status.state not in (
        TaskState.TASK_STATE_UNSPECIFIED,
        TaskState.TASK_STATE_SUBMITTED,
        TaskState.TASK_STATE_WORKING,
    )


def _judge(task: Any, said: Any) -> None:
    """Only a completed task is an answer."""
    from a2a.types import TaskState

    state = task.status.state
    if state == TaskState.TASK_STATE_COMPLETED:
        return
    text = _text([said])[:500] or "no reason given"
    if state == TaskState.TASK_STATE_REJECTED:
        raise Declined(text)
    if state == TaskState.TASK_STATE_INPUT_REQUIRED:
        raise TransportError(f"the peer asks back instead of answering: {text}")
    name = TaskState.Name(state).removeprefix("TASK_STATE_").lower().replace("_", " ")
    raise TransportError(f"the peer's task ended as {name}: {text}")


def _text(carriers: list[Any]) -> str:
    """Text parts as they are; a data part as JSON, and alone where it is the reply itself."""
    from a2a.helpers import get_data_parts, get_text_parts

    parts = [part for carrier in carriers if carrier is not None for part in carrier.parts]
    data = get_data_parts(parts)
    for one in data:
        if isinstance(one, dict) and "answer" in one:
            return json.dumps(one)
    return "".join([*get_text_parts(parts), *map(json.dumps, data)])
