"""M10-13: two files ask for versions of one package that cannot both be had."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.declarations import Declared
    from ml_engineer.assessment.repo import Repo

_KINDS = frozenset("requirements pyproject setup.py setup.cfg conda pipfile dockerfile constraints".split())


@rule(
    id="MLE1013",
    name="conflicting-dependencies",
    step=10,
    severity=MEDIUM,
    title="Files ask for different versions of a package",
    why="Training, tests and the service run with different versions, depending on which file was installed.",
    remedy="Keep the versions in one place and make the other files from it.",
    source="mllint dependency-management/single",
    applies=lambda repo: len({d.environment for d in repo.dependencies.declared if d.kind in _KINDS}) > 1,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.dependencies import compatible

    by_name: dict[str, list[Declared]] = {}
    for declared in repo.dependencies.declared:
        if declared.kind in _KINDS and declared.spec and not declared.url and not declared.marker:
            if not repo.files[declared.environment].roles & {"test"}:
                by_name.setdefault(declared.name, []).append(declared)
    for name, found in by_name.items():
        clash = next(
            (
                (one, two)
                for i, one in enumerate(found)
                for two in found[i + 1 :]
                if one.environment != two.environment and _related(one, two) and not compatible(one.spec, two.spec)
            ),
            None,
        )
        if clash is not None:
            one, two = sorted(clash, key=lambda d: (d.kind != "dockerfile", d.source.path))
            yield Hit(
                [one.source, two.source],
                title=f"{name} is {one.specifier} in {one.environment} and {two.specifier} in {two.environment}",
                anchor=f"conflict {name}",
            )


def _related(one: Declared, two: Declared) -> bool:
    """Whether two files belong to one project: same folder, or one folder holds the other."""
    first, second = posixpath.dirname(one.environment), posixpath.dirname(two.environment)
    return (
        first == second
        or f"{second}/".startswith(f"{first}/" if first else "")
        or (f"{first}/".startswith(f"{second}/" if second else ""))
    )
