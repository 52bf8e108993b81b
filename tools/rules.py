"""Permission rules: `Bash(git status:*)`, `Edit(src/**)`, `Read`; their examples are checked when they are loaded.

    load(entry, behaviour) -> Rule                      # entry: a string, or {"rule", "match", "not_match", "reason"}
    rule.matches_command(command), rule.matches_path(path, workspace)

Bash rules speak of one simple command, as the grammar finds it: `git status` is exactly that; `git status:*` is that
and any further arguments; a `*` inside stands for any text. File rules are gitignore patterns, counted from the
workspace; `//etc/passwd` is absolute and `~/x` lies in the home folder. `Edit` speaks for every tool that changes files
and for redirections, `Read` for every tool that reads them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pathspec import GitIgnoreSpec

from ml_engineer.tools import shell_grammar
from ml_engineer.tools.rules_readonly import harmless_variable, trusted_program
from ml_engineer.tools.shell_grammar import Command

Behaviour = Literal["deny", "ask", "allow"]

_RULE = re.compile(r"(?P<tool>[A-Za-z]\w*)(?:\((?P<spec>.+)\))?", re.DOTALL)
EDITING = frozenset({"Edit", "Write", "MultiEdit"})
READING = frozenset({"Read", "LS", "Glob", "Grep"})
_WITH_SPEC = {"Bash"} | EDITING | READING
_KEYS = {"rule", "match", "not_match", "reason"}


class RuleError(ValueError):
    """A rule that cannot be used. The message names the rule and what is wrong with it."""


@dataclass(frozen=True)
class Rule:
    """One rule. `spec` is None when it speaks of the whole tool; `reason` is shown to the model with a refusal."""

    text: str
    behaviour: Behaviour
    tool: str
    spec: str | None = None
    reason: str = ""

    def matches_tool(self, tool: str) -> bool:
        """Whether the rule speaks of `tool` at all. A rule for Edit or Read speaks of all tools of its kind."""
        kinds = (kind for kind in (EDITING, READING) if self.tool in kind)
        return self.tool == tool or any(tool in kind for kind in kinds if self.tool in ("Edit", "Read"))

    def matches_command(self, command: Command) -> bool:
        """Whether the rule speaks of `command`.

        An allowing rule is strict: the program must be the system's, variables set for it must be harmless, and what is
        added when it runs must be covered by `:*`. A denying or asking rule looks through all that.
        """
        if self.tool != "Bash":
            return False
        if self.spec is None:
            return True
        if not command.words or command.name is None:
            return False
        words = [word.source if word.text is None else word.text for word in command.words]
        if self.behaviour == "allow":
            if command.privileged or not all(harmless_variable(name) for name in command.assignments):
                return False
            if command.open_ended and not self._open:
                return False
            if trusted_program(words[0]):
                words[0] = command.name
            return self._matches_words(words)
        return self._matches_words([command.name, *words[1:]]) or self._matches_words(words)

    def matches_path(self, path: Path, workspace: Path) -> bool:
        """Whether the rule speaks of the file at `path` (absolute, without `..`)."""
        if self.spec is None:
            return True
        if self.spec.startswith("//") or self.spec.startswith("~"):
            base, relative = Path("/"), path.relative_to("/")
        elif path.is_relative_to(workspace):
            base, relative = workspace, path.relative_to(workspace)
        else:
            return False
        return relative != Path() and base.is_absolute() and self._patterns.match_file(relative.as_posix())

    @property
    def _open(self) -> bool:
        return self.spec is not None and self.spec.endswith("*")

    @cached_property
    def _words(self) -> list[str]:
        commands = shell_grammar.parse((self.spec or "").removesuffix(":*")).commands
        return [word.source if word.text is None else word.text for word in commands[0].words]

    def _matches_words(self, words: Sequence[str]) -> bool:
        assert self.spec is not None
        if self.spec.endswith(":*"):
            return list(words[: len(self._words)]) == self._words
        if "*" in self.spec:
            return fnmatch.fnmatchcase(" ".join(words), self.spec)
        return list(words) == self._words

    @cached_property
    def _patterns(self) -> GitIgnoreSpec:
        spec = self.spec or ""
        if spec.startswith("~"):
            spec = Path(spec).expanduser().as_posix()
        return GitIgnoreSpec.from_lines(["/" + spec.lstrip("/") if spec.startswith("/") else spec])


def load(entry: str | Mapping[str, Any], behaviour: Behaviour) -> Rule:
    """The rule of one entry of the settings. Raises RuleError when it cannot be read or an example contradicts it."""
    entry = {"rule": entry} if isinstance(entry, str) else entry
    if not isinstance(entry.get("rule"), str) or set(entry) - _KEYS:
        raise RuleError(f"a rule is a text or has the keys {', '.join(sorted(_KEYS))}, not {dict(entry)!r}")
    text = entry["rule"]
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise RuleError(f"rule {text!r}: write it as Tool or Tool(pattern), for example Bash(git status:*)")
    rule = Rule(text, behaviour, found["tool"], found["spec"], str(entry.get("reason", "")))
    if rule.spec is not None:
        _check_spec(rule)
    for key, expected in (("match", True), ("not_match", False)):
        examples = entry.get(key, [])
        if isinstance(examples, str) or not isinstance(examples, Sequence):
            raise RuleError(f"rule {text!r}: {key} is a list of examples, not {examples!r}")
        for example in examples:
            if _matches_example(rule, str(example)) is not expected:
                raise RuleError(f"rule {text!r}: it should {'' if expected else 'not '}match its example {example!r}")
    return rule


def _check_spec(rule: Rule) -> None:
    if rule.tool not in _WITH_SPEC:
        raise RuleError(f"rule {rule.text!r}: only {', '.join(sorted(_WITH_SPEC))} take a pattern")
    if rule.tool != "Bash" or ("*" in (rule.spec or "").removesuffix(":*")):
        return
    script = shell_grammar.parse((rule.spec or "").removesuffix(":*"))
    if len(script.commands) != 1 or script.unknown or not script.commands[0].words or script.commands[0].assignments:
        raise RuleError(f"rule {rule.text!r}: a Bash rule names one simple command, without pipes, lists or wrappers")


def _matches_example(rule: Rule, example: str) -> bool:
    """For Bash the example is a command (one of its simple commands must match), else a path in the workspace."""
    if rule.tool == "Bash":
        return any(rule.matches_command(command) for command in shell_grammar.parse(example).commands)
    workspace = Path("/workspace")
    return rule.matches_path(workspace / Path(example).expanduser(), workspace)
