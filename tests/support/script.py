"""Scripts for the Messages API server: what is answered to whom, and which faults come before it.

    latency: 0.02                      # seconds before every answer
    agents:
      - match: "Step 4"                # text in the system prompt or the first message of the request
        turns:
          - - text: I read the training script.
            - call: Read
              input: {file_path: train.py}
          - faults: [529, cut_text]    # served one after the other, then the answer
            blocks:
              - text: Done.
      - turns: [...]                   # no match: everybody else

A turn is chosen by the number of assistant messages in the request, not by a counter: a request that is sent again, by
a retry or a resumed run, gets the same answer. In a block's strings `<<pattern>>` stands for the first group of the
last match of this regular expression in the request's tool results, so that a script can name what a tool gave it.
In Python, a turn may also be a function from the request to blocks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Block = dict[str, Any]
Request = dict[str, Any]

FAULTS = frozenset(
    "error_event cut_text cut_tool_json cut_after_call truncate malformed stall stall_text empty not_json "
    "disconnect".split()
)
_PLACEHOLDER = re.compile(r"<<(.+?)>>")


class ScriptError(ValueError):
    """The script, or a request that it has no answer for. The message says which part."""


@dataclass(frozen=True)
class Fault:
    """One answer that goes wrong. `kind` is one of FAULTS, or "status" with the HTTP status."""

    kind: str
    status: int = 200
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    error_type: str | None = None
    seconds: float = 30.0  # of a stall

    @classmethod
    def read(cls, raw: Any) -> Fault:
        """From `529`, `"cut_text"`, `{status: 429, retry_after: 2}`, `{stall: 0.5}` or `{stall_text: 0.5}`."""
        if isinstance(raw, Fault):
            return raw
        if isinstance(raw, int):
            return cls("status", raw)
        if isinstance(raw, str) and raw in FAULTS:
            return cls(raw)
        if isinstance(raw, dict) and "status" in raw:
            return cls("status", **raw)
        for kind in ("stall", "stall_text"):  # silence at once, or in the middle of the text
            if isinstance(raw, dict) and set(raw) == {kind}:
                return cls(kind, seconds=float(raw[kind]))
        raise ScriptError(f"unknown fault {raw!r}; known: an HTTP status, {', '.join(sorted(FAULTS))}")


@dataclass
class Turn:
    """One answer: content blocks as the wire has them, and what comes before it."""

    blocks: list[Block] | Callable[[Request], list[Block]]
    faults: list[Fault] = field(default_factory=list)
    latency: float | None = None
    stop_reason: str | None = None
    usage: dict[str, int] | None = None

    @classmethod
    def read(cls, raw: Any) -> Turn:
        if isinstance(raw, Turn):
            return raw
        if callable(raw) or isinstance(raw, list):
            return cls(raw)
        if not isinstance(raw, dict) or set(raw) - {"blocks", "faults", "latency", "stop_reason", "usage"}:
            raise ScriptError(
                f"a turn is a list of blocks, or has blocks, faults, latency, stop_reason, usage: {raw!r}"
            )
        faults = [Fault.read(one) for one in raw.get("faults", [])]
        return cls(raw.get("blocks", []), faults, raw.get("latency"), raw.get("stop_reason"), raw.get("usage"))

    def answer(self, request: Request, number: int) -> list[Block]:
        """The wire's content blocks of this turn."""
        blocks = self.blocks(request) if callable(self.blocks) else self.blocks
        return [_block(_fill(one, request), number, place) for place, one in enumerate(blocks)]


@dataclass
class Agent:
    """The turns of the agent whose requests contain `match`."""

    turns: list[Turn]
    match: str | None = None


@dataclass
class Script:
    """Everything that a server answers."""

    agents: list[Agent]
    latency: float = 0.0

    @classmethod
    def of(cls, turns: Sequence[Any], *, latency: float = 0.0) -> Script:
        """A script for a single agent."""
        return cls([Agent([Turn.read(one) for one in turns])], latency)

    @classmethod
    def load(cls, path: Path) -> Script:
        raw = yaml.safe_load(path.read_text())
        if not isinstance(raw, dict) or not isinstance(raw.get("agents"), list):
            raise ScriptError(f"{path}: a script has the key `agents`, a list")
        agents = [Agent([Turn.read(turn) for turn in one["turns"]], one.get("match")) for one in raw["agents"]]
        return cls(agents, float(raw.get("latency", 0.0)))

    def find(self, request: Request) -> tuple[int, int, Turn]:
        """Number of the agent, number of its turn, and the turn, for this request."""
        opening = json.dumps([request.get("system"), request.get("messages", [])[:1]], ensure_ascii=False)
        for number, agent in enumerate(self.agents):
            if agent.match is None or agent.match in opening:
                place = sum(message["role"] == "assistant" for message in request["messages"])
                if place >= len(agent.turns):
                    raise ScriptError(f"the script of agent {agent.match or number} ends before turn {place}")
                return number, place, agent.turns[place]
        raise ScriptError(f"no agent of the script matches the request that begins {opening[:200]}")


def text(words: str) -> Block:
    return {"text": words}


def call(tool: str, **tool_input: Any) -> Block:
    return {"call": tool, "input": tool_input}


def _block(raw: Block, number: int, place: int) -> Block:
    """The wire's form of a block: ids are made from its place, so that they are the same in every run."""
    if "call" in raw:
        block = {"type": "tool_use", "id": raw.get("id", f"toolu_{number:03d}_{place}"), "name": raw["call"]}
        return {**block, "input": raw.get("input", {}), **({"raw": raw["raw"]} if "raw" in raw else {})}
    if "type" in raw:
        return raw
    if "text" in raw:
        return {"type": "text", "text": raw["text"]}
    if "thinking" in raw:
        signature = raw.get("signature", f"signed-{number}-{place}")
        return {"type": "thinking", "thinking": raw["thinking"], "signature": signature}
    raise ScriptError(f"a block has text, thinking, call or type: {raw!r}")


def _fill(node: Any, request: Request) -> Any:
    if isinstance(node, str):
        return _PLACEHOLDER.sub(lambda found: _look_up(found[1], request), node) if "<<" in node else node
    if isinstance(node, list):
        return [_fill(one, request) for one in node]
    if isinstance(node, dict):
        return {key: _fill(value, request) for key, value in node.items()}
    return node


def _look_up(pattern: str, request: Request) -> str:
    results = [
        block.get("content", "") if isinstance(block.get("content"), str) else json.dumps(block.get("content"))
        for message in request["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if block.get("type") == "tool_result"
    ]
    for result in reversed(results):
        matches = list(re.finditer(pattern, result))
        if matches:
            return str(matches[-1][1])
    raise ScriptError(f"no tool result matches {pattern!r}, which the script refers to")
