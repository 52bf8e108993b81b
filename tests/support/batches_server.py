"""The scripted server with the Message Batches API: a batch ends some time after it was made, in any order of results.

    with BatchesServer(script, latency=0.5) as server: …      server.batches: what was made, by id

A fault of a turn is served once, as in a streamed answer: a status gives an errored result, "expired" and "canceled"
one of this kind, "missing" none at all. `faults` are served once each, to whatever call of the batches comes next; with
"unheard" a batch is made, and the connection breaks after some seconds instead of an answer.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.support.answers import Answer, answer, refusal
from tests.support.messages_server import MessagesServer, Received, _send
from tests.support.script import Fault, ScriptError

PATH = "/v1/messages/batches"


@dataclass
class Made:
    """One batch: its requests, and when it was made (seconds, monotonic). `read`: how often its results were."""

    requests: list[dict[str, Any]]
    moment: float
    results: list[dict[str, Any]]
    read: int = 0
    created: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat())


@dataclass
class BatchesServer(MessagesServer):
    """See the module."""

    latency: float = 0.2
    faults: list[Fault] = field(default_factory=list)
    batches: dict[str, Made] = field(default_factory=dict)
    looks: list[float] = field(default_factory=list)  # when it was asked whether a batch has ended

    def forget(self) -> None:
        """Everything that was asked and made, while nobody is asking."""
        for kept in (self.requests, self.faults, self.batches, self.looks, self._attempts):
            kept.clear()
        self.latency = 0.2

    async def _answer(self, entry: Received, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        if not entry.path.startswith(PATH):
            return await super()._answer(entry, raw, writer)
        name = entry.path.removeprefix(PATH).strip("/")
        fault = self.faults.pop(0) if self.faults and (name or raw) else None
        if fault is not None and fault.kind == "unheard":
            self._reply(name, raw, entry.query)
            await asyncio.sleep(fault.seconds)
            return False
        if fault is not None:
            wait = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
            return await _send(writer, refusal(fault.status, "scripted", fault.error_type, wait))
        return await _send(writer, self._reply(name, raw, entry.query))

    def _reply(self, name: str, raw: bytes, query: str) -> Answer:
        if raw:
            return self.make(json.loads(raw)["requests"])
        if not name:
            return self._list(dict(parse_qsl(query)))
        identifier, _, rest = name.partition("/")
        made = self.batches.get(identifier)
        if made is None:
            return refusal(404, f"there is no batch {identifier}")
        if rest != "results":
            self.looks.append(time.monotonic())
            return _json(self._record(identifier))
        made.read += 1
        return Answer(200, b"".join(json.dumps(one).encode() + b"\n" for one in made.results), "application/x-jsonl")

    def _list(self, query: dict[str, str]) -> Answer:
        """Newest first, from behind `after_id`."""
        names = list(reversed(self.batches))
        names = names[names.index(query["after_id"]) + 1 :] if "after_id" in query else names
        page = names[: int(query["limit"])]
        return _json({"data": [self._record(name) for name in page], "has_more": len(page) < len(names)})

    def make(self, requests: list[dict[str, Any]]) -> Answer:
        if len({one["custom_id"] for one in requests}) < len(requests) or any(
            "stream" in r["params"] for r in requests
        ):
            return refusal(400, "custom ids must differ, and nothing is streamed")
        identifier = f"msgbatch_{len(self.batches)}"
        results = [{"custom_id": one["custom_id"], "result": self._result(one["params"])} for one in requests]
        kept = [one for one in reversed(results) if one["result"]["type"] != "missing"]
        self.batches[identifier] = Made(requests, time.monotonic(), kept)
        return _json(self._record(identifier))

    def _record(self, identifier: str) -> dict[str, Any]:
        made = self.batches[identifier]
        ended = time.monotonic() >= made.moment + self.latency
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["succeeded" if ended else "processing"] = len(made.requests)
        return {
            "id": identifier,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": counts,
            "created_at": made.created,
        }

    def _result(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            agent, number, turn = self.script.find(body)
        except ScriptError as error:
            return {"type": "errored", "error": json.loads(refusal(400, str(error)).body)}
        attempt = self._attempts[agent, number]
        self._attempts[agent, number] += 1
        fault = turn.faults[attempt] if attempt < len(turn.faults) else None
        if fault is None:
            message = json.loads(answer(turn, turn.answer(body, number), body, None).body)
            return {"type": "succeeded", "message": message}
        if fault.kind == "status":
            return {"type": "errored", "error": json.loads(refusal(fault.status, "scripted").body)}
        return {"type": fault.kind}


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode())
