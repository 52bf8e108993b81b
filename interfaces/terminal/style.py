"""The colours of what is drawn around the input, by name. Only the terminal's own sixteen, so that its theme holds."""

from __future__ import annotations

from prompt_toolkit.styles import Style

STYLE = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "status": "ansibrightblack",
        "status.warn": "ansiyellow",
        "activity": "ansicyan",
        "queued": "ansibrightblack italic",
        "question": "bold",
        "pointer": "bold ansicyan",
        "key": "bold ansiyellow",
        "chosen": "bold",
        "hint": "ansibrightblack",
        "place": "underline",
        "quoted": "bold",
        "remedy": "ansigreen",
        "severity.critical": "bold ansired",
        "severity.high": "ansired",
        "severity.medium": "ansiyellow",
        "severity.low": "ansiblue",
        "severity.info": "ansibrightblack",
        "plan.done": "ansigreen",
        "plan.active": "bold",
        "plan.pending": "ansibrightblack",
        "plan.failed": "ansired",
        "completion-menu": "noinherit",
        "completion-menu.completion": "noinherit ansibrightblack",
        "completion-menu.completion.current": "noinherit bold",
        "completion-menu.meta.completion": "noinherit ansibrightblack",
        "completion-menu.meta.completion.current": "noinherit ansibrightblack",
        "scrollbar.background": "noinherit",
        "scrollbar.button": "noinherit",
    }
)
