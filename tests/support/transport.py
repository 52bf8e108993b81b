"""The scripted server without a socket: an httpx2 transport, for tests that need thousands of requests."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import httpx2

from tests.support.answers import Answer, answer
from tests.support.script import Script


class _Body(httpx2.AsyncByteStream):
    def __init__(self, reply: Answer) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        third = max(1, len(self._reply.body) // 3)
        for at in range(0, len(self._reply.body), third):
            yield self._reply.body[at : at + third]
            await asyncio.sleep(0)
        if self._reply.stall:
            raise httpx2.ReadTimeout("scripted stall")
        if self._reply.cut:
            raise httpx2.RemoteProtocolError("scripted cut")


class ScriptedTransport(httpx2.AsyncBaseTransport):
    """Answers like `MessagesServer`; a stall is a time-out at once. `requests` counts what has come."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests = 0
        self._attempts: Counter[tuple[int, int]] = Counter()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        body = json.loads(await request.aread())
        agent, number, turn = self.script.find(body)
        attempt = self._attempts[agent, number]
        self._attempts[agent, number] += 1
        fault = turn.faults[attempt] if attempt < len(turn.faults) else None
        reply = answer(turn, turn.answer(body, number), body, fault)
        await asyncio.sleep(0)
        if reply.status == 0:
            raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")
        headers = {"content-type": reply.kind, **reply.headers}
        return httpx2.Response(reply.status, headers=headers, stream=_Body(reply))
