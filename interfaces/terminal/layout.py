"""Where things are, from top to bottom: growing answer, plan, activity, queue, input or question, menu, status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_toolkit.filters import Condition, has_completions
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, Window
from prompt_toolkit.layout.containers import Container, VerticalAlign
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.menus import CompletionsMenuControl

from ml_engineer.interfaces.terminal.panels import clip
from ml_engineer.report.visible import one_line, plural, visible

if TYPE_CHECKING:
    from ml_engineer.interfaces.terminal.screen import Screen

_PLAN_LINES = 12
_QUEUED_LINES = 3
PLAN_STYLES = {"done": "green", "active": "bold", "pending": "dim", "failed": "red"}  # in rich, for the talk
MARKS = {"done": "✓", "active": "◐", "failed": "✗", "pending": "○"}


@dataclass(frozen=True)
class Parts:
    root: Container
    input: Window
    panel: Window


def build(screen: Screen) -> Parts:
    """The layout of a screen; everything in it is read from the screen when it is drawn."""
    asking = Condition(lambda: screen.panel is not None)
    entry = Window(
        BufferControl(screen.buffer),
        wrap_lines=True,
        height=Dimension(min=1, max=10),
        dont_extend_height=True,
        get_line_prefix=lambda line, wrap: _prefix(screen, line, wrap),
    )
    panel_control = FormattedTextControl(lambda: _panel(screen), focusable=True, show_cursor=False)
    panel = Window(panel_control, dont_extend_height=True, wrap_lines=False)
    menu = Window(CompletionsMenuControl(), height=Dimension(min=1, max=8), dont_extend_height=True)
    root = HSplit(
        [
            _text(lambda: ANSI(screen.tail), Condition(lambda: bool(screen.tail))),
            _text(lambda: _plan(screen), Condition(lambda: bool(screen.plan) and screen.working)),
            _text(lambda: _activity(screen), Condition(lambda: screen.working and screen.panel is None)),
            _text(lambda: _queued(screen), Condition(lambda: bool(screen.queued) and screen.working)),
            ConditionalContainer(panel, asking),
            ConditionalContainer(entry, ~asking),
            ConditionalContainer(menu, has_completions & ~asking),
            _text(lambda: _status(screen), ~asking & ~has_completions),
        ],
        align=VerticalAlign.TOP,
    )
    return Parts(root, entry, panel)


def _text(get: object, shown: Condition | object) -> Container:
    window = Window(FormattedTextControl(get), dont_extend_height=True, wrap_lines=False)  # type: ignore[arg-type]
    return ConditionalContainer(window, shown)  # type: ignore[arg-type]


def _fit(screen: Screen, fragments: list[tuple[str, str]]) -> StyleAndTextTuples:
    return [(style, screen.device.fit(text)) for style, text in fragments]


def _prefix(screen: Screen, line: int, wrap: int) -> StyleAndTextTuples:
    if screen.question is not None:
        label = clip(f"{screen.question} ", max(10, screen.width - 12))
        return _fit(screen, [("class:question", label if line == 0 and wrap == 0 else "  ")])
    return _fit(screen, [("class:prompt", "› " if line == 0 and wrap == 0 else "  ")])


def _panel(screen: Screen) -> StyleAndTextTuples:
    """The question; what can be pressed is said only once a key would be taken for an answer."""
    if screen.panel is None:
        return []
    drawn = screen.panel.fragments(screen.width, screen.device.rows)
    return _fit(screen, drawn if screen.may_answer else drawn[:-1])


def _plan(screen: Screen) -> StyleAndTextTuples:
    """The plan around the item at work, as much of it as there is room for."""
    items = screen.plan
    room = max(3, min(_PLAN_LINES, screen.device.rows - 12))
    at = next((at for at, (state, _) in enumerate(items) if state in ("active", "pending")), 0)
    first = max(0, min(at - room // 2, len(items) - room))
    drawn = [("", "\n")] if screen.tail else []
    for state, text in items[first : first + room]:
        line = clip(f"{MARKS.get(state, '○')} {one_line(text)}", screen.width)
        drawn.append((f"class:plan.{state}", f"{line}\n"))
    hidden = len(items) - min(room, len(items))
    drawn.append(("class:hint", f"  and {hidden} more" if hidden else ""))
    return _fit(screen, drawn if hidden else [*drawn[:-2], (drawn[-2][0], drawn[-2][1].rstrip("\n"))])


def _activity(screen: Screen) -> StyleAndTextTuples:
    line, stop = screen.activity_line, " · Ctrl-C stops it"
    room = screen.width - len(stop)
    return _fit(screen, [("class:activity", clip(line, room)), ("class:hint", stop if room > 20 else "")])


def _queued(screen: Screen) -> StyleAndTextTuples:
    shown = list(screen.queued)[:_QUEUED_LINES]
    lines = [clip(f"  queued: {one_line(visible(text))}", screen.width) for text in shown]
    rest = len(screen.queued) - len(shown)
    lines += [f"  and {plural(rest, 'more message')}"] if rest else []
    return _fit(screen, [("class:queued", "\n".join(lines))])


def _status(screen: Screen) -> StyleAndTextTuples:
    """The hint of the moment, or as many parts of the status as fit."""
    if screen.hint:
        return _fit(screen, [("class:status.warn", clip(screen.hint, screen.width))])
    line = ""
    for part in screen.status():
        longer = f"{line} · {part}" if line else part
        if line and len(longer) > screen.width - 1:
            break
        line = longer
    return _fit(screen, [("class:status", clip(line, screen.width))])
