"""What each key does. The usual keys of a shell's line editor work too: prompt_toolkit brings them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prompt_toolkit.filters import Condition, Filter, has_completions
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from ml_engineer.report.visible import plural

if TYPE_CHECKING:
    from ml_engineer.interfaces.terminal.screen import Screen

_AGAIN = 2.0  # seconds in which a second Ctrl-C leaves
_IMPATIENT = 1.0  # seconds after a stop in which one more Ctrl-C still means that
_NAMES = {
    Keys.Up: "up",
    Keys.Down: "down",
    Keys.PageUp: "pageup",
    Keys.PageDown: "pagedown",
    Keys.Home: "home",
    Keys.End: "end",
    Keys.ControlM: "enter",
    Keys.Escape: "escape",
}


def bindings(screen: Screen) -> KeyBindings:
    """The bindings of a screen."""
    keys = KeyBindings()
    asking = Condition(lambda: screen.panel is not None)
    typing = ~asking
    _editing(keys, screen, typing)
    _leaving(keys, screen)

    @keys.add(Keys.Any, filter=asking)
    def _press(event: KeyPressEvent) -> None:
        if screen.panel is not None and screen.may_answer:
            screen.panel.press(event.data)
        else:
            screen.key_pressed()
            screen.buffer.insert_text(event.data)

    @keys.add(Keys.BracketedPaste, filter=asking)
    def _paste(event: KeyPressEvent) -> None:
        """Never an answer: it waits in the input."""
        screen.key_pressed()
        screen.buffer.insert_text(screen.pastes.collapse(event.data))

    for key, name in _NAMES.items():

        @keys.add(key, filter=asking, eager=key is not Keys.Escape)
        def _named(event: KeyPressEvent, name: str = name) -> None:
            if screen.panel is not None and screen.may_answer:
                screen.panel.press(name)

    return keys


def _editing(keys: KeyBindings, screen: Screen, typing: Filter) -> None:
    buffer = screen.buffer

    @keys.add("enter", filter=typing)
    def _enter(event: KeyPressEvent) -> None:
        """Take what the menu points at; go on in a new line behind a backslash; else send."""
        state = buffer.complete_state
        if state is not None and state.current_completion is not None:
            buffer.complete_state = None
        elif buffer.document.char_before_cursor == "\\":
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            screen.hint = ""
            screen.submit()

    @keys.add("escape", "enter", filter=typing)
    @keys.add("c-j", filter=typing)
    def _newline(event: KeyPressEvent) -> None:
        buffer.insert_text("\n")

    @keys.add(Keys.Any, filter=typing)
    def _type(event: KeyPressEvent) -> None:
        screen.key_pressed()
        screen.hint = ""
        buffer.insert_text(event.data)

    @keys.add(Keys.BracketedPaste, filter=typing)
    def _paste(event: KeyPressEvent) -> None:
        screen.key_pressed()
        buffer.insert_text(screen.pastes.collapse(event.data))

    @keys.add("up", filter=typing)
    def _up(event: KeyPressEvent) -> None:
        if not screen.take_back():
            buffer.auto_up()

    @keys.add("tab", filter=typing & ~has_completions)
    def _tab(event: KeyPressEvent) -> None:
        buffer.start_completion(insert_common_part=True)

    @keys.add("s-tab", filter=typing & ~has_completions)
    def _mode(event: KeyPressEvent) -> None:
        screen.cycle_mode()

    @keys.add("escape", filter=typing)
    def _escape(event: KeyPressEvent) -> None:
        if not screen.leave_question():
            buffer.cancel_completion()

    @keys.add("c-o")
    def _unfold(event: KeyPressEvent) -> None:
        screen.unfold()

    @keys.add("c-l")
    def _clear(event: KeyPressEvent) -> None:
        screen.clear()


def _leaving(keys: KeyBindings, screen: Screen) -> None:
    pressed, stopped, ended = [0.0], [0.0], [0.0]

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        """Stop what is going on, else empty the input, else leave when it is pressed twice."""
        now = time.monotonic()
        if screen.interrupt() or screen.leave_question():
            stopped[0] = now
            return
        if screen.panel is not None:
            screen.panel.leave()
        elif screen.buffer.text:
            screen.buffer.reset()
            stopped[0] = 0.0
        elif now - stopped[0] < _IMPATIENT:
            stopped[0] = now
        elif now - pressed[0] < _AGAIN:
            screen.leave()
        else:
            pressed[0] = now
            screen.hint = "Press Ctrl-C again to leave; Ctrl-D leaves, too"
        event.app.invalidate()

    @keys.add("c-d")
    def _end(event: KeyPressEvent) -> None:
        """Leave; where messages wait for their turn, not before that was said."""
        now = time.monotonic()
        if screen.buffer.text and screen.panel is None:
            screen.buffer.delete()
        elif screen.queued and now - ended[0] > _AGAIN:
            ended[0] = now
            screen.hint = f"{plural(len(screen.queued), 'message')} not sent yet; Ctrl-D again leaves all the same"
            if screen.panel is not None:
                screen.panel.leave()
            event.app.invalidate()
        else:
            screen.interrupt()
            screen.leave()

    @keys.add("c-z")
    def _suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()
