"""M10-14: no licence for the code; weights that are shipped with nothing said of their licence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import INFO, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo

_FILES = ("LICEN[CS]E*", "LICENSE*", "LICENCE*", "COPYING*", "UNLICENSE*", "MIT-LICENSE*", "LICENSES/*")
_TEXT = re.compile(r"permission is hereby granted|redistribution and use|apache license|general public license", re.I)
_STATED = re.compile(
    r"licen[cs]ed? under|licen[cs]e[\"']?\s*[:=]|License ::|SPDX-License-Identifier|^#+\s*licen[cs]e|\bMIT License\b|"
    r"Apache License|badge/licen[cs]e|All rights reserved|proprietary",
    re.I | re.M,
)
# Where the files of a page stand that others have made, fonts and scripts, with their licences.
_OF_OTHERS = re.compile(
    r"(^|/)(static|assets|public|vendors?|third_?party|fonts?|plugins?|bower_components|Pods|Carthage)/", re.I
)
_MODEL_LICENCE = re.compile(r"licen[cs]e", re.I)


@rule(
    id="MLE1014",
    name="no-licence",
    step=10,
    severity=MEDIUM,
    title="The repository has no licence",
    why="Without a licence nobody but the author may use the code, so it cannot be shipped.",
    remedy="Add a LICENSE file, and say in the README under which terms data and models may be used.",
    source="Model Cards; choosealicense.com",
    applies=lambda repo: bool(repo.modules),
)
def check(repo: Repo) -> Iterator[Hit]:
    if not _licence(repo):
        need = _need(repo)
        patterns = ("LICENSE", "COPYING", "license in pyproject.toml, setup.py or README")
        yield Hit([repo.missing(need, patterns)], anchor="licence")
        return
    shipped = [a for a in repo.artefacts if a.format != "lfs" and "test" not in a.file.roles]
    cards = repo.glob("*MODEL*CARD*", "README*", "**/README*")
    if shipped and not any(_MODEL_LICENCE.search(card.text) for card in cards):
        yield Hit(
            [shipped[0].site()],
            severity=INFO,
            title="Nothing says under which licence the shipped model may be used",
            anchor="model licence",
        )


def _licence(repo: Repo) -> bool:
    if any(not _OF_OTHERS.search(file.path) for file in repo.glob(*_FILES)):
        return True
    top = [f for f in repo.files.values() if f.path.count("/") == 0 and f.size < 200_000]
    stated = [
        f for f in top if f.name.lower().startswith(("readme", "setup.", "pyproject", "citation", "package.json"))
    ]
    if any(_STATED.search(f.text) for f in stated):
        return True
    return any(not f.suffix and _TEXT.search(f.text) for f in top)


def _need(repo: Repo) -> Site:
    readme: list[File] = [f for f in repo.files.values() if f.name.lower().startswith("readme") and "/" not in f.path]
    if readme and readme[0].lines:
        return readme[0].site(1)
    return repo.modules[0].source.site(1)
