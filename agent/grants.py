"""What "allow this kind for the run" means: the narrowest rules that let a call pass, and calls like it.

    rules = kinds(call, permissions)         empty where no rule can say it: then only this one call can be allowed

Test runners, linters and build tools are allowed with any arguments. Any other command is allowed exactly as it is:
what `rm`, `curl` or `git push` do next time depends on their arguments.
"""

from __future__ import annotations

from dataclasses import replace

from ml_engineer.agent.calls import Call
from ml_engineer.tools import rules, shell_grammar
from ml_engineer.tools.permissions import Permissions
from ml_engineer.tools.rules import EDITING, Rule, RuleError
from ml_engineer.tools.shell_grammar import Command

# Commands whose arguments choose what is tested, checked or built, and no more.
_OPEN = (
    "pytest", "python -m pytest", "python3 -m pytest", "python -m unittest", "python3 -m unittest",
    "python -m py_compile", "python3 -m py_compile", "ruff", "mypy", "pyright", "flake8", "pylint", "black --check",
    "make test", "make lint", "tox", "nox", "npm test", "dvc status", "git add", "git commit",
)  # fmt: skip


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
    if call.name != "Bash":
        return [call.name]
    script = shell_grammar.parse(str(call.input.get("command", "")))
    open_ones = [
        one for one in script.commands if permissions.decide("Bash", {"command": one.source}).behaviour == "ask"
    ]
    return list(dict.fromkeys(f"Bash({_kind(command)})" for command in open_ones))


def _kind(command: Command) -> str:
    written = " ".join(word.source for word in command.words)
    known = next((prefix for prefix in _OPEN if written == prefix or written.startswith(f"{prefix} ")), None)
    return f"{known}:*" if known else written
