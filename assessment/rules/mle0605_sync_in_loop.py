"""M6-05: every training step waits for the GPU to show a number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_SYNCS = re.compile(r".*\.(item|cpu|tolist)$")
_EVERY_N = re.compile(r"%|divmod|should_log|is_main|rank|log_(every|interval|step)|print_freq")


@rule(
    id="MLE0605",
    name="sync-in-loop",
    step=6,
    severity=LOW,
    title="Every training step reads a value back from the GPU",
    why="Reading a value makes the host wait for all queued work, so the GPU runs dry between steps.",
    remedy="Accumulate on the device and read every N steps.",
    source="PyTorch performance guide",
    applies=lambda repo: repo.uses("torch") and any(True for _ in repo.calls("*.backward", tests=False)),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    done: set[ast.AST] = set()
    for call in repo.calls("*.backward", tests=False):
        loop = call.module.enclosing(call.node, ast.For, ast.While)
        if loop is None or loop in done or "cuda" not in call.module.file.text:
            continue
        done.add(loop)
        sites += [other.site() for other in call.module.calls if _is_sync(other, loop)]
    if sites:
        yield Hit(sites, anchor="sync")


def _is_sync(call: Call, loop: ast.AST) -> bool:
    """Whether a call reads from the device on every pass of the innermost training loop."""
    module = call.module
    if not _SYNCS.match(call.name) or call.node.args or module.enclosing(call.node, ast.For, ast.While) is not loop:
        return False
    condition = module.enclosing(call.node, ast.If)
    return not (isinstance(condition, ast.If) and _EVERY_N.search(ast.unparse(condition.test)))
