"""How much of what was sent a prompt cache could have had: the measure behind "stable prefix"."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def cacheable_share(requests: Iterable[dict[str, Any]]) -> float:
    """The share of all input bytes, from 0 to 1, that lie in a prefix which an earlier request has sent before.

    Bytes are counted in the order of the cache: tools, system, messages. Breakpoints are no part of what is cached.
    """
    sent: list[str] = []
    total = shared = 0
    for request in requests:
        parts = [request.get("tools", []), request.get("system", ""), *request["messages"]]
        now = json.dumps(_without_marks(parts))[:-1]  # open at the end, as the next one goes on there
        total += len(now)
        shared += max((_common(before, now) for before in sent), default=0)
        sent.append(now)
    return shared / total if total else 0.0


def _common(before: str, now: str) -> int:
    """Length of what both begin with."""
    low, high = 0, min(len(before), len(now))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if before[:middle] == now[:middle] else (low, middle - 1)
    return low


def _without_marks(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_marks(one) for one in node]
    if isinstance(node, dict):
        plain = {key: _without_marks(value) for key, value in node.items() if key != "cache_control"}
        if "role" in plain and isinstance(plain.get("content"), str):  # the two ways to write the same message
            plain["content"] = [{"type": "text", "text": plain["content"]}]
        return plain
    return node
