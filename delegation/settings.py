"""What the user has set about delegation: the tables `[delegation]` and `[peers.NAME]` of config.toml.

    [delegation]
    threshold = "high"        # a hand-off must be worth it: critical, high, medium, low or info
    parallel = 4              # peers that work at the same time
    depth = 2                 # a peer that is asked may ask on, so many levels deep
    hand_offs = 24            # over the whole tree
    max_cost = 5.0            # US dollars, over the whole tree

    [peers.data-scientist]
    transport = "command"     # local, command, a2a, mcp or queue
    command = ["claude", "-p"]
    timeout = 900             # seconds
    max_cost = 1.0            # US dollars, held back from the others while the peer works

Everything has a default, a setting that is not known is an error: it would otherwise be a typo that nobody sees.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

TransportName = Literal["local", "command", "a2a", "mcp", "queue"]
TRANSPORTS: tuple[TransportName, ...] = get_args(TransportName)
SEVERITIES = ("critical", "high", "medium", "low", "info")
_NEEDS: dict[str, tuple[str, ...]] = {"command": ("command",), "a2a": ("url",), "mcp": ("url", "command")}


class DelegationError(Exception):
    """The configuration of delegation cannot be used. The message says which setting, and what it should be."""


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """How one peer is reached. `transport` None: locally where there is a model and a route to it, else queued.

    `tool` and `argument` are the MCP tool and the name of the argument for the brief.
    """

    transport: TransportName | None = None
    command: tuple[str, ...] = ()
    url: str | None = None
    tool: str = "ask"
    argument: str = "brief"
    token_env: str | None = None
    timeout: float = 600.0
    max_cost: float = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds over the whole tree of agents, and each peer's own settings."""

    threshold: str = "high"
    parallel: int = 4
    depth: int = 2
    hand_offs: int = 24
    max_cost: float = 5.0
    peers: Mapping[str, PeerSettings] = field(default_factory=dict)


def read_settings(path: Path) -> Settings:
    """The settings of `path`, or the defaults where there is no file. Raises DelegationError naming the file."""
    try:
        config = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except (OSError, ValueError) as error:
        raise DelegationError(f"{path} cannot be read: {error}") from error
    try:
        return parse_settings(config)
    except DelegationError as error:
        raise DelegationError(f"{path}: {error}") from error


def parse_settings(config: Mapping[str, Any]) -> Settings:
    """The settings of a parsed config.toml; tables of others are left alone. Raises DelegationError."""
    tree = _table(config.get("delegation", {}), Settings, "[delegation]")
    peers = config.get("peers", {})
    if not isinstance(peers, dict):
        raise DelegationError("peers must be tables, one a peer: [peers.data-scientist]")
    found = {name: _peer(name, table) for name, table in peers.items()}
    if tree.get("threshold", "high") not in SEVERITIES:
        raise DelegationError(f"[delegation] threshold must be one of {', '.join(SEVERITIES)}")
    return Settings(**tree, peers=found)


def _peer(name: str, table: Any) -> PeerSettings:
    where = f"[peers.{name}]"
    if isinstance(table, dict) and isinstance(table.get("command"), list):
        table = {**table, "command": tuple(table["command"])}
    settings = PeerSettings(**_table(table, PeerSettings, where))
    if settings.transport is not None and settings.transport not in TRANSPORTS:
        raise DelegationError(f"{where} transport is {settings.transport!r}; it must be one of {', '.join(TRANSPORTS)}")
    if not all(isinstance(part, str) and part for part in settings.command):
        raise DelegationError(f'{where} command must be a list of words, for example ["claude", "-p"]')
    needs = _NEEDS.get(settings.transport or "", ())
    if needs and not any(getattr(settings, key) for key in needs):
        raise DelegationError(f"{where} transport {settings.transport} needs {' or '.join(needs)}")
    if settings.url is not None and not settings.url.startswith(("http://", "https://")):
        raise DelegationError(f"{where} url is {settings.url!r}; it must begin with http:// or https://")
    return settings


def _table(table: Any, kind: type[Settings] | type[PeerSettings], where: str) -> dict[str, Any]:
    """The settings of one table, each of its default's type; numbers above zero."""
    if not isinstance(table, dict):
        raise DelegationError(f"{where} must be a table")
    known = {one.name: one.type for one in fields(kind) if one.name != "peers"}
    for key, value in table.items():
        if key not in known:
            raise DelegationError(f"{where} {key} is not a setting; there are {', '.join(known)}")
        wanted: tuple[type, ...] = {"int": (int,), "float": (int, float), "tuple[str, ...]": (tuple,)}.get(
            str(known[key]), (str,)
        )
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise DelegationError(f"{where} {key} is {value!r}; it must be {_called(wanted)}")
        if isinstance(value, int | float) and not value > 0:
            raise DelegationError(f"{where} {key} must be above zero, not {value}")
    return dict(table)


def _called(types: tuple[type, ...]) -> str:
    if tuple in types:
        return "a list of words"
    return {str: "a text", int: "a whole number", float: "a number"}[types[-1]]
