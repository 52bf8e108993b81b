"""Clients of the SDK for many conversations at once, a few to each.

A pool of connections looks at all of its connections whenever a request comes or goes. With 128 conversations in one
pool that is a third of the CPU of every turn; in pools of sixteen it is hardly seen. Few conversations have one client.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

WIDTH = 16  # conversations to a client


class Lanes:
    """`first` is the SDK's client, which the others are copies of. One is enough for a whole process."""

    def __init__(self, first: Any) -> None:
        self.first = first
        self._lanes: list[tuple[Any, WeakSet[object]]] = [(first, WeakSet())]
        self._tls: Any = None

    def of(self, conversation: object) -> Any:
        """The client for this conversation: always the same, as that has its connection. One that is no longer held by
        anybody leaves its place to another."""
        for sdk, members in self._lanes:
            if conversation in members:
                return sdk
        sdk, members = next((lane for lane in self._lanes if len(lane[1]) < WIDTH), None) or self._open()
        members.add(conversation)
        return sdk

    def _open(self) -> tuple[Any, WeakSet[object]]:
        import anthropic
        import httpx2

        self._tls = self._tls or httpx2.create_ssl_context()  # reads all certificates, so they share one
        sdk = self.first.copy(http_client=anthropic.DefaultAsyncHttpxClient(verify=self._tls))
        self._lanes.append((sdk, WeakSet()))
        return self._lanes[-1]

    async def close(self) -> None:
        """Close the connections of all."""
        for sdk, _ in self._lanes:
            await sdk.close()
