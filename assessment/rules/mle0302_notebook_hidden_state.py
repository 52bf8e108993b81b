"""M3-02: cells that read what only a later cell, or no cell at all, defines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, rule
from ml_engineer.assessment.undefined import PYTHON2_NAMES, Undefined, undefined

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


def _has_notebooks(repo: Repo) -> bool:
    return any(module.is_notebook for module in repo.modules)


@rule(
    id="MLE0302",
    name="notebook-hidden-state",
    step=3,
    severity=HIGH,
    title="Cell needs a name that a clean run does not have",
    why="The name lives only in a past session: on a clean run from the top the cell fails with NameError.",
    remedy="Move the definition above its first use, then restart the kernel and run all cells.",
    source="pynblint; ruff F821",
    applies=_has_notebooks,
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.modules:
        if not module.is_notebook or "test" in module.file.roles:
            continue
        severity = MEDIUM if "docs" in module.file.roles else HIGH
        by_name: dict[str, list[Undefined]] = {}
        for missing in undefined(repo, module):
            by_name.setdefault(missing.name, []).append(missing)
        old = [read for name in list(by_name) if name in PYTHON2_NAMES for read in by_name.pop(name)]
        if old and not module.source.errors:  # MLE0307 says so
            yield Hit(
                [module.site(read.node) for read in old],
                severity=severity,
                title=f"The notebook runs under Python 2 only: {', '.join(sorted({f'`{r.name}`' for r in old}))}",
                why="Python 2 has had no fixes since 2020, and under Python 3 these cells raise NameError.",
                remedy="Port the cells to Python 3 (range, str, input), and run them from the top.",
                anchor=f"{module.path}\0python2",
            )
        grown = [by_name.pop(name)[0] for name in list(by_name) if by_name[name][0].grown]
        if grown:
            shown = ", ".join(f"`{read.name}`" for read in grown)
            yield Hit(
                [module.site(read.node) for read in grown],
                severity=severity,
                title=f"A function adds to what it never gives a value: {shown}",
                why="Inside the function the name is its own: Python raises UnboundLocalError at the first call.",
                remedy="Set the name to its first value at the top of the function.",
                anchor=f"{module.path}\0grown",
            )
        nowhere = {name: reads for name, reads in by_name.items() if reads[0].later is None}
        if nowhere:
            names = list(nowhere)
            many = f"{len(names)} names are made in no cell: {', '.join(f'`{name}`' for name in names[:4])}"
            yield Hit(
                [module.site(read.node) for reads in nowhere.values() for read in reads],
                severity=severity,
                confidence="high" if any(reads[0].certain for reads in nowhere.values()) else "medium",
                title=f"`{names[0]}` is made in no cell" if len(names) == 1 else many,
                anchor=f"{module.path}\0nowhere",
            )
        for name, reads in by_name.items():
            later = reads[0].later
            if later is not None:
                yield Hit(
                    [*(module.site(read.node) for read in reads), module.site(later, note="defined only here")],
                    severity=severity,
                    confidence="high" if reads[0].certain else "medium",
                    title=f"`{name}` is made only in a later cell",
                    anchor=f"{module.path}\0{name}",
                )
