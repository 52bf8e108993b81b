"""M2-01: everything that trains or predicts lives in notebooks, and there is no package to import."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.entrypoints import Entry
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo


_MANIFESTS = ("requirements.txt", "pyproject.toml", "environment.yml", "environment.yaml", "Pipfile", "setup.py")
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
    from ml_engineer.assessment.learning import trainings

    entries = _entries(repo)
    needed = ["a .py file that trains or predicts", "a package"]
    if _in_notebooks(repo, entries, ""):
        scripts = [module for module in repo.modules if _is_script(module)]
        yield Hit([repo.missing(entries[0].site, needed, scripts or ["**/*.py"])], anchor="notebooks")
        return
    trained = {call.module for call in trainings(repo)}
    training = [f for f in _projects(repo) if any(module.path.startswith(f"{f}/") for module in trained)]
    asked = {e.module for e in entries if e.kind == "predict" and b".predict" in e.module.file.data}
    entries = [e for e in entries if e.kind == "serve" or e.module in trained | asked]
    told = [folder for folder in training if _in_notebooks(repo, _below(entries, folder), folder)]
    if len(training) > 1 and 2 * len(told) > len(training):  # a collection of projects, most of which are notebooks
        sites = [repo.missing(_below(entries, folder)[0].site, needed, [f"{folder}/**/*.py"]) for folder in told]
        title = f"The models of {len(told)} of {len(training)} projects live in notebooks only"
        yield Hit(sites, severity=MEDIUM, title=title, anchor="projects")


def _projects(repo: Repo) -> list[str]:
    """Folders at the top that name their own dependencies."""
    named = (path.split("/") for path in repo.files)
    return sorted({parts[0] for parts in named if len(parts) == 2 and parts[1] in _MANIFESTS})


def _below(entries: list[Entry], folder: str) -> list[Entry]:
    return [entry for entry in entries if entry.site.path.startswith(f"{folder}/")]


def _is_script(module: Module) -> bool:
    return not module.is_notebook and module.file.name not in ("setup.py", "conf.py")


def _in_notebooks(repo: Repo, entries: list[Entry], folder: str) -> bool:
    """Whether nothing but notebooks train or ask a model in a folder, and it has no package."""
    start = f"{folder}/" if folder else ""
    if not all(entry.module.is_notebook and entry.site.path.endswith(".ipynb") for entry in entries):
        return False
    if any(item.top == "sagemaker" for entry in entries for item in entry.module.imports):
        return False  # the notebook starts jobs of a platform; what runs in them is a script or its own algorithm
    scripts = [module for module in repo.modules if _is_script(module) and module.path.startswith(start)]
    if any(_is_importable(module.path, repo) for module in scripts):
        return False
    others = (f for f in repo.files.values() if f.suffix in (".r", ".jl") and f.path.startswith(start))
    return not any(_OTHER_LANGUAGE.search(f.text) for f in others)  # R or Julia trains


def _is_importable(path: str, repo: Repo) -> bool:
    """Whether a file belongs to a package, or a notebook imports it."""
    folder, _, name = path.rpartition("/")
    if f"{folder}/__init__.py" in repo.files and folder:
        return True
    module = repo.by_path[path]
    stem = name.removesuffix(".py")
    own = {*folder.split("/"), stem}  # `preprocessing` is no part of sklearn.preprocessing
    targets = (item.target.split(".") for other in repo.modules if other.is_notebook for item in other.imports)
    return bool(module.functions) and any(stem in parts and (parts[0] in own or not parts[0]) for parts in targets)
