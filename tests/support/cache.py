"""What was sent, against what had been sent before: the measures behind "stable prefix" and "contexts of their own"."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

Request = dict[str, Any]


def cacheable_share(requests: Iterable[Request]) -> float:
    """The share of all input bytes, from 0 to 1, that lie in a prefix which an earlier request has sent before.

    Bytes are counted in the order of the cache: tools, system, messages. Breakpoints are no part of what is cached.
    """
    sent: list[str] = []
    total = shared = 0
    for request in requests:
        now = _in_order(request)
        total += len(now)
        shared += max((_common(before, now) for before in sent), default=0)
        sent.append(now)
    return shared / total if total else 0.0


def share_of_one_conversation(conversations: Sequence[Sequence[Request]]) -> float:
    """All input bytes, as a share of what the same work would have sent as one conversation that only grows."""
    texts = [[_in_order(request) for request in requests] for requests in conversations]
    prefix = _common(texts[0][0], texts[-1][0])  # what each of them begins with, and one conversation has once
    together, grown = 0, prefix
    for requests in texts:
        together += sum(grown + len(text) - prefix for text in requests)
        grown += len(requests[-1]) - prefix
    return sum(len(text) for requests in texts for text in requests) / together


def _in_order(request: Request) -> str:
    """The text of a request in the order of the cache, open at the end, as the next one goes on there."""
    return json.dumps(_without_marks([request.get("tools", []), request.get("system", ""), *request["messages"]]))[:-1]


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
