"""M3-15: imports and calls inside the repository that cannot resolve or have the wrong arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.linking import Broken, broken_imports, wrong_calls
from ml_engineer.assessment.reachable import reached, worked
from ml_engineer.assessment.rule import HIGH, LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0315",
    name="broken-local-call",
    step=3,
    severity=HIGH,
    title="Import or call inside the project cannot work",
    why="Python raises ImportError or TypeError as soon as this line runs.",
    remedy="Bring both sides together again, and let a type checker or an import of every module run in CI.",
    source="observed",
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in reached(repo):
        for broken in broken_imports(repo, module):
            yield _hit(repo, broken, "Import cannot work: ")
        for broken in wrong_calls(repo, module):
            yield _hit(repo, broken, "Call cannot work: ")


def _hit(repo: Repo, broken: Broken, what: str) -> Hit:
    runs = worked(repo).covers(broken.module, broken.node)
    return Hit(
        [broken.module.site(broken.node)],
        severity=HIGH if runs else LOW,
        title=what + broken.reason,
        anchor=f"{broken.module.path}\0{broken.reason}",
    )
