"""Asking a person whether a call may run: once, its kind for the whole run, no, or no with a word to the model.

    asker = Asker(console, session=lambda: session)
    await asker(call, decision) -> None | "why not, in words for the model"

Enter alone answers nothing. "This kind" are the rules that `Session.kinds` gives, shown before they are agreed; what a
rail asks about is asked about again, whatever was agreed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_engineer.interfaces.terminal.console import Choice, Console
from ml_engineer.interfaces.terminal.preview import preview
from ml_engineer.report.visible import one_line

if TYPE_CHECKING:
    from ml_engineer.agent.calls import Call
    from ml_engineer.agent.session import Session
    from ml_engineer.tools.permissions import Decision

_NOBODY = "{name} was refused: {reason}; nobody can be asked here"
_REFUSED = "{name} was refused: the user said no. Find another way, or ask what they want."
_TOLD = "{name} was refused by the user, who says: {words}"


@dataclass
class Asker:
    """`shown` has the ids of calls whose change was shown, so that it is not shown again when it is made."""

    console: Console
    session: Callable[[], Session]
    shown: set[str] = field(default_factory=set)
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, call: Call, decision: Decision) -> str | None:
        if not self.console.interactive:
            return _NOBODY.format(name=call.name, reason=decision.reason)
        async with self._alone:  # calls that run side by side are asked about one after the other
            again = self.session().permissions.decide(call.name, call.input)  # something may have been agreed meanwhile
            return None if again.behaviour == "allow" else await self._ask(call, decision)

    async def _ask(self, call: Call, decision: Decision) -> str | None:
        self._show(call, decision)
        choices = [Choice("y", "allow once"), Choice("n", "deny"), Choice("t", "deny, and tell the model why")]
        kinds = self.session().kinds(call)
        if kinds:
            choices.insert(1, Choice("a", f"allow {_in_words(kinds)} for this run"))
        answer = await self.console.choose("Allow it?", choices)
        if answer == "a":
            self.session().grant(call)
        if answer == "t":
            words = await self.console.ask("What should the model know?")
            return _TOLD.format(name=call.name, words=words) if words else _REFUSED.format(name=call.name)
        return None if answer in ("y", "a") else _REFUSED.format(name=call.name)

    def _show(self, call: Call, decision: Decision) -> None:
        shown = preview(call.name, call.input, self.session().root)
        title = one_line(f"{call.name} {shown.path}")
        self.console.say(f"\n{title} asks for permission: {one_line(decision.reason)}", "bold yellow")
        if shown.kind == "diff":
            self.console.diff(shown.text)
            self.shown.add(call.id)
        else:
            self.console.say("\n".join(f"  {line}" for line in shown.text.split("\n")), "bold")


def _in_words(kinds: list[str]) -> str:
    """`Bash(pytest:*)` is `pytest …`, `Edit` is every edit."""
    told = []
    for kind in kinds:
        tool, _, spec = kind.removesuffix(")").partition("(")
        if not spec:
            told.append("every edit in this repository" if tool == "Edit" else f"every use of {tool}")
        elif tool == "Read":
            told.append(f"reading `{one_line(spec.removeprefix('/'))}`, and what is in it if it is a folder,")
        elif spec.endswith(":*"):
            told.append(f"`{one_line(spec.removesuffix(':*'))} …`")
        else:
            told.append(f"exactly `{one_line(spec)}`")
    return " and ".join(told)
