"""Asking a person whether a call may run: once, its kind for the whole run, no, or no with a word to the model.

    asker = Asker(console, permissions=lambda: session.permissions, root=root)
    await asker(call, decision) -> None | "why not, in words for the model"

Enter alone answers nothing. "This kind" is a permission rule such as `Bash(pytest:*)`, shown before it is agreed, and
it is judged by `Permissions` itself: what a rail or a denying rule asks about is asked about again. A kind is only
offered where it would let this very call through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ml_engineer.interfaces.terminal.console import Choice, Console
from ml_engineer.interfaces.terminal.preview import preview
from ml_engineer.report.text import one_line

if TYPE_CHECKING:
    from ml_engineer.agent.calls import Call
    from ml_engineer.tools.permissions import Decision, Permissions
    from ml_engineer.tools.rules import Rule
    from ml_engineer.tools.shell_grammar import Command

_NOBODY = "{name} was refused: {reason}; nobody can be asked here"
_REFUSED = "{name} was refused: the user said no. Find another way, or ask what they want."
_TOLD = "{name} was refused by the user, who says: {words}"
# Programs of which one more word or argument says what is done at all: only the same command again is the same kind.
_NARROW = frozenset(
    "python python3 bash sh zsh node perl ruby php env xargs find rm rmdir mv cp dd chmod chown kill pkill curl wget "
    "ssh scp rsync eval exec nohup time timeout tee sed awk psql mysql sqlite3".split()
)
_WITH_VERB = frozenset(
    "git pip pip3 uv npm pnpm yarn poetry cargo go make just tox nox docker kubectl helm terraform aws gcloud az dvc "
    "mlflow conda".split()
)


@dataclass
class Asker:
    """`agreed` has the rules of the kinds that were allowed. `shown` has the keys of calls whose change was shown."""

    console: Console
    permissions: Callable[[], Permissions]
    root: Callable[[], Path]
    agreed: list[Rule] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, call: Call, decision: Decision) -> str | None:
        async with self._alone:  # calls that run side by side are asked about one after the other
            if self._is_agreed(call, self.agreed):
                return None
            if not self.console.interactive:
                return _NOBODY.format(name=call.name, reason=decision.reason)
            return await self._ask(call, decision)

    async def _ask(self, call: Call, decision: Decision) -> str | None:
        self._show(call, decision)
        kind = self._kind(call)
        choices = [Choice("y", "allow once"), Choice("n", "deny"), Choice("t", "deny and tell the model why")]
        if kind is not None:
            choices.insert(1, Choice("a", f"allow {_in_words(kind)} for this run"))
        answer = await self.console.choose("Allow it?", choices)
        if answer == "a" and kind is not None:
            self.agreed.append(kind)
        if answer == "t":
            words = await self.console.ask("What should the model know?")
            return _TOLD.format(name=call.name, words=words) if words else _REFUSED.format(name=call.name)
        return None if answer in ("y", "a") else _REFUSED.format(name=call.name)

    def _show(self, call: Call, decision: Decision) -> None:
        shown = preview(call.name, call.input, self.root())
        title = f"{call.name} {shown.path}".rstrip()
        self.console.say(f"{title} asks for permission: {one_line(decision.reason)}", "bold yellow")
        if shown.kind == "diff":
            self.console.diff(shown.text)
            self.shown.add(call.id)
        else:
            self.console.say("\n".join(f"  {line}" for line in shown.text.split("\n")), "bold")

    # --- kinds ----------------------------------------------------------------------------------------------------

    def _is_agreed(self, call: Call, rules: list[Rule]) -> bool:
        permissions = self.permissions()
        more = replace(permissions, rules=(*permissions.rules, *rules))
        return bool(rules) and more.decide(call.name, call.input).behaviour == "allow"

    def _kind(self, call: Call) -> Rule | None:
        """The rule that would let calls like this one through, if there is one that would let this one through."""
        from ml_engineer.tools.rules import RuleError, load

        text = self._rule_text(call)
        if text is None:
            return None
        try:
            rule = load(text, "allow")
        except RuleError:
            return None
        return rule if self._is_agreed(call, [*self.agreed, rule]) else None

    @staticmethod
    def _rule_text(call: Call) -> str | None:
        from ml_engineer.tools import shell_grammar
        from ml_engineer.tools.rules import EDITING

        if call.name in EDITING:
            return "Edit"
        if call.name != "Bash":
            return call.name
        commands = shell_grammar.parse(str(call.input.get("command", ""))).commands
        if len(commands) != 1:
            return None
        return _rule_of_command(commands[0])


def _rule_of_command(command: Command) -> str | None:
    """`Bash(git push:*)`, `Bash(python -m pytest:*)`, `Bash(pytest:*)`; for an interpreter, exactly this command."""
    words = [word.text for word in command.words]
    if not words or any(word is None for word in words) or command.name is None:
        return None
    exact = f"Bash({' '.join(word.source for word in command.words)})"
    if command.name in ("python", "python3") and len(words) > 2 and words[1] == "-m":
        return f"Bash({words[0]} -m {words[2]}:*)"
    if command.name in _NARROW:
        return exact
    if command.name in _WITH_VERB:
        verb = words[1] if len(words) > 1 else None
        return f"Bash({words[0]} {verb}:*)" if verb and not verb.startswith("-") else exact
    return f"Bash({words[0]}:*)"


def _in_words(rule: Rule) -> str:
    if rule.spec is None:
        return "every edit in this repository" if rule.tool == "Edit" else f"every use of {rule.tool}"
    if rule.spec.endswith(":*"):
        return f"`{rule.spec.removesuffix(':*')} …`"
    return f"exactly `{one_line(rule.spec)}`"
