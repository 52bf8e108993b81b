"""M10-04: pins that cannot be installed together, or not with the Python of the image or of CI.

Judged by a small table of facts on releases (`releases`); what it does not know is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from packaging.version import Version

    from ml_engineer.assessment.declarations import Declared, PythonDeclared
    from ml_engineer.assessment.repo import Repo

_STAR = re.compile(r"(>=|<=|~=|>|<)\s*[\d.]+\*")
_PROJECT = re.compile(r"pip3? install (-e )?\.(\[|\s|$)", re.M)
_PLACED = ("dockerfile", "ci", "runtime.txt", ".python-version", "pipfile")


@rule(
    id="MLE1004",
    name="unsatisfiable",
    step=10,
    severity=HIGH,
    title="The declared versions cannot be installed",
    why="The installation fails, so the image or the CI job cannot be built.",
    remedy="Choose versions that go together and with the Python in use, and lock them.",
    source="metadata of published releases",
    applies=lambda repo: bool(repo.dependencies.declared),
)
def check(repo: Repo) -> Iterator[Hit]:
    yield from _python(repo)
    yield from _pairs(repo)
    yield from _names(repo)
    yield from _of_conda(repo)


def _names(repo: Repo) -> Iterator[Hit]:
    """Names and numbers that the index does not have."""
    from ml_engineer.assessment.dependencies import exact
    from ml_engineer.assessment.releases import FOUR_NUMBERS, NOT_INSTALLABLE

    for declared in repo.dependencies.declared:
        if declared.spec is None and not declared.url and declared.kind not in ("conda", "lock", "notebook"):
            if _STAR.search(declared.specifier):
                yield Hit(
                    [declared.source],
                    title=f"pip refuses `{declared.name}{declared.specifier}`: only == and != take a star",
                    anchor=f"{declared.environment} {declared.name}",
                )
        version = exact(declared.spec) if declared.name in FOUR_NUMBERS else None
        if version is not None and len(version.release) < 4 and declared.kind not in ("lock", "conda"):
            yield Hit(
                [declared.source],
                title=f"{declared.name} has no release {version}: its releases have a fourth number",
                anchor=f"{declared.environment} {declared.name}",
            )
        meant = NOT_INSTALLABLE.get(declared.name)
        if declared.name == "sklearn" and declared.specifier.replace(" ", "") == "==0.0":
            continue  # the one release of that name that does install, and brings scikit-learn along
        kinds = ("lock", "notebook", "script", *(() if declared.name == "sklearn" else ("conda",)))
        if meant and declared.kind not in kinds and not declared.url:
            yield Hit(
                [declared.source],
                title=f"{declared.name} cannot be installed under this name: {meant} is meant",
                anchor=f"{declared.environment} {declared.name}",
            )


def _of_conda(repo: Repo) -> Iterator[Hit]:
    """Packages of conda in a file that is for pip, one finding for each file."""
    from ml_engineer.assessment.releases import CONDA_ONLY

    found: dict[str, list[Declared]] = {}
    for declared in (*repo.dependencies.python_as_package, *repo.dependencies.declared):
        if declared.name in CONDA_ONLY and declared.kind == "requirements" and not declared.url:
            found.setdefault(declared.environment, []).append(declared)
    for path, group in found.items():
        if not _is_read_by_conda(repo, path):
            first, *others = group
            more = "".join(f", nor {other.name}" for other in others)
            yield Hit(
                [declared.source for declared in group],
                title=f"pip installs no {first.name}{more}, which conda has: {CONDA_ONLY[group[-1].name]}",
                anchor=f"{path} conda",
            )


def _is_read_by_conda(repo: Repo, path: str) -> bool:
    """Whether some text of the project gives this file of requirements to conda."""
    name = re.escape(path.rpartition("/")[2])
    told = re.compile(rf"(conda|mamba)\b[^\n]*(--file|-f)[ =]\S*{name}")
    texts = [file.text for file in repo.glob("README*", "*.sh", "Makefile", "Dockerfile*")]
    return any(told.search(text) for text in [repo.files[path].text, *texts]) or bool(
        re.search(r"^# (\$ conda create|platform:)", repo.files[path].text, re.M)
    )


def _python(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.dependencies import exact
    from ml_engineer.assessment.releases import minor

    pythons = [p for p in repo.dependencies.pythons if p.kind in _PLACED and minor(p.spec) is not None]
    if not pythons:
        return
    causes: dict[tuple[str, Site], list[tuple[Declared, str]]] = {}
    for declared in repo.dependencies.declared:
        pinned = exact(declared.spec)
        version = pinned or _oldest(declared)
        if (
            version is None
            or declared.kind in ("conda", "notebook", "script", "setup.py", "setup.cfg")
            or declared.marker
        ):
            continue
        if declared.kind == "lock" and _is_one_of_several(repo, declared):
            continue  # a lock has one version for some versions of Python, and another for the rest
        reached = [p for p in pythons if _installs(repo, p, declared)]
        failing = [
            (p, told) for p in reached if (told := _unfit(declared.name, version, minor(p.spec), pinned is None))
        ]
        if (failing and len(failing) == len(reached)) or any(p.kind == "dockerfile" for p, _ in failing):
            python, reason = min(failing, key=lambda pair: pair[0].kind != "dockerfile")
            release = str(version) if pinned else f">={version}"
            told = f"{declared.name} {release} {reason}, {python.source.path} has {python.specifier}"
            causes.setdefault((declared.environment, python.source), []).append((declared, told))
    for (environment, place), found in causes.items():
        more = f" (and {len(found) - 1} more pins)" if len(found) > 1 else ""
        yield Hit(
            [*(declared.source for declared, _ in found), place],
            title=found[0][1] + more,
            anchor=f"{environment} python {place.path}",
        )


def _is_one_of_several(repo: Repo, declared: Declared) -> bool:
    """Whether a lock names more than one version of the package."""
    return len({d.specifier for d in repo.dependencies.of(declared.name) if d.environment == declared.environment}) > 1


def _oldest(declared: Declared) -> Version | None:
    """The lower bound, where the versions from there on are all that is allowed."""
    from packaging.version import InvalidVersion, Version

    bounds = [item.version for item in declared.spec or () if item.operator in (">=", "~=")]
    try:
        return max(map(Version, bounds)) if bounds and declared.kind != "lock" else None
    except InvalidVersion:
        return None


def _unfit(name: str, version: Version, python: int | None, later: bool = False) -> str | None:
    """Why a Python cannot have a version (with `later`: nor any after it)."""
    from ml_engineer.assessment.releases import floor, wheels

    if python is None:
        return None
    known = wheels(name, version)
    oldest = floor(name, version)
    if (known is not None and python < known[0]) or (oldest is not None and python < oldest):
        return f"needs Python 3.{known[0] if known else oldest}"
    if known is not None and python > known[1] and not later:
        return f"has no wheel for a Python after 3.{known[1]}"
    return None


def _installs(repo: Repo, python: PythonDeclared, declared: Declared) -> bool:
    """Whether the place that sets this Python installs from the file that declares the pin."""
    from ml_engineer.assessment.declarations import installed_files

    place = python.source.path
    if declared.environment == place:
        return True
    folder = repo.files[declared.environment].folder
    if python.kind in ("runtime.txt", ".python-version", "pipfile"):
        return repo.files[place].folder == folder and declared.kind != "dockerfile"
    text = repo.files[place].text
    name = declared.environment.rsplit("/", 1)[-1]
    named = [path.rsplit("/", 1)[-1] for path in installed_files(text)]
    if folder == "" and _PROJECT.search(text) and (setup := repo.files.get("setup.py")) and name in setup.text:
        return True  # setup.py reads its requirements from there
    near = folder == "" or place.startswith(".github/") or repo.files[place].folder.startswith(folder)
    if declared.kind in ("pyproject", "lock") and name in ("pyproject.toml", "poetry.lock", "uv.lock"):
        return folder == "" and any(t in text for t in ("poetry install", "uv sync", "pip install ."))
    return near and name in named


def _pairs(repo: Repo) -> Iterator[Hit]:
    from packaging.specifiers import SpecifierSet

    from ml_engineer.assessment.dependencies import compatible, exact
    from ml_engineer.assessment.releases import REQUIRES, TORCH_OF_TORCHVISION

    by_environment: dict[str, dict[str, Declared]] = {}
    for declared in repo.dependencies.declared:
        if declared.kind not in ("lock", "notebook", "script") and not declared.group and not declared.url:
            by_environment.setdefault(declared.environment, {}).setdefault(declared.name, declared)
    for environment, found in by_environment.items():
        vision, torch = found.get("torchvision"), found.get("torch")
        if vision and torch and (pinned := exact(vision.spec)) is not None:
            series = TORCH_OF_TORCHVISION.get(f"{pinned.major}.{pinned.minor}")
            if series and not any(compatible(torch.spec, SpecifierSet(f"=={s}.*")) for s in series):
                yield Hit(
                    [vision.source, torch.source],
                    title=f"torchvision {pinned} requires torch {series[-1]}, {torch.specifier} is declared",
                    anchor=f"{environment} torchvision torch",
                )
        broken: dict[str, list[tuple[str, Site]]] = {}  # what one package requires and others pin differently
        for name, versions, other, condition in REQUIRES:
            one, two = found.get(name), found.get(other)
            version = exact(one.spec) if one else None
            if one and two and version is not None and version in SpecifierSet(versions) and two.spec:
                if not compatible(two.spec, SpecifierSet(condition)):
                    required = f"{other} {condition}, {two.specifier} is declared"
                    broken.setdefault(f"{name} {version}", []).append((required, two.source))
        for package, conflicts in broken.items():
            name = package.partition(" ")[0]
            others = f", and {len(conflicts) - 1} more" if len(conflicts) > 1 else ""
            yield Hit(
                [*(source for _, source in conflicts), found[name].source],
                title=f"{package} requires {conflicts[0][0]}{others}",
                anchor=f"{environment} {name}",
            )
