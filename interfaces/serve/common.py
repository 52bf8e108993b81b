"""What every server shares: the folders that a client may name, what may be done for it, and the door of HTTP.

    roots = Roots.open(folders)            the folders that the server was started with; the current one by default
    folder = roots.resolve(text)           what a client names, or Refused: outside of them, also by a symbolic link
    policy.require("implement")            Refused where the server is read-only
    address = Address.parse(text)          HOST:PORT; Refusal where it is not loopback and there is no token
    await serve_http(app, address, path)   the application behind the checks of token, Host, Origin and size

A client is never trusted: neither its paths, nor that it is who it says, nor that a browser did not send it.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ml_engineer.assessment.target import TargetError, open_target
from ml_engineer.interfaces.options import Refusal
from ml_engineer.tools.permissions import Mode

TOKEN = "ML_ENGINEER_SERVE_TOKEN"
MAX_BODY = 4 * 1024 * 1024  # bytes of one request
MAX_CONNECTIONS = 256  # more are answered with 503
MIN_TOKEN = 16  # characters; a shorter one can be guessed
_GRACE_SECONDS = 2

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Refused(Exception):
    """What a client asked for and does not get. The message is for the client, and says what to do next."""


# --- folders ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Roots:
    """The folders that clients are confined to, resolved."""

    folders: tuple[Path, ...]

    @classmethod
    def open(cls, given: Sequence[Path]) -> Roots:
        """The folders that the user names, or the current one. Refusal where one is not there."""
        found = []
        for path in given or [Path()]:
            try:
                folder = path.expanduser().resolve(strict=True)
            except (OSError, RuntimeError) as error:
                raise Refusal(f"--root {path}: {error}; give a folder that is there") from error
            if not folder.is_dir():
                raise Refusal(f"--root {path}: this is a file; give the folder that holds repositories")
            found.append(folder)
        return cls(tuple(dict.fromkeys(found)))

    def holds(self, path: Path) -> bool:
        """Whether a resolved path is in one of the folders."""
        return any(path.is_relative_to(folder) for folder in self.folders)

    def has(self, path: str) -> bool:
        """Whether this names a folder in them, counted from the first."""
        try:
            place = (self.folders[0] / path).resolve()
            return self.holds(place) and place.is_dir()
        except (OSError, RuntimeError, ValueError):
            return False

    def resolve(self, path: str) -> Path:
        """The repository that a client names; relative names start at the first folder. Refused where it is outside,
        or where there is nothing to review."""
        try:
            place = (self.folders[0] / path).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise Refused(f"{path!r} is not a path ({error}); give a folder below {self._named()}") from error
        if not self.holds(place):
            raise Refused(f"{path!r} is outside the folders that this server may use: {self._named()}")
        try:
            return open_target(place)
        except TargetError as error:
            raise Refused(str(error)) from error

    def _named(self) -> str:
        return ", ".join(map(str, self.folders))


# --- permissions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """What the server does for its clients; read-only unless the user has said otherwise."""

    mode: Mode = Mode.READ_ONLY

    def require(self, what: str) -> None:
        """Refused where `what`, which changes or runs something, is not allowed on this server."""
        if self.mode is Mode.READ_ONLY:
            raise Refused(
                f"{what} was refused: this server is read-only. Its user can start it with --permission ask (a person "
                "is asked about each plan and command), accept-edits or full."
            )


# --- HTTP -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the token that its clients must show, if there is one."""

    host: str
    port: int
    token: str | None

    @classmethod
    def parse(cls, text: str) -> Address:
        """HOST:PORT. Refusal where it is none, or where others could reach it and no token is set."""
        parts = urlsplit(f"//{text}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or port is None or parts.path:
            raise Refusal(f"--http {text}: give HOST:PORT, for example 127.0.0.1:8765")
        token = os.environ.get(TOKEN)
        if token is not None and len(token) < MIN_TOKEN:
            raise Refusal(f"{TOKEN} has {len(token)} characters; a token needs {MIN_TOKEN} at least")
        if token is None and not is_loopback(host):
            raise Refusal(
                f"--http {text}: others could reach this server, so it needs a token: set {TOKEN} "
                f'(for example to the output of python -c "import secrets; print(secrets.token_urlsafe(32))"), '
                "or listen on 127.0.0.1"
            )
        return cls(host, port, token)

    def url(self, port: int) -> str:
        """The server's address with the port that it really has."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True)
class Door:
    """ASGI middleware: who may come in. `public` are paths that need no token, such as an agent's card.

    On loopback only loopback names are accepted as Host: a page in a browser reaches this machine by a name of its
    own (DNS rebinding). An Origin must be the server itself.
    """

    app: App
    address: Address
    public: frozenset[str] = frozenset()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            wrong = self._wrong(scope)
            if wrong is not None:
                await _answer(send, *wrong)
                return
        await self.app(scope, receive, send)

    def _wrong(self, scope: Message) -> tuple[int, str] | None:
        headers = {key.lower(): value for key, value in scope["headers"]}
        host = headers.get(b"host", b"").decode("latin-1")
        if is_loopback(self.address.host) and not is_loopback(_name(host)):
            return 421, "this server answers to its loopback address only"
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin not in (f"http://{host}", f"https://{host}"):
            return 403, "requests of other sites are refused"
        if self.address.token is None or scope["path"] in self.public:
            return None
        kind, _, shown = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"bearer" and hmac.compare_digest(shown.strip(), self.address.token.encode()):
            return None
        return 401, "a bearer token is needed, and it must be the server's"


def _name(host: str) -> str:
    """The host of a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def serve_http(app: App, address: Address, path: str, public: frozenset[str] = frozenset()) -> None:
    """Serve until interrupted, behind the door. `path` is where clients connect; the address is said on stderr."""
    import uvicorn
    from mcp.server.transport_security import RequestBodyLimitMiddleware

    listener = _listen(address)
    guarded = Door(RequestBodyLimitMiddleware(app, MAX_BODY), address, public)
    config = uvicorn.Config(
        guarded,
        log_level="warning",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
        limit_concurrency=MAX_CONNECTIONS,
    )
    print(f"listening on {address.url(listener.getsockname()[1])}{path}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        listener.close()


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen(128)  # before the address is said: whoever reads it may connect at once
    except (OSError, OverflowError) as error:
        listener.close()
        raise Refusal(f"--http {address.host}:{address.port}: {error}; choose another address or port") from error
    return listener
