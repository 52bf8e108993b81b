"""M1-14: a saved model notes the version that wrote it, and the declarations allow another one to load it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, LOW, Hit, SeverityName, Site, rule

if TYPE_CHECKING:
    from packaging.version import Version

    from ml_engineer.assessment.declarations import Declared
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.savedfiles import Artefact

_SHOWS = re.compile(r"(^|/)(docs?(-\w+)?|documentation|examples?|tutorials?)/", re.I)


@rule(
    id="MLE0114",
    name="artefact-version",
    step=1,
    severity=HIGH,
    title="The saved model was written by another version than the one installed",
    why="Loading it fails, or works and predicts something else: the library gives no promise across versions.",
    remedy="Pin the version that wrote it, train again with the declared one, or export to ONNX.",
    source="scikit-learn persistence documentation",
    applies=lambda repo: any(a.versions for a in repo.artefacts),
)
def check(repo: Repo) -> Iterator[Hit]:
    groups: dict[tuple[str, str, str], list[Artefact]] = {}
    for artefact in repo.artefacts:
        if "test" not in artefact.file.roles:
            for name, version in artefact.versions.items():
                groups.setdefault((name, version, artefact.file.folder), []).append(artefact)
    hits: dict[tuple[str, str, str], list[Site]] = {}
    details: dict[tuple[str, str, str], tuple[SeverityName, str]] = {}
    for (name, version, folder), artefacts in groups.items():
        found = [d for d in _declared(repo, name, f"{folder}/x" if folder else "x") if d.kind != "notebook"]
        judged = _judge(name, version, found)
        if judged is None:
            continue
        severity, told, decisive = judged
        direct = [d for d in repo.dependencies.of(name, near=f"{folder}/x" if folder else "x") if d.direct]
        declaration = direct[0] if direct and decisive and decisive.kind == "lock" else decisive
        key = (name, version, declaration.environment if declaration else "")
        sites = hits.setdefault(key, [declaration.source] if declaration else [])
        sites.extend(a.site(note=f"written by {name} {version}") for a in artefacts)
        details[key] = severity, told
    for key, sites in hits.items():
        severity, told = details[key]
        yield Hit(
            sites,
            severity=severity,
            title=f"The saved model was written by {key[0]} {key[1]}; {told}",
            anchor=f"{key[0]} {key[1]} {key[2]}",
        )


def _declared(repo: Repo, name: str, near: str) -> list[Declared]:
    found = repo.dependencies.of(name, near=near)
    if name == "keras" and not found:
        for other in ("tensorflow", "tensorflow-cpu", "tensorflow-gpu"):
            found = found or repo.dependencies.of(other, near=near)
    # What an example of the documentation asks for is for that example's own files.
    found = [d for d in found if not _SHOWS.search(d.environment) or near.startswith(posixpath.dirname(d.environment))]
    return [d for d in found if d.kind == "lock"] or found


def _judge(name: str, text: str, declared: list[Declared]) -> tuple[SeverityName, str, Declared | None] | None:
    """Severity, what the declarations say, and the declaration; None where the same version is sure to be there."""
    from packaging.version import InvalidVersion, Version

    from ml_engineer.assessment.dependencies import allows_below, allows_from, exact

    try:
        version = Version(text.removesuffix("-tf"))
    except InvalidVersion:
        return None
    if name == "keras":
        return _judge_keras(version, declared)
    if not declared:
        return HIGH, "no file asks for it", None
    series, following = f"{version.major}.{version.minor}", f"{version.major}.{version.minor + 1}"
    for item in declared:
        if item.spec is None:
            continue
        pinned = exact(item.spec)
        if pinned is not None and (pinned.major, pinned.minor) == (version.major, version.minor):
            if pinned != version:
                return LOW, f"{item.environment} pins {pinned}", item
            continue
        if pinned is not None:
            return HIGH, f"{item.environment} pins {pinned}", item
        if allows_below(item.spec, series) or allows_from(item.spec, following):
            return HIGH, f"{item.environment} allows others ({item.specifier or 'any'})", item
    return None


def _judge_keras(version: Version, declared: list[Declared]) -> tuple[SeverityName, str, Declared | None] | None:
    """Keras files are read across minor versions; a step between the majors 1, 2 and 3 breaks them."""
    from ml_engineer.assessment.dependencies import allows_below, allows_from

    for item in declared:
        first = {"keras": ("2", "3")}.get(item.name, ("1.4", "2.16"))  # tensorflow 2.16 brings Keras 3
        if version.major < 3 and allows_from(item.spec, first[1]):
            return HIGH, f"{item.environment} allows Keras 3 ({item.name} {item.specifier or 'any'})", item
        if version.major == 3 and not allows_from(item.spec, first[1]):
            return HIGH, f"{item.environment} asks for Keras 2 ({item.name} {item.specifier})", item
        if version.major == 1 and item.name == "keras" and not allows_below(item.spec, first[0]):
            return HIGH, f"{item.environment} asks for Keras 2 ({item.specifier})", item
    return None
