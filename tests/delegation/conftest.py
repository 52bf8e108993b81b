"""Findings, claims, a store in memory and a desk, in as few words as the tests need."""

from __future__ import annotations

import fnmatch
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.delegation.desk import Desk
from ml_engineer.delegation.limits import Purse, Tree, Unlimited
from ml_engineer.delegation.peers import Peer, built_in
from ml_engineer.delegation.settings import PeerSettings, Settings
from ml_engineer.delegation.transports.base import Ask, Transport, Written
from ml_engineer.report.schema import Claim, ClaimState, Finding, Handoff, Quote

GOOD = '{"state": "answered", "answer": "Split by customer.", "usage": {"turns": 1, "cost_usd": 0.1}}'


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("ML_ENGINEER_HOME", str(home))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("ML_ENGINEER_CHAIN", raising=False)


def quote(path: str = "train.py", line: int = 3, text: str = "model.fit(X, y)") -> Quote:
    return Quote(path=path, line_start=line, line_end=line, quote=text, sha256="0" * 64)


def finding(text: str, *, line: int = 3, peers: tuple[str, ...] = ()) -> Finding:
    """From "MLE0101 high" or "MLE0101 high low": rule, severity, confidence."""
    rule, severity, confidence = (*text.split(), "high")[:3]
    return Finding(
        rule=rule,
        step=int(rule[3:5]),
        severity=severity,
        confidence=confidence,
        title=f"what {rule} says",
        why="why",
        remedy="remedy",
        evidence=[quote(line=line)],
        peers=list(peers),
        source="a source",
        fingerprint=f"{rule}-{line}",
    )


def claims(states: Mapping[str, str]) -> dict[str, Claim]:
    return {name: Claim(text=f"text of {name}", state=ClaimState(state)) for name, state in states.items()}


def handoff(peer: str = "data-scientist", number: int = 0) -> Handoff:
    return Handoff(id=f"{peer}-{number:08x}", peer=peer, cue="a cue", question="Which split?", evidence=[quote()])


@dataclass
class MemoryStore:
    files: dict[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def write(self, name: str, data: bytes) -> None:
        self.files[name] = data

    def names(self, pattern: str) -> list[str]:
        return sorted(fnmatch.filter(self.files, pattern))


@dataclass
class Fake:
    """A transport that is a function."""

    act: Callable[[Ask], Awaitable[str]]
    name: str = "fake"
    asked: list[Ask] = field(default_factory=list)

    async def ask(self, ask: Ask) -> Written:
        self.asked.append(ask)
        return Written(await self.act(ask))


def says(text: str = GOOD) -> Fake:
    async def act(ask: Ask) -> str:
        return text

    return Fake(act)


def peers(*names: str) -> dict[str, Peer]:
    """The built-in peers, and others of these names."""
    return {name: Peer(name, f"Knows {name}.", "You know.") for name in names} | built_in().peers


def desk(
    transports: Mapping[str, Transport],
    *,
    root: Path = Path(),
    store: Any = None,
    purse: Purse | None = None,
    timeout: float = 5.0,
    max_cost: float = 1.0,
    **settings: Any,
) -> Desk:
    each = {name: PeerSettings(timeout=timeout, max_cost=max_cost) for name in transports}
    return Desk(
        peers=peers(*transports),
        transports=transports,
        tree=Tree(Settings(peers=each, **settings), purse or Unlimited()),
        store=store or MemoryStore(),
        root=root,
        repository="churn",
    )
