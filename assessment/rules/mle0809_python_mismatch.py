"""M8-09: the pipeline, the image and the declarations ask for different Pythons."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from packaging.version import Version

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from ml_engineer.assessment.declarations import PythonDeclared
    from ml_engineer.assessment.repo import Repo

_MINORS = ("2.7", *(f"3.{minor}" for minor in range(4, 20)))
# The order in which places are compared, and shown: what was tested against what runs first.
_KINDS = ("ci", "dockerfile", "runtime.txt", ".python-version", "conda", "pipfile", "poetry", "requires-python")


@rule(
    id="MLE0809",
    name="python-mismatch",
    step=8,
    severity=MEDIUM,
    title="CI, image and declarations name different versions of Python",
    why="What was tested is not what runs: wheels, pickles and syntax differ from one minor version to the next.",
    remedy="Say the version once (requires-python or .python-version) and let CI and the image read it.",
    source="seen in real repositories",
    applies=lambda repo: len({declared.kind for declared in repo.dependencies.pythons}) > 1,
)
def check(repo: Repo) -> Iterator[Hit]:
    by_kind: dict[str, list[PythonDeclared]] = {}
    for declared in repo.dependencies.pythons:
        file = repo.files[declared.source.path]
        if "test" not in file.roles and (declared.kind == "ci" or "/" not in declared.source.path):
            by_kind.setdefault(declared.kind, []).append(declared)
    kinds = [kind for kind in _KINDS if kind in by_kind]
    for one, other in combinations(kinds, 2):
        first, second = _minors(by_kind[one]), _minors(by_kind[other])
        if first and second and not first & second:
            sites = [declared.source for kind in (one, other) for declared in by_kind[kind]]
            yield Hit(
                list(dict.fromkeys(sites)),
                title=f"Python {by_kind[one][0].specifier} in {_name(one)}, "
                f"{by_kind[other][0].specifier} in {_name(other)}",
                anchor="python",
            )
            return


def _minors(declared: list[PythonDeclared]) -> set[str]:
    """Minor versions that one of the declarations allows."""
    return {minor for item in declared for minor in _allowed(item.spec)}


@functools.lru_cache(maxsize=256)
def _allowed(spec: SpecifierSet) -> frozenset[str]:
    return frozenset(minor for minor, patches in _versions().items() if any(map(spec.contains, patches)))


@functools.cache
def _versions() -> dict[str, list[Version]]:
    """Minor versions with the releases that they may have."""
    return {minor: [Version(f"{minor}.{patch}") for patch in range(20)] for minor in _MINORS}


def _name(kind: str) -> str:
    return {"dockerfile": "the image", "ci": "CI"}.get(kind, kind)
