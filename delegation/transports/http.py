"""What the transports over HTTP share: a client that reads no more than anybody will, and what its errors mean.

    async with open_http(httpx, url, token(variable), timeout) as client: ...

The A2A client works with httpx, the MCP client with httpx2: two libraries of one form. So the library is handed in, and
their errors are told by name.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator
from types import ModuleType
from typing import Any

from ml_engineer.delegation.transports.base import TransportError

GRACE = 5.0  # seconds that a client waits beyond the hand-off's own time: the desk decides when it is over
MAX_WIRE = 8_000_000  # bytes of one HTTP response, progress events included
_NOBODY = frozenset({"ConnectError", "ConnectTimeout"})
_BUSY = (429, 503)


def open_http(library: ModuleType, url: str, secret: str | None, timeout: float) -> Any:
    """An `AsyncClient` of `library`, to be used as a context manager. The token is sent to the host of `url` only.

    Its responses are plain and at most MAX_WIRE bytes each, else TransportError.
    """
    base: Any = library

    class Capped(base.AsyncByteStream):  # type: ignore[misc]  # the library is known when it runs
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            seen = 0
            async for chunk in self._inner:
                seen += len(chunk)
                if seen > MAX_WIRE:
                    raise TransportError(f"the peer's response is larger than {MAX_WIRE:,} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self._inner.aclose()

    class ForThisHost(base.Auth):  # type: ignore[misc]  # as above
        """An agent's card may name another host for the service; the token is not for that one."""

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            if secret is not None and request.url.host == base.URL(url).host:
                request.headers["Authorization"] = f"Bearer {secret}"
            yield request

    async def limit(response: Any) -> None:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding not in ("", "identity"):  # a packed body could unfold to any size behind the cap
            raise TransportError(f"the peer's response is packed ({encoding}) though we asked for plain")
        response.stream = Capped(response.stream)

    return base.AsyncClient(
        auth=ForThisHost(),
        headers={"Accept-Encoding": "identity"},
        timeout=base.Timeout(timeout, connect=10.0),
        event_hooks={"response": [limit]},
    )


def as_transport_error(error: Exception) -> TransportError:
    """What a client library raised, as a message for the report, with whether asking again is safe."""
    chain = list(_causes(error))
    for one in chain:
        if isinstance(one, TransportError):
            return one
    first = next((one for one in chain if not isinstance(one, BaseExceptionGroup)), error)
    text = f"{type(first).__name__}: {first}".rstrip(": ")
    return TransportError(text[:500], again=any(_not_begun(one) for one in chain))


def _not_begun(error: BaseException) -> bool:
    """Nothing was received at the other side, or it says itself that it did nothing yet."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return type(error).__name__ in _NOBODY or status in _BUSY


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it came from, and what is grouped in it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def token(variable: str | None) -> str | None:
    """The token in this environment variable. Raises TransportError where it is named and not set."""
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise TransportError(f"the environment variable {variable}, named by token_env, is not set", begun=False)
    return value
