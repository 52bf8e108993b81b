"""M8-09: CI, image and declarations ask for different versions of Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.declarations import PythonDeclared
    from ml_engineer.assessment.repo import Repo

_NAMES = {
    "ci": "CI", "dockerfile": "the image", "conda": "conda", "requires-python": "requires-python", "poetry": "poetry",
    "pipfile": "the Pipfile", "runtime.txt": "runtime.txt", ".python-version": ".python-version",
}  # fmt: skip


def _top(repo: Repo) -> list[PythonDeclared]:
    """Declarations about the whole repository: at its top, of its CI, or of an image built from the top."""
    contexts = {d.path: d.contexts for d in repo.dockerfiles}
    return [
        p
        for p in repo.dependencies.pythons
        if "test" not in repo.files[p.source.path].roles
        and (p.kind == "ci" or "/" not in p.source.path or "" in contexts.get(p.source.path, ()))
    ]


@rule(
    id="MLE0809",
    name="python-mismatch",
    step=8,
    severity=MEDIUM,
    title="Different versions of Python are used",
    why="What passes in CI is not what runs: syntax, wheels and pickles differ between versions of Python.",
    remedy="Keep the version in one place, such as .python-version, and test on the one that is shipped.",
    source="observed in public repositories",
    applies=lambda repo: len({p.kind for p in _top(repo)}) > 1,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.dependencies import compatible

    found = _top(repo)
    tested = [p for p in found if p.kind == "ci"]
    others = [p for p in found if p.kind != "ci"]
    fixed = [p for p in others if p.kind not in ("requires-python", "poetry")]
    ranges = [p for p in others if p.kind in ("requires-python", "poetry")]
    clashes: list[tuple[PythonDeclared, PythonDeclared]] = []
    for item in fixed:
        if tested and not any(compatible(item.spec, t.spec) for t in tested):
            clashes.append((tested[0], item))
    for number, one in enumerate(fixed):
        if one.kind == "dockerfile" and any(
            compatible(one.spec, o.spec) for o in fixed if o.kind == "dockerfile" and o is not one
        ):
            continue
        clashes.extend(
            (one, two) for two in fixed[number + 1 :] if one.kind != two.kind and not compatible(one.spec, two.spec)
        )
    for item in ranges:
        clashes.extend((p, item) for p in [*fixed, *tested] if not compatible(item.spec, p.spec))
    if clashes:
        one, two = clashes[0]
        sites = list(dict.fromkeys(p.source for pair in clashes for p in pair))
        told = (
            f"{one.specifier} in {_NAMES.get(one.kind, one.kind)}, {two.specifier} in {_NAMES.get(two.kind, two.kind)}"
        )
        yield Hit(sites, title=f"Different versions of Python are used: {told}", anchor="python")
