"""`--stream-json`: lines of JSON, of the same types and keys as `claude -p --output-format stream-json` gives.

    system/init    first: session, model, tools, permission mode
    assistant      each answer of the model, as the Messages API has it
    user           the results of its tool calls
    result         last and in every case: success or error, the report, turns, cost, usage, refused calls

A program that reads one reads the other. `result` is the report in Markdown, `structured_output` the sealed JSON. The
key `agent` is ours: it names the step at work.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from ml_engineer.report.visible import visible_json

if TYPE_CHECKING:
    from ml_engineer.report.schema import Report, Usage

_REFUSED = " was refused: "
_SUBTYPES = {"turns": "error_max_turns", "cost": "error_max_budget_usd"}


@dataclass
class StreamJson:
    """Writes the lines. A listener for everything that the agents do."""

    session: str
    model: str
    out: IO[str] = field(default_factory=lambda: sys.stdout)
    spent: Callable[[], Usage] | None = None  # what the run has spent so far, once a model can be asked
    _started: float = field(default_factory=time.monotonic)
    _inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    _denials: list[dict[str, Any]] = field(default_factory=list)
    _finished: bool = False

    def init(self, *, cwd: str, tools: list[str], mode: str) -> None:
        about = {"cwd": cwd, "tools": tools, "mcp_servers": [], "model": self.model, "permissionMode": mode}
        self._line("system", subtype="init", **about, agents=[], skills=[])

    def __call__(self, kind: str, /, **data: Any) -> None:
        if kind == "turn":
            message = {"type": "message", "role": "assistant", "model": data["model"], "content": data["content"]}
            message |= {"stop_reason": data["stop"], "usage": data["usage"]}
            self._line("assistant", message=message, parent_tool_use_id=None, agent=data["agent"])
        elif kind == "tool_start":
            self._inputs[data["id"]] = data["input"]
        elif kind == "tool_end":
            self._result_of_tool(data)

    def _result_of_tool(self, data: dict[str, Any]) -> None:
        asked = self._inputs.pop(data["id"], {})
        if data["is_error"] and data["text"].startswith(f"{data['name']}{_REFUSED}"):
            self._denials.append({"tool_name": data["name"], "tool_use_id": data["id"], "tool_input": asked})
        block = {"type": "tool_result", "tool_use_id": data["id"], "content": data["text"]}
        block |= {"is_error": True} if data["is_error"] else {}
        message = {"role": "user", "content": [block]}
        self._line("user", message=message, parent_tool_use_id=None, agent=data["agent"])

    def success(self, report: Report) -> None:
        """The result of a run that came to its end; `is_error` where the report says that it is not complete."""
        from ml_engineer.report import markdown

        partial = report.coverage.state == "partial"
        reason = "incomplete" if partial else "completed"
        text = markdown.render(report)
        self._result("success", partial, text, report.usage, reason, structured_output=report.model_dump(mode="json"))

    def failure(self, message: str, *, what: str = "", reason: str = "error") -> None:
        """The result of a run that could not go on. `what`: which cap was reached, if one was."""
        subtype = _SUBTYPES.get(what, "error_during_execution")
        usage = self.spent() if self.spent is not None else None
        self._result(subtype, True, message, usage, reason, errors=[message])

    def _result(self, subtype: str, is_error: bool, text: str, usage: Usage | None, reason: str, **more: Any) -> None:
        if self._finished:
            return
        self._finished = True
        turns, cost, spent = 0, 0.0 if usage is None else None, dict[str, int]()
        if usage is not None:
            turns, cost = usage.turns, None if usage.cost_usd == "unpriced" else usage.cost_usd
            spent = {
                "input_tokens": usage.tokens.input,
                "output_tokens": usage.tokens.output,
                "cache_read_input_tokens": usage.tokens.cache_read,
                "cache_creation_input_tokens": usage.tokens.cache_write,
            }
        elapsed = int((time.monotonic() - self._started) * 1000)
        about = {"duration_ms": elapsed, "num_turns": turns, "result": text, "total_cost_usd": cost, "usage": spent}
        about |= {"modelUsage": {self.model: {**spent, "costUSD": cost}} if spent else {}}
        about |= {"permission_denials": self._denials, "terminal_reason": reason}
        self._line("result", subtype=subtype, is_error=is_error, **about, **more)

    def _line(self, kind: str, **data: Any) -> None:
        line = {"type": kind, **data, "session_id": self.session, "uuid": str(uuid.uuid4())}
        self.out.write(visible_json(json.dumps(line, ensure_ascii=False)) + "\n")
        self.out.flush()
