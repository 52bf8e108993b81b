"""What "allow this kind for the run" means: the narrowest rules that let a call pass, and calls like it.

    rules = kinds(call, permissions)         empty where no rule can say it: then only this one call can be allowed

Test runners and checkers are allowed with any arguments, where commands are confined. Any other command is allowed
exactly as it is: what `rm`, `make` or `git commit` do next time depends on their arguments. Reading outside the
repository is allowed for this file, or for what is in this folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ml_engineer.agent.calls import Call
from ml_engineer.tools import rules, shell_grammar
from ml_engineer.tools.permissions import Permissions
from ml_engineer.tools.rules import EDITING, READING, Rule, RuleError
from ml_engineer.tools.shell_grammar import Command

# Programs that run the repository's tests or look at its code. What they can be told beside that runs in the sandbox.
_OPEN = (
    "pytest", "python -m pytest", "python3 -m pytest", "python -m unittest", "python3 -m unittest",
    "python -m py_compile", "python3 -m py_compile", "ruff", "mypy", "pyright", "flake8", "black --check", "dvc status",
    "git add",
)  # fmt: skip
_PATTERN = frozenset("*?[]!#\\\n")  # characters that mean something else in a pattern than in a path


def kinds(call: Call, permissions: Permissions) -> tuple[Rule, ...]:
    """The rules that would be added. With them the call passes without a question."""
    try:
        found = tuple(rules.load(text, "allow") for text in _texts(call, permissions))
    except RuleError:
        return ()
    granted = replace(permissions, rules=(*permissions.rules, *found))
    return found if found and granted.decide(call.name, call.input).behaviour == "allow" else ()


def _texts(call: Call, permissions: Permissions) -> list[str]:
    if call.name in EDITING:
        return ["Edit"]
    if call.name in READING:
        named = Path(str(call.input.get("file_path") or call.input.get("path") or "."))
        place = (permissions.workspace / named.expanduser()).resolve()
        return [] if _PATTERN & set(str(place)) else [f"Read(/{place})"]
    if call.name != "Bash":
        return [call.name]
    script = shell_grammar.parse(str(call.input.get("command", "")))
    open_ones = [
        one for one in script.commands if permissions.decide("Bash", {"command": one.source}).behaviour == "ask"
    ]
    confined = permissions.level != "off"
    return list(dict.fromkeys(f"Bash({_kind(command, confined=confined)})" for command in open_ones))


def _kind(command: Command, *, confined: bool) -> str:
    written = " ".join(word.source for word in command.words)
    known = next((prefix for prefix in _OPEN if written == prefix or written.startswith(f"{prefix} ")), None)
    return f"{known}:*" if known and confined else written
