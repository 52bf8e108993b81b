"""M10-03: a pin, lock or narrow range that admits a release known to be harmful."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import CRITICAL, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.declarations import Declared
    from ml_engineer.assessment.releases import BadRelease
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE1003",
    name="bad-release",
    step=10,
    severity=CRITICAL,
    title="A release that is known to be harmful can be installed",
    why="The release was published by an attacker: whoever installs it runs the attacker's code.",
    remedy="Move to a release after it, exclude it by name, lock with hashes, and rotate what the machine could read.",
    source="public advisories",
    applies=lambda repo: bool(repo.dependencies.declared),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.releases import bad_release

    for declared in repo.dependencies.declared:
        bad = bad_release(declared.name)
        if bad is None or declared.url:
            continue
        version = _admitted(declared, bad)
        if version is not None and not _settled(repo, declared):
            yield Hit(
                [declared.source],
                confidence="high" if version in declared.specifier or not bad.versions else "medium",
                title=f"{declared.name} {version}".rstrip() + " is a harmful release",
                why=f"It {bad.what} (reported {bad.reported}).",
                anchor=f"{declared.environment} {declared.name}",
            )


def _settled(repo: Repo, declared: Declared) -> bool:
    """Whether another file names the one version to install: a package's own range says only what it works with."""
    from ml_engineer.assessment.dependencies import exact

    if exact(declared.spec) is not None:
        return False
    return any(exact(d.spec) is not None for d in repo.dependencies.of(declared.name))


def _admitted(declared: Declared, bad: BadRelease) -> str | None:
    """The bad version that a pin or a range of the same minor series admits; an open range is left to the index,
    where such releases are withdrawn."""
    from packaging.version import Version

    if not bad.versions:
        return ""
    for text in bad.versions:
        version = Version(text)
        if declared.spec is None or not declared.spec.contains(version, prereleases=True):
            continue
        bounds = [s for s in declared.spec if s.operator in ("==", "===", ">=", "~=", ">")]
        if any(Version(s.version.removesuffix(".*")).release[:2] == version.release[:2] for s in bounds):
            return text
    return None
