"""What a turn is, told on a console while it happens: the answer as it streams, each tool call in a line, the plan.

    story = Story(console, root, shown=asker.shown)
    open_session(…, notify=story)

A tool's output is folded: an error and a command's output show their last lines, everything else one line. The change
that an edit made is shown in colour, unless it was shown to be approved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_engineer.interfaces.terminal import calls
from ml_engineer.interfaces.terminal.console import Front
from ml_engineer.interfaces.terminal.preview import Preview, preview
from ml_engineer.interfaces.terminal.printing import Folded
from ml_engineer.report.visible import one_line, visible

MAIN = "chat"  # transcripts of the conversation are chat-1, chat-2, …; any other agent is a peer
PLAN = "UpdatePlan"
_LAST_LINES = 4  # of a command's output
_CHANGE_LINES = 24
_ENDINGS = {
    "refused": "The model declined: {text}",
    "context full": "The conversation is too long for the model: {text}. /compact shortens it.",
    "stuck": "The model was stopped: {text}",
    "budget": "{text}. /cost shows what was spent; leave and come back with a higher --max-cost or --max-turns.",
    "failed": "{text}",
}


@dataclass
class _Running:
    asked: str
    began: float
    preview: Preview | None


class Story:
    """The listener of a session."""

    def __init__(self, console: Front, root: Path, shown: set[str], changed: Callable[[], None]) -> None:
        self._console = console
        self._root, self._shown, self._changed = root, shown, changed
        self._running: dict[str, _Running] = {}

    def __call__(self, kind: str, /, **data: Any) -> None:
        handler = getattr(self, f"_on_{kind}", None)
        if handler is not None:
            handler(**data)

    # --- the answer -----------------------------------------------------------------------------------------------

    def _on_text(self, text: str) -> None:
        self._console.activity("Answering")
        self._console.stream(text)

    def _on_thinking(self, text: str) -> None:
        self._console.activity("Thinking")

    def _on_tool_call(self, name: str, **_: Any) -> None:
        self._console.stream_end()
        self._console.activity(f"Preparing {one_line(name)}")

    def _on_turn(self, **_: Any) -> None:
        self._console.stream_end()
        self._console.activity("Working")

    def _on_retry(self, reason: str = "", wait: float = 0.0, **_: Any) -> None:
        self._console.stream_end()
        self._console.say(f"The answer broke off ({one_line(str(reason))}); asking again.", "dim")
        self._console.activity(f"Waiting {wait:.0f} s before asking again" if wait >= 1 else "Asking again")

    def _on_ending(self, why: str, text: str, agent: str = MAIN, **_: Any) -> None:
        self._console.stream_end()
        if agent.startswith(MAIN) and why in _ENDINGS:
            self._console.error(_ENDINGS[why].format(text=text))

    def _on_nudge(self, text: str, **_: Any) -> None:
        self._console.say(f"(reminded the model: {one_line(text)})", "dim")

    # --- tools ----------------------------------------------------------------------------------------------------

    def _on_tool_start(self, id: str, name: str, input: dict[str, Any], agent: str = MAIN, **_: Any) -> None:
        self._console.stream_end()
        asked = self._prefix(agent) + calls.asked(name, input)
        shown = preview(name, input, self._root) if name in ("Edit", "MultiEdit", "Write") else None
        self._running[id] = _Running(asked, time.monotonic(), shown)
        self._console.activity(asked)

    def _on_tool_end(self, id: str, name: str, is_error: bool, text: str, data: Any = None, **_: Any) -> None:
        running = self._running.pop(id, None)
        if running is None or (name == PLAN and not is_error):  # the plan itself is shown
            return
        facts = data if isinstance(data, dict) else {}
        text, seconds = calls.unquoted(text), time.monotonic() - running.began
        came = calls.outcome(name, facts, text, is_error=is_error, seconds=seconds)
        number = self._console.folds.keep(Folded(running.asked, text))
        self._line(running.asked, came, number, is_error=is_error)
        if running.preview is not None and running.preview.kind == "diff" and not is_error:
            self._change(id, running.preview)
        elif name == "Bash" and "output" in facts:
            self._last_lines(str(facts["output"]))
        if not is_error and name in ("Edit", "MultiEdit", "Write", "Bash"):
            self._changed()
        self._console.activity("Working")

    def _line(self, asked: str, came: str, number: int, *, is_error: bool) -> None:
        from rich.text import Text

        if self._console.plain:
            self._console.say(f"{'failed' if is_error else 'done'}: {asked}: {came} (/unfold {number})")
            return
        mark = ("✗ ", "red") if is_error else ("● ", "green")
        name, _, rest = asked.partition(" ")
        style = "red" if is_error else "dim"
        line = Text.assemble(mark, (name, "bold"), f" {rest}", (f"  {came}", style), (f"  #{number}", "dim cyan"))
        line.overflow = "fold"
        self._console.show(line)

    def _change(self, id: str, shown: Preview) -> None:
        if id not in self._shown:
            self._console.fold(Folded(f"the change of {shown.path}", shown.text, diff=True), _CHANGE_LINES)

    def _last_lines(self, output: str) -> None:
        lines = [line for line in visible(output).rstrip("\n").split("\n") if line.strip()]
        shown = [one_line(line)[:200] for line in lines[-_LAST_LINES:]]
        if shown and lines != ["(no output)"]:
            self._console.say("\n".join(f"  {line}" for line in shown), "dim")

    @staticmethod
    def _prefix(agent: str) -> str:
        return "" if agent.startswith(MAIN) else f"[{one_line(agent)}] "

    def _on_peer(self, event: str, data: dict[str, Any], **_: Any) -> None:
        """What a peer in this process does; what it says is not the answer, which comes when it has ended."""
        if event in ("tool_start", "tool_end"):
            self(event, **data)

    # --- the conversation -----------------------------------------------------------------------------------------

    def _on_plan(self, items: Any) -> None:
        self._console.show_plan([(str(item.state), str(item.text)) for item in items])

    def _on_attached(self, path: str, problem: str | None = None, **_: Any) -> None:
        self._console.say(f"{one_line(path)}: {one_line(problem) if problem else 'sent along'}", "dim")

    def _on_compacted(self, **_: Any) -> None:
        self._console.say("The conversation was shortened; the request, the plan and the limits were kept.", "dim")

    def _on_problem(self, text: str, **_: Any) -> None:
        self._console.say(text, "yellow")
