"""Which files some entry point leads to, models' or any other that the project declares.

`worked(repo)` is what training, serving, predicting and evaluating reach; `declared(repo)` what scripts, commands and
schedulers start. Files of neither are run by nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_engineer.assessment.callgraph import Closure, closure_of
from ml_engineer.assessment.entrypoints import Entry

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

SCHEDULERS = ("airflow", "prefect", "dagster", "luigi", "celery", "kfp", "zenml", "metaflow")


def worked(repo: Repo) -> Closure:
    """What the model's own entry points reach."""
    return repo.closure("train", "serve", "evaluate", "predict")


def declared(repo: Repo) -> Closure:
    """What scripts lead to: files with a main guard, files that a command runs, definitions of schedulers."""
    found: Closure | None = repo.__dict__.get("_declared_closure")
    if found is None:
        entries = [Entry("predict", module, None, module.site(1)) for module in repo.modules if _starts(repo, module)]
        found = closure_of(repo, entries)
        repo.__dict__["_declared_closure"] = found
    return found


def reached(repo: Repo) -> list[Module]:
    """Files that any of them leads to, tests left out, by path; of a large tree those that rules look at."""
    modules = (worked(repo).modules | declared(repo).modules).intersection(repo.modules)
    return sorted((m for m in modules if "test" not in m.file.roles), key=lambda m: m.path)


def imports_any(repo: Repo, module: Module, *packages: str) -> bool:
    """Whether a file imports one of the top-level packages; tells it without parsing the file again."""
    return any(item.top in packages for item in repo.facts[module.path].imports)


def _starts(repo: Repo, module: Module) -> bool:
    if module.is_notebook or "test" in module.file.roles:
        return False
    if b"__main__" in module.file.data and module.main_guard is not None:
        return True
    return imports_any(repo, module, *SCHEDULERS) or bool(repo.commands.starts(module.path))
