"""M2-01: everything that trains or predicts lives in notebooks, and there is no package to import."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.entrypoints import Entry
    from ml_engineer.assessment.repo import Repo


_OTHER_LANGUAGE = re.compile(r"\b(train|fit|predict|machine)!?\(")


def _entries(repo: Repo) -> list[Entry]:
    """Entry points that train or ask a model; those that train first."""
    found = [entry for entry in repo.entries if entry.kind in ("train", "predict", "serve")]
    return sorted(found, key=lambda entry: entry.kind != "train")


def _trains(repo: Repo) -> bool:
    return any(entry.kind == "train" for entry in repo.entries)


@rule(
    id="MLE0201",
    name="notebook-only",
    step=2,
    severity=HIGH,
    title="The model lives in notebooks only",
    why="Nothing can be scheduled, tested, reviewed or called by a service: a notebook runs by hand.",
    remedy="Move reading, preparing, training and predicting into a package, and let the notebook import it.",
    source="Cookiecutter Data Science",
    peers=("data-scientist",),
    applies=_trains,
)
def check(repo: Repo) -> Iterator[Hit]:
    entries = _entries(repo)
    if not all(entry.module.is_notebook and entry.site.path.endswith(".ipynb") for entry in entries):
        return
    if any(item.top == "sagemaker" for entry in entries for item in entry.module.imports):
        return  # the notebook starts jobs of a platform; what runs in them is a script or an algorithm of the platform
    scripts = [m for m in repo.modules if not m.is_notebook and m.file.name not in ("setup.py", "conf.py")]
    if any(_is_importable(module.path, repo) for module in scripts):
        return
    if any(f.suffix in (".r", ".jl") and _OTHER_LANGUAGE.search(f.text) for f in repo.files.values()):
        return  # R or Julia trains
    yield Hit(
        [repo.missing(entries[0].site, ["a .py file that trains or predicts", "a package"], scripts or ["**/*.py"])],
        anchor="notebooks",
    )


def _is_importable(path: str, repo: Repo) -> bool:
    """Whether a file belongs to a package, or a notebook imports it."""
    folder, _, name = path.rpartition("/")
    if f"{folder}/__init__.py" in repo.files and folder:
        return True
    module = repo.by_path[path]
    stem = name.removesuffix(".py")
    return bool(module.functions) and any(
        item.target.split(".")[-1] == stem or stem in item.target.split(".")
        for notebook in repo.modules
        if notebook.is_notebook
        for item in notebook.imports
    )
