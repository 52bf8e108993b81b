"""M3-15: imports and calls inside the repository that cannot resolve or have the wrong arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.linking import Broken, broken_imports, misplaced, wrong_calls
from ml_engineer.assessment.reachable import declared, reached, worked
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
    gone: dict[str, list[Broken]] = {}  # a module that is missing is one cause, whoever imports it
    for module in reached(repo):
        imports: list[Broken] = []
        for item in broken_imports(repo, module):
            (gone.setdefault(_cause(item), []) if item.reason.startswith("there is no") else imports).append(item)
        if imports:
            yield _hit(repo, imports, "Import cannot work: ")
        by_reason: dict[str, list[Broken]] = {}
        for broken in wrong_calls(repo, module):
            by_reason.setdefault(broken.reason, []).append(broken)
        for calls in by_reason.values():
            yield _hit(repo, calls, "Call cannot work: ")
    for missing in gone.values():
        yield _hit(repo, missing, "Import cannot work: ")


def _cause(broken: Broken) -> str:
    """What is missing: a module, or for files that were moved the package that they were moved out of."""
    missing, _, moved = broken.reason.partition(" in this repository, ")
    return missing.split(".")[0] if moved else broken.reason


def _hit(repo: Repo, broken: list[Broken], what: str) -> Hit:
    """One hit for the imports of a file, or for its calls that are wrong in the same way; what runs comes first."""
    ordered = sorted(broken, key=lambda b: (not _matters(repo, b), b.node.lineno))
    first = ordered[0]
    return Hit(
        [b.module.site(b.node, note=b.reason) for b in ordered],
        severity=HIGH if _matters(repo, first) else LOW,
        title=what + first.reason,
        anchor=f"{first.module.path}\0{what}{first.reason}",
    )


def _matters(repo: Repo, broken: Broken) -> bool:
    """Whether training or serving runs the line, or a script does that leads to their code."""
    module, model = broken.module, worked(repo)
    if model.covers(module, broken.node):
        return True
    if not declared(repo).covers(module, broken.node):
        return False
    if any(misplaced(repo, module, item) in model.modules for item in module.imports if item.node is broken.node):
        return True
    targets = (repo.local(module, item.target) for item in module.imports)
    return any(target is not None and target[0] in model.modules for target in targets)
