"""From the user's settings to transports: who is reached how."""

from __future__ import annotations

from collections.abc import Mapping

from ml_engineer.delegation.peers import Peer
from ml_engineer.delegation.routes import PEERS
from ml_engineer.delegation.settings import DelegationError, PeerSettings, Settings
from ml_engineer.delegation.transports.base import Transport
from ml_engineer.delegation.transports.local import RunPeer


def connect(
    peers: Mapping[str, Peer], settings: Settings, *, local: RunPeer | None = None, network: bool = True
) -> dict[str, Transport]:
    """A transport for each peer that can be asked.

    `local` runs a peer in this process, where there is a model; then the routes' own peers need no setting. Without
    `network` (--offline) peers that are not on this machine are left out. Raises DelegationError for a peer that has
    settings and no definition.
    """
    unknown = sorted(set(settings.peers) - set(peers))
    if unknown:
        raise DelegationError(f"[peers.{unknown[0]}] has no definition; there are {', '.join(sorted(peers))}")
    found: dict[str, Transport] = {}
    for name in peers:
        configured = settings.peers.get(name)
        transport = _transport(configured, local, network) if configured else _default(name, local)
        if transport is not None:
            found[name] = transport
    return found


def _default(name: str, local: RunPeer | None) -> Transport | None:
    from ml_engineer.delegation.transports.local import Local

    return Local(local) if local is not None and name in PEERS else None


def _transport(settings: PeerSettings, local: RunPeer | None, network: bool) -> Transport | None:
    match settings.transport:
        case "local":
            from ml_engineer.delegation.transports.local import Local

            return Local(local) if local is not None else None
        case "command":
            from ml_engineer.delegation.transports.command import Command

            return Command(settings.command)
        case "a2a" if network:
            from ml_engineer.delegation.transports.a2a import A2A

            assert settings.url is not None, "read_settings requires it"
            return A2A(settings.url, settings.token_env)
        case "mcp" if network:
            from ml_engineer.delegation.transports.mcp import MCP

            return MCP(settings.tool, settings.argument, settings.url, settings.command, settings.token_env)
        case _:
            return None
