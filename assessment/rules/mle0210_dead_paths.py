"""M2-10: branches that never run, old copies of a file, and code kept as comments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule
from ml_engineer.assessment.similarity import alike

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

MIN_COMMENTED_LINES = 8
MIN_ALIKE = 0.8
MIN_COPY_LINES = 20
_COPY = re.compile(r"^(.+?)(?:[ _-]?(?:old|copy|backup|bak|orig|original|new|final|v\d+|\(\d+\)|\d))+$", re.I)
_CODE = re.compile(
    r"^#+\s?\s*(?:[\w.\[\]'\", ]+\s*(?:=|\+=|-=)\s*\S.*|[\w.]+\(.*\)?\s*:?|(?:for|while|if|elif|with|def|class)\s.+:|"
    r"(?:return|import|from|print|raise|del|assert)\b[ (].*|else:|try:|except.*:|[)\]}]+,?|[\w\"'.]+\(?.*,)$"
)


@rule(
    id="MLE0210",
    name="dead-paths",
    step=2,
    severity=LOW,
    title="Code that never runs is kept",
    why="Readers take it for part of the program, and it rots unseen; the version history keeps it anyway.",
    remedy="Delete it; what is still wanted belongs behind a setting or on a branch.",
    source="Hidden Technical Debt",
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.modules:
        if "test" in module.file.roles or module.is_notebook:
            continue
        sites = [*_dead_branches(module), *_commented_code(module)]
        if sites:
            yield Hit(sites, anchor=module.path, title=None if sites[0].note else "A branch never runs")
    yield from _copies(repo)


def _dead_branches(module: Module) -> Iterator[Site]:
    if not re.search(r"\b(if|while)\s*\(?\s*(False|0)\b", module.file.text):
        return
    branches: list[ast.If | ast.While] = [*module.nodes(ast.If), *module.nodes(ast.While)]
    for node in branches:
        if isinstance(node.test, ast.Constant) and not node.test.value:
            yield module.site(node.lineno)


def _commented_code(module: Module) -> Iterator[Site]:
    """Blocks of comment lines of which most are code."""
    block: list[int] = []
    for number, line in enumerate([*module.file.lines, ""], 1):
        text = line.strip()
        if text.startswith("#") and not text.startswith(("#!", "# %%", "#%%")):
            block.append(number)
            continue
        code = [n for n in block if _CODE.match(module.file.lines[n - 1].strip())]
        if len(code) >= MIN_COMMENTED_LINES and len(code) >= 0.7 * len(block):
            yield module.file.site(block[0], note=f"{len(block)} lines of code as comments")
        block = []


def _copies(repo: Repo) -> Iterator[Hit]:
    """Files that are named after a sibling and are nearly the same."""
    for module in repo.modules:
        if module.is_notebook or "test" in module.file.roles or len(module.file.lines) < MIN_COPY_LINES:
            continue
        match = _COPY.match(module.file.name.removesuffix(".py"))
        if match is None:
            continue
        folder = f"{module.file.folder}/" if module.file.folder else ""
        sibling = repo.by_path.get(f"{folder}{match[1]}.py")
        if sibling is not None and sibling is not module and alike(module, sibling) > MIN_ALIKE:
            yield Hit(
                [module.file.site(1, note=f"nearly the same as {sibling.path}")],
                title=f"{module.file.name} is a copy of {sibling.file.name}",
                anchor=module.path,
            )
