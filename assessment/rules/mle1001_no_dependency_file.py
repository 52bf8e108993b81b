"""M10-01: third-party packages are imported and no file says which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_MAIN = re.compile(r"(train|main|app|serve|server|run|predict)[\w-]*\.py$", re.I)


def _uses_packages(repo: Repo) -> bool:
    return bool(repo.dependencies.third_party)


@rule(
    id="MLE1001",
    name="no-dependency-file",
    step=10,
    severity=HIGH,
    title="No file declares the packages that the code imports",
    why="Nobody can rebuild the environment, so neither training nor the service can be reproduced.",
    remedy="Declare the dependencies in pyproject.toml or requirements.txt and commit a lock made from them.",
    source="mllint dependency-management; ML Test Score Infra-1",
    applies=_uses_packages,
)
def check(repo: Repo) -> Iterator[Hit]:
    dependencies = repo.dependencies
    if any(file.text.strip() for file in dependencies.files):
        return
    entries = {
        module: number for number, kind in enumerate(("serve", "train")) for module in repo.closure(kind).started
    }
    places = [place for found in dependencies.third_party.values() for place in found]
    places.sort(
        key=lambda place: (
            entries.get(place[0], 9),
            not _MAIN.match(place[0].file.name),
            place[0].is_notebook,
            place[0].path.count("/"),
            place[0].path,
            place[1],
        )
    )
    plain = (
        (module, item)
        for module, line in places
        for item in module.imports
        if item.node.lineno == line and not item.guarded
    )
    first = next(plain, None)
    if first is None:
        return
    module, item = first
    names = sorted(dependencies.third_party)
    shown = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
    script = _installer(repo, names)
    patterns = ("requirements*.txt", "pyproject.toml", "setup.py", "environment.yml", "Pipfile")
    yield Hit(
        [repo.missing(module.site(item.node), patterns)],
        severity=MEDIUM if script else HIGH,
        title=f"No file declares the packages that the code imports ({shown})"
        + (f": {script} installs most of them" if script else ""),
        anchor="no dependency file",
    )


def _installer(repo: Repo, targets: list[str]) -> str | None:
    """The script, the Dockerfile or the notebooks that install most of what is imported."""
    from ml_engineer.assessment.declarations import installed
    from ml_engineer.assessment.distributions import providers

    def most(names: set[str]) -> bool:
        return 2 * sum(not names.isdisjoint(providers(target)) for target in targets) > len(targets)

    if most({d.name for d in repo.dependencies.declared if d.kind == "notebook"}):
        return "a cell"
    for docker in repo.dockerfiles:
        if most({d.name for d in repo.dependencies.declared if d.environment == docker.file.path}):
            return docker.file.path
    for file in repo.glob("*.sh"):
        lines = enumerate(file.lines, 1)
        if most({d.name for n, line in lines for d in installed(line, file.site(n), file.path, "script")}):
            return file.path
    return None
