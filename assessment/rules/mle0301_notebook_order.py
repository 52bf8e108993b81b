"""M3-01: stored execution counts that go down the page: the cells did not run in the order in which they stand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, INFO, MEDIUM, Hit, Site, rule
from ml_engineer.assessment.undefined import PYTHON2_NAMES, undefined

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.source import Cell


def _has_notebooks(repo: Repo) -> bool:
    return any(module.is_notebook for module in repo.modules)


@rule(
    id="MLE0301",
    name="notebook-order",
    step=3,
    severity=MEDIUM,
    title="Cells ran in another order than they stand",
    why="The stored results came from another order of the cells, so that running from the top may give others.",
    remedy="Restart the kernel and run all cells before committing; check it in CI with nbmake or papermill.",
    source="pynblint",
    applies=_has_notebooks,
)
def check(repo: Repo) -> Iterator[Hit]:
    skipping: list[Site] = []
    for module in repo.modules:
        if not module.is_notebook or "test" in module.file.roles:
            continue
        ran = [cell for cell in module.source.cells if cell.execution_count]  # Colab writes 0 where it did not run
        back = _first_step_back(ran)
        if back is not None:
            # A name that no cell makes at all is M3-02's: the order is not its cause.
            reads = (read for read in undefined(repo, module) if read.later is not None)
            hidden = any(not read.grown and read.name not in PYTHON2_NAMES for read in reads)
            yield Hit(
                [_site(module, back[1], f"In [{back[1].execution_count}] below In [{back[0].execution_count}]")],
                severity=HIGH if hidden else MEDIUM,
                title="Cells ran out of order, and some need a name that a clean run does not have" if hidden else None,
                anchor=module.path,
            )
        elif ran and [cell.execution_count for cell in ran] != list(range(1, len(ran) + 1)):
            skipping.append(_site(module, ran[0], None))
    if skipping:
        yield Hit(
            skipping,
            severity=INFO,
            title="Execution counts are not 1 to n: cells were run again or removed",
            anchor="counts",
        )


def _first_step_back(cells: list[Cell]) -> tuple[Cell, Cell] | None:
    """The first two neighbours whose counts go down."""
    for above, below in itertools.pairwise(cells):
        if (below.execution_count or 0) < (above.execution_count or 0):
            return above, below
    return None


def _site(module: Module, cell: Cell, note: str | None) -> Site:
    return module.source.site(cell.first_line, note=note)
