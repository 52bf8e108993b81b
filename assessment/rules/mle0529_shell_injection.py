"""M5-29: a shell command is put together from values that come from outside."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_ALWAYS_SHELL = ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput")
_RUNNERS = ("subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "subprocess.Popen")
_WORKING = re.compile(r"train|serv|deploy|infra|pipeline|scripts?/|fetch|download|data", re.I)
_QUOTING = ("shlex.quote", "shlex.join", "pipes.quote")


def _runs_shells(repo: Repo) -> bool:
    return any(_is_shell(call) for call in repo.calls(*_ALWAYS_SHELL, *_RUNNERS, tests=False))


@rule(
    id="MLE0529",
    name="shell-injection",
    step=5,
    severity=HIGH,
    title="A shell command contains a value from outside",
    why="A value with a semicolon or a backtick runs a command of its own with the rights of this process.",
    remedy="Pass a list of arguments without shell=True, or quote every value with shlex.quote.",
    source="bandit B602, B605",
    peers=("devops-engineer",),
    applies=_runs_shells,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.taint import taint

    sites: list[Site] = []
    operators: list[Site] = []
    working = repo.closure("train", "serve")
    for call in repo.calls(*_ALWAYS_SHELL, *_RUNNERS, tests=False):
        if not _is_shell(call) or call.module.is_notebook:
            continue
        for asked, command in _commands(repo, call):
            found = taint(repo, asked.module, command) - {"url"}
            if found and _is_built(asked, command) and not _is_quoted(asked, command):
                # What only the person at the command line decides is the lesser evil outside of training and serving.
                own = found <= {"argv", "env"} and not working.covers(asked.module, asked.node)
                own = own and not _WORKING.search(asked.module.path)
                own = own or found == {"env"}  # who sets the environment of a process may run what he likes there
                (operators if own else sites).append(asked.site(note=f"from {', '.join(sorted(found))}"))
    for group in per_file(sites):
        yield Hit(group)
    for group in per_file(operators):
        yield Hit(group, severity=MEDIUM)


def _commands(repo: Repo, call: Call) -> Iterator[tuple[Call, ast.expr | None]]:
    """What a shell is given to run, with the call that says it: those of the function that only hands it on."""
    command = call.argument(0, "args") or call.argument(0, "command")
    names = [parameter.arg for parameter in call.scope.parameters] if call.scope is not None else []
    if call.scope is None or not isinstance(command, ast.Name) or command.id not in names:
        yield call, command
        return
    for other in repo.calls(f"*{call.scope.node.name}", tests=False):
        if other.name == call.scope.dotted:
            yield other, other.argument(names.index(command.id), command.id)


def _is_shell(call: Call) -> bool:
    return call.name in _ALWAYS_SHELL or (call.name in _RUNNERS and call.module.literal(call.keyword("shell")) is True)


def _is_built(call: Call, command: ast.expr | None) -> bool:
    """Whether the command is put together; a whole command taken from outside is an operator's own doing."""
    value = call.module.value(command)
    return isinstance(value, ast.JoinedStr | ast.BinOp | ast.Call)


def _is_quoted(call: Call, command: ast.expr | None) -> bool:
    value = call.module.value(command)
    return value is not None and any(
        isinstance(node, ast.Call) and call.module.resolve(node.func) in _QUOTING for node in walk(value)
    )
