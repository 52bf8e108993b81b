"""What the agent may do: a mode, rules, rails, and one answer per tool call.

    Permissions(mode, workspace, …).decide("Bash", {"command": …}) -> Decision(behaviour, reason, rule)

Order: rails and denying rules, then asking rules, then allowing rules, then the mode. A command is judged by each
simple command in it and by the files it names, and the strictest answer holds. What the grammar cannot read is asked
for. Without a person nothing is asked: it is refused, and the reason says what would have been needed.

Rules see the text of a call, not what a program does when it runs: a script can do what its command line doesn't
say. That is what the sandbox is for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from ml_engineer.tools import rules as rules_module
from ml_engineer.tools import shell_grammar, shell_wrappers
from ml_engineer.tools.rules import EDITING, READING, Behaviour, Rule
from ml_engineer.tools.rules_rails import rails
from ml_engineer.tools.rules_readonly import reads_only
from ml_engineer.tools.shell_grammar import Command

_STRICTNESS: dict[Behaviour, int] = {"allow": 0, "ask": 1, "deny": 2}
_SINKS = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr"})
_RUNNING = frozenset({"Bash", "Benchmark", "RunTraining"})
_HARMLESS = {
    **dict.fromkeys(("BashOutput", "KillShell"), "it only concerns commands that were allowed to start"),
    "Delegate": "it asks a peer that the user has set up, within the budget of hand-offs",
}
_FILE_COMMANDS = frozenset("mkdir touch cp mv".split())  # as good as an edit, when all they name is in the workspace
_FOLDERS = 16  # that one command may change to, one after the other or not
_EXPANDED = 10_000  # files of one pattern that are looked at
_CONFINES_FILES = frozenset({"bwrap", "landlock"})
_GIT_RUNS = re.compile(
    r"^\s*(fsmonitor|sshcommand|textconv|command|clean|smudge|process|external|hookspath|program|driver)\s*=|\[include",
    re.IGNORECASE | re.MULTILINE,
)


class Mode(StrEnum):
    """`read-only` changes nothing. `ask` asks for every change and for commands not known to only read.
    `accept-edits` edits without asking. `full` asks only where a rail, a rule or unreadable syntax says so."""

    READ_ONLY = "read-only"
    ASK = "ask"
    ACCEPT_EDITS = "accept-edits"
    FULL = "full"


@dataclass(frozen=True)
class Decision:
    """`rule` is the text of the rule that decided, if one did."""

    behaviour: Behaviour
    reason: str
    rule: str | None = None


def command_of(tool: str, arguments: Mapping[str, Any]) -> str | None:
    """The command that a call runs; None where it runs none. ProfileModel starts the repository's Python on a program
    of ours that loads the artefact."""
    if tool == "ProfileModel":
        return f"{arguments.get('python') or 'python'} -c 'load and predict'"
    command = arguments.get("command")
    return command if tool in _RUNNING and isinstance(command, str) else None


@dataclass(frozen=True)
class Permissions:
    """Decides for one workspace.

    `level` is the sandbox's. `headless`: nobody can be asked. `unsandboxed`: the user has opted out of asking for every
    command while the level is `off`. `readable`: folders outside the workspace that may be read, such as the run's
    outputs. `folder`: where relative names start, when that is not the workspace.
    """

    mode: Mode
    workspace: Path
    rules: tuple[Rule, ...] = ()
    level: str = "bwrap"
    headless: bool = False
    unsandboxed: bool = False
    readable: tuple[Path, ...] = ()
    folder: Path | None = None

    @property
    def _here(self) -> Path:
        return self.folder or self.workspace

    @classmethod
    def load(cls, mode: Mode, workspace: Path, settings: Mapping[str, Sequence[Any]], **context: Any) -> Permissions:
        """`settings` has the lists `deny`, `ask` and `allow`. Raises RuleError, naming the rule."""
        unknown = set(settings) - set(_STRICTNESS)
        if unknown:
            raise rules_module.RuleError(f"permissions have the lists deny, ask and allow, not {sorted(unknown)}")
        found = [rules_module.load(entry, kind) for kind in _STRICTNESS for entry in settings.get(kind, ())]
        return cls(mode, workspace.resolve(), tuple(found), **context)

    def decide(self, tool: str, arguments: Mapping[str, Any]) -> Decision:
        """The answer to one call of `tool`. What runs a command is judged as that command, whatever the tool is called;
        unknown tools are asked for, unless a rule speaks of them."""
        command = command_of(tool, arguments)
        if command is not None:
            of_tool = self._by_rule(lambda rule: rule.spec is None and rule.matches_tool(tool) and tool != "Bash")
            found = [one for one in (of_tool, self._command(command)) if one is not None]
            return self._settle(max(found, key=lambda one: _STRICTNESS[one.behaviour]))
        if tool in EDITING:
            return self._settle(self._edit(str(arguments.get("file_path", "")), tool))
        if tool in READING:
            return self._settle(self._read(str(arguments.get("file_path") or arguments.get("path") or "."), tool))
        by_rule = self._by_rule(lambda rule: rule.spec is None and rule.matches_tool(tool))
        if by_rule is None and tool in _HARMLESS:
            return Decision("allow", _HARMLESS[tool])
        return self._settle(by_rule or Decision("ask", f"no rule speaks of the tool {tool}"))

    def _settle(self, decision: Decision) -> Decision:
        if decision.behaviour == "ask" and self.headless:
            reason = f"{decision.reason}; that needs a person's approval and nobody can be asked here"
            return replace(decision, behaviour="deny", reason=reason)
        return decision

    # --- files ---

    def _edit(self, path: str, tool: str = "Edit") -> Decision:
        place = self._resolve(path)
        by_rule = self._by_rule(lambda rule: rule.matches_tool(tool) and self._speaks_of(rule, path))
        if by_rule is not None and by_rule.behaviour == "deny":
            return by_rule
        if self.mode is Mode.READ_ONLY:
            return Decision("deny", f"read-only mode changes no files, and this would change {path}")
        if not place.is_relative_to(self.workspace):
            return Decision("deny", f"{path} is outside the workspace {self.workspace}")
        if ".git" in place.relative_to(self.workspace).parts:
            return Decision("deny", f"{path} belongs to git, which runs what stands there")
        if by_rule is not None:
            return by_rule
        if self.mode is Mode.ASK:
            return Decision("ask", f"this changes {path}")
        return Decision("allow", f"mode {self.mode}")

    def _read(self, path: str, tool: str = "Read") -> Decision:
        place = self._resolve(path)
        by_rule = self._by_rule(lambda rule: rule.matches_tool(tool) and self._speaks_of(rule, path))
        if by_rule is not None:
            return by_rule
        if not any(place.is_relative_to(folder) for folder in (self.workspace, *self.readable)):
            return Decision("ask", f"{path} is outside the workspace {self.workspace}")
        return Decision("allow", "reading in the workspace")

    def _resolve(self, path: str) -> Path:
        return (self._here / Path(path).expanduser()).resolve()

    def _speaks_of(self, rule: Rule, path: str) -> bool:
        """By the name that is written and by the file that it leads to: one is enough to guard, both to allow."""
        written = Path(os.path.normpath(self._here / Path(path).expanduser()))
        hits = [rule.matches_path(place, self.workspace) for place in (written, self._resolve(path))]
        return all(hits) if rule.behaviour == "allow" else any(hits)

    # --- commands ---

    def _command(self, source: str) -> Decision:
        script = shell_grammar.parse(source)
        known = self._folders(script)
        folders = known or [self._here]
        found = [Decision(rail.behaviour, rail.reason) for rail in rails(script, self.workspace, folders)]
        for folder in folders:
            found += [replace(self, folder=folder)._simple(command) for command in script.commands]
        verdict: Behaviour = "deny" if self.mode is Mode.READ_ONLY else "ask"
        if not known and (self.mode is not Mode.FULL or self._guards()):
            found.append(Decision(verdict, "it changes to a folder that is known only when it runs"))
        if script.unknown:
            found.append(Decision(verdict, f"the command cannot be judged: it has {', '.join(script.unknown)}"))
        return max(found, key=lambda one: _STRICTNESS[one.behaviour], default=Decision("allow", "nothing is run"))

    def _folders(self, script: shell_grammar.Script) -> list[Path]:
        """The folders in which the script's commands may find themselves; empty when only the running shell knows."""
        folders = [self._here]
        for command in script.commands:
            if command.name not in ("cd", "pushd"):
                continue
            operands = [word for word in command.words[1:] if word.text != "--"]
            target = operands[0].text if len(operands) == 1 and not operands[0].glob else None
            if target is None or target.startswith("-") or len(folders) > _FOLDERS:
                return []
            folders += [folder / Path(target).expanduser() for folder in folders]
        return list(dict.fromkeys(Path(os.path.normpath(folder)) for folder in folders))

    def _simple(self, command: Command) -> Decision:
        files = [self._redirect(redirect) for redirect in command.redirects]
        own = self._program(command) if command.words or command.assignments else Decision("allow", "files only")
        return max([own, *files], key=lambda one: _STRICTNESS[one.behaviour])

    def _program(self, command: Command) -> Decision:
        by_rule = self._by_rule(lambda rule: rule.matches_command(command))
        if by_rule is not None and by_rule.behaviour == "deny":
            return by_rule
        guarded = self._guarded_files(command)
        if guarded is not None:
            return guarded
        unseen = self._unseen(command)
        if unseen is not None:
            return unseen
        if by_rule is not None:
            if by_rule.behaviour == "allow" and self.mode is Mode.READ_ONLY and not reads_only(command):
                return Decision("deny", f"read-only mode: `{command.source}` is not known to only read")
            return by_rule
        if reads_only(command):
            return self._reading(command)
        return self._by_mode(command)

    def _by_mode(self, command: Command) -> Decision:
        if self.mode is Mode.READ_ONLY:
            return Decision("deny", f"read-only mode: `{command.source}` is not known to only read")
        if self.level == "off" and not self.unsandboxed:
            return Decision(
                "ask", f"there is no sandbox here, and `{command.source}` is not on the list of the allowed"
            )
        if self.mode is Mode.FULL:
            return Decision("allow", "mode full")
        if self.mode is Mode.ACCEPT_EDITS and self._edits_inside(command):
            return Decision("allow", "mode accept-edits")
        return Decision("ask", f"no rule allows `{command.source}`")

    def _reading(self, command: Command) -> Decision:
        """A command that only reads; where the sandbox does not confine files, it must stay in the workspace."""
        if self.level not in _CONFINES_FILES:
            if command.name == "git" and (config := self._git_runs_programs()):
                return Decision("ask", f"the repository's {config} makes git run programs, and files are not confined")
            for word in command.words[1:]:
                if word.text is None:
                    return Decision("ask", f"`{word.source}` is known only when it runs, and files are not confined")
                if word.text.startswith("-"):
                    continue
                if not self._resolve(word.text).is_relative_to(self.workspace):
                    return Decision("ask", f"`{word.source}` is outside the workspace, and files are not confined")
        return Decision("allow", "it only reads")

    def _redirect(self, redirect: shell_grammar.Redirect) -> Decision:
        text = redirect.target.text
        if text in _SINKS:
            return Decision("allow", "no file")
        verdict: Behaviour = "deny" if self.mode is Mode.READ_ONLY and redirect.writes else "ask"
        if text is None or redirect.target.glob:
            return Decision(verdict, f"the file `{redirect.target.source}` is known only when it runs")
        if text.startswith("/dev/"):
            return Decision(verdict, f"`{text}` is a device or a connection")
        own = self.level in _CONFINES_FILES and text.startswith("/tmp/")  # there /tmp is the command's own
        if own and self.mode in (Mode.ACCEPT_EDITS, Mode.FULL):
            return Decision("allow", "a temporary file")
        return self._edit(text) if redirect.writes else self._read(text)

    def _guarded_files(self, command: Command) -> Decision | None:
        """Denying and asking rules for files, applied to the arguments of commands."""
        reading = reads_only(command)
        guards = [rule for rule in self._guards() if rule.tool in READING or not reading]
        if not guards:
            return None
        for word in command.words[1:]:
            if word.text is None:
                return Decision("ask", f"`{word.source}` is known only when it runs, while rules guard files")
            candidates = [word.text, word.text.partition("=")[2]] if "=" in word.text else [word.text]
            for candidate in filter(None, candidates):
                for path in self._expanded(candidate, glob=word.glob):
                    hit = self._strictest(rule for rule in guards if self._speaks_of(rule, path))
                    if hit is not None:
                        return hit
        return None

    def _guards(self) -> list[Rule]:
        """The rules that keep files from being read or changed."""
        restricting = [rule for rule in self.rules if rule.behaviour != "allow" and rule.spec is not None]
        return [rule for rule in restricting if rule.tool in READING | EDITING]

    def _expanded(self, text: str, *, glob: bool) -> list[str]:
        """The paths that an argument names; a pattern is expanded as the shell will do."""
        if not glob:
            return [text]
        root = Path("/") if text.startswith("/") else self._here
        found = root.glob(text.lstrip("/") or "*")
        return [text, *(str(match) for match in islice(found, _EXPANDED))]

    def _unseen(self, command: Command) -> Decision | None:
        """Where rules guard commands, what hides a command is asked for: a name, or a program that runs others."""
        if not any(rule.tool == "Bash" and rule.behaviour != "allow" and rule.spec for rule in self.rules):
            return None
        hides = command.words and (command.name is None or command.name in shell_wrappers.OPAQUE)
        return Decision("ask", f"`{command.source}` hides what it runs, while rules guard commands") if hides else None

    def _edits_inside(self, command: Command) -> bool:
        """mkdir, touch, cp, mv of files that are all named and all in the workspace, outside .git."""
        if command.name not in _FILE_COMMANDS or command.open_ended or command.assignments or command.privileged:
            return False
        for word in command.words[1:]:
            if word.text is None or word.text.startswith("--target"):
                return False
            if not word.text.startswith("-") and self._edit(word.text).behaviour != "allow":
                return False
        return True

    def _git_runs_programs(self) -> str | None:
        for name in (".git/config", ".git/config.worktree"):
            file = self.workspace / name
            if file.is_file() and _GIT_RUNS.search(file.read_text(encoding="utf-8", errors="replace")):
                return name
        return None

    # --- rules ---

    def _by_rule(self, matches: Callable[[Rule], bool]) -> Decision | None:
        return self._strictest(rule for rule in self.rules if matches(rule))

    @staticmethod
    def _strictest(rules: Iterable[Rule]) -> Decision | None:
        rule = max(rules, key=lambda one: _STRICTNESS[one.behaviour], default=None)
        if rule is None:
            return None
        words = {"deny": "is denied", "ask": "needs approval", "allow": "is allowed"}[rule.behaviour]
        return Decision(
            rule.behaviour, f"{words} by the rule {rule.text}" + (f": {rule.reason}" if rule.reason else ""), rule.text
        )
