"""M2-09: `sys.path` and the working directory are changed to reach the project's own code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_LOCAL = ("..", "./", "__file__", "getcwd", "cwd()", "dirname", "parent", "src", "scripts", "ROOT", "root")


@rule(
    id="MLE0209",
    name="path-hack",
    step=2,
    severity=MEDIUM,
    title="The import path is patched to reach the project's own code",
    why="The code runs only from some folders and only in one order, and no tool can see what it imports.",
    remedy="Give the project a pyproject.toml, install it with `pip install -e .`, and import it by its name.",
    source="Hidden Technical Debt",
)
def check(repo: Repo) -> Iterator[Hit]:
    calls = [call for call in repo.calls("sys.path.append", "sys.path.insert", "os.chdir") if _is_hack(call)]
    # Sphinx asks for it in its own configuration.
    calls = [call for call in calls if call.module.file.name != "conf.py"]
    if not calls:
        return
    own = [call for call in calls if "test" not in call.module.file.roles]
    ordered = sorted(own, key=lambda call: (call.module.is_notebook, call.module.path)) or calls
    names = {call.name for call in ordered}
    yield Hit(
        [call.site() for call in ordered],
        severity=MEDIUM if own else LOW,
        title="The working directory is changed to reach the project's own files" if names == {"os.chdir"} else None,
        anchor="path",
    )


def _is_hack(call: Call) -> bool:
    """Whether the new path leads to a sibling of the file, not to what a user or an installer asks for."""
    if not call.node.args:
        return False
    path = call.node.args[-1]
    text = ast.unparse(call.module.value(path) or path)
    if call.name == "os.chdir":
        return isinstance(path, ast.Constant) or any(word in text for word in ("__file__", ".."))
    return any(word in text for word in _LOCAL) or isinstance(call.module.value(path), ast.Constant)
