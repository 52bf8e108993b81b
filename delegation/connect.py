"""From the user's settings to transports: who is reached how. What a transport needs is imported where it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ml_engineer.delegation.peers import Peer
from ml_engineer.delegation.routes import PEERS
from ml_engineer.delegation.settings import DelegationError, PeerSettings, Settings, TransportName
from ml_engineer.delegation.transports.local import Local, RunPeer

if TYPE_CHECKING:
    from ml_engineer.delegation.transports.base import Transport


def connect(peers: Mapping[str, Peer], settings: Settings, local: RunPeer | None = None) -> dict[str, Transport]:
    """A transport for each peer that can be asked; the others' briefs are queued.

    `local` runs a peer in this process, where there is a model; then the routes' own peers need no setting.
    Raises DelegationError for a peer that has settings and no definition.
    """
    unknown = sorted(set(settings.peers) - set(peers))
    if unknown:
        raise DelegationError(f"[peers.{unknown[0]}] has no definition; there are {', '.join(sorted(peers))}")
    found: dict[str, Transport] = {}
    for name in peers:
        own = settings.peers.get(name, PeerSettings())
        transport = _transport(own, own.transport or ("local" if name in PEERS else "queue"), local)
        if transport is not None:
            found[name] = transport
    return found


def _transport(settings: PeerSettings, way: TransportName, local: RunPeer | None) -> Transport | None:
    match way:
        case "local":
            return Local(local) if local is not None else None
        case "command":
            from ml_engineer.delegation.transports.command import Command

            return Command(settings.command)
        case "a2a":
            from ml_engineer.delegation.transports.a2a import A2A

            assert settings.url is not None, "the settings require it"
            return A2A(settings.url, settings.token_env)
        case "mcp":
            from ml_engineer.delegation.transports.mcp import MCP

            return MCP(settings.tool, settings.argument, settings.url, settings.command, settings.token_env)
        case "queue":
            return None
