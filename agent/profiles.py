"""What may be asked of a server: everything of the Anthropic API, or the plain fields that every server understands.

    profile.head(model, system, tools, …) -> the request without its messages
    profile.mark(message) -> the message as it is sent when it is the last one

`compatible` sends nothing that a server of another make could reject or silently ignore; whatever such a server answers
is validated here, never trusted to have been constrained there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]

EFFORTS = ("low", "medium", "high", "xhigh", "max")
_CACHED = {"cache_control": {"type": "ephemeral"}}
_MARKABLE = frozenset({"text", "tool_result"})
# Models from before adaptive thinking and effort.
_PLAIN_MODELS = ("claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5")


@dataclass(frozen=True)
class Profile:
    """`idle`: how long a server may be silent (s). `max_tokens`: of an answer, where nothing else is said."""

    name: str
    idle: float
    max_tokens: int
    head: Callable[..., dict[str, Any]]
    mark: Callable[[Message], Message]


def _anthropic_head(
    model: str, system: Sequence[str], tools: Sequence[dict[str, Any]], max_tokens: int, effort: str | None = None
) -> dict[str, Any]:
    """Tools and system come first and never change, with a cache breakpoint behind them."""
    head: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "stream": True}
    if not model.startswith(_PLAIN_MODELS):
        head["thinking"] = {"type": "adaptive", "display": "summarized"}
        if effort is not None:
            head["output_config"] = {"effort": effort}
    if tools:
        head["tools"] = list(tools)
    blocks: list[dict[str, Any]] = [{"type": "text", "text": part} for part in system]
    if blocks:
        blocks[-1] |= _CACHED
        head["system"] = blocks
    return head


def _anthropic_mark(message: Message) -> Message:
    """A copy with a cache breakpoint on its last block; the breakpoint is no part of what is cached."""
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": [{"type": "text", "text": content, **_CACHED}]}
    if not content or content[-1]["type"] not in _MARKABLE:
        return message
    return {**message, "content": [*content[:-1], {**content[-1], **_CACHED}]}


def _compatible_head(
    model: str, system: Sequence[str], tools: Sequence[dict[str, Any]], max_tokens: int, effort: str | None = None
) -> dict[str, Any]:
    """`effort` is left out: most servers ignore it, some refuse it."""
    head: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "stream": True}
    if tools:
        head["tools"] = list(tools)
    if system:
        head["system"] = "\n\n".join(system)
    return head


ANTHROPIC = Profile("anthropic", 180.0, 16_000, _anthropic_head, _anthropic_mark)
# A local server may read a long prompt for minutes before its first byte, and often has little room for the answer.
COMPATIBLE = Profile("compatible", 600.0, 4_096, _compatible_head, lambda message: message)
PROFILES = {profile.name: profile for profile in (ANTHROPIC, COMPATIBLE)}
