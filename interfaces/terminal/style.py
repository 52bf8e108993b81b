"""The colours of what is drawn around the input, by name. Only the terminal's own sixteen, so that its theme holds."""

from __future__ import annotations

from prompt_toolkit.styles import Style

STYLE = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "status": "dim",
        "status.warn": "ansiyellow",
        "activity": "ansicyan",
        "queued": "dim italic",
        "question": "bold",
        "pointer": "bold ansicyan",
        "key": "bold ansiyellow",
        "chosen": "bold",
        "hint": "dim",
        "place": "underline",
        "quoted": "bold",
        "remedy": "ansigreen",
        "severity.critical": "bold ansired",
        "severity.high": "ansired",
        "severity.medium": "ansiyellow",
        "severity.low": "ansiblue",
        "severity.info": "dim",
        "plan.done": "ansigreen",
        "plan.active": "bold",
        "plan.pending": "dim",
        "plan.failed": "ansired",
        "completion-menu": "noinherit",
        "completion-menu.completion": "noinherit dim",
        "completion-menu.completion.current": "noinherit bold",
        "completion-menu.meta.completion": "noinherit dim",
        "completion-menu.meta.completion.current": "noinherit dim",
        "scrollbar.background": "noinherit",
        "scrollbar.button": "noinherit",
    }
)
