"""M3-03: notebooks that keep the traceback of a failed cell, or outputs too large for version control."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.source import Cell

MAX_OUTPUT_BYTES = 1_000_000


def _has_notebooks(repo: Repo) -> bool:
    return any(module.is_notebook for module in repo.modules)


@rule(
    id="MLE0303",
    name="notebook-outputs",
    step=3,
    severity=MEDIUM,
    title="Stored output shows a failed cell",
    why="Who opens the notebook sees a run that broke, and nothing says whether the cells below still hold.",
    remedy="Fix the cell and run all again, or clear it; strip outputs before commits with nbstripout.",
    source="pynblint",
    applies=_has_notebooks,
)
def check(repo: Repo) -> Iterator[Hit]:
    large: list[Site] = []
    for module in repo.modules:
        if not module.is_notebook or "test" in module.file.roles:
            continue
        failed = [cell for cell in module.source.cells if _error(cell) is not None]
        if failed:
            yield Hit(
                [_site(module, cell, _error(cell)) for cell in failed],
                title=f"Stored output shows a failed cell: {_error(failed[0])}",
                anchor=module.path,
            )
        if module.file.size > MAX_OUTPUT_BYTES:
            sizes = [(len(json.dumps(cell.outputs)), cell) for cell in module.source.cells]
            total, (_, biggest) = sum(size for size, _ in sizes), max(sizes, key=lambda s: s[0], default=(0, None))
            if biggest is not None and total > MAX_OUTPUT_BYTES:
                large.append(_site(module, biggest, f"outputs of {total / 1e6:.1f} MB in all"))
    if large:
        yield Hit(
            large,
            severity=LOW,
            title="Outputs of more than 1 MB are stored in the notebook",
            why="Pictures and tables in outputs bloat the history, make diffs unreadable, and may hold data rows.",
            remedy="Strip outputs before commits with nbstripout, and keep figures as files or in a tracker.",
            anchor="large",
        )


def _error(cell: Cell) -> str | None:
    """Name of the exception that a stored output shows; a KeyboardInterrupt is the author's own hand."""
    for output in cell.outputs:
        if output.get("output_type") in ("error", "pyerr"):
            name = str(output.get("ename") or "an error")
            return None if name == "KeyboardInterrupt" else name
    return None


def _site(module: Module, cell: Cell, note: str | None) -> Site:
    return module.source.site(cell.first_line, note=note)
