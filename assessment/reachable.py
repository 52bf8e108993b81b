"""Which files some entry point leads to, models' or any other that the project declares.

`worked(repo)` is what training, serving, predicting and evaluating reach; `declared(repo)` what scripts, commands and
schedulers start. Files of neither are run by nobody.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.callgraph import Closure, closure_of
from ml_engineer.assessment.entrypoints import Entry

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
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
        entries.extend(_loaded_by_name(repo))
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
    if module.file.name == "setup.py" and imports_any(repo, module, "setuptools", "distutils"):
        return True
    return imports_any(repo, module, *SCHEDULERS) or bool(repo.commands.starts(module.path))


def _loaded_by_name(repo: Repo) -> Iterator[Entry]:
    """What a program calls in the modules of a folder that it imports one of: `import_module(f"jobs.{name}").run()`."""
    for module in repo.modules:
        if b"import_module" not in module.file.data or "test" in module.file.roles:
            continue
        for call in module.calls:
            folder = _folder_of_names(call) if call.name == "importlib.import_module" else None
            parent = module.parent(call.node)
            target = parent.targets[0] if isinstance(parent, ast.Assign) else None
            if folder is None or not isinstance(target, ast.Name):
                continue
            asked = {name for name in module.call_names if name.startswith("importlib.import_module().")}
            for other in repo.modules:
                if f".{other.dotted.rpartition('.')[0]}".endswith(f".{folder}"):
                    units = (other.functions.get(name.rpartition(".")[2]) for name in asked)
                    yield from (Entry("predict", other, unit, unit.site()) for unit in units if unit is not None)


def _folder_of_names(call: Call) -> str | None:
    """The package in `f"jobs.{name}"` or `"jobs." + name`."""
    given = call.node.args[0] if call.node.args else None
    parts = given.values if isinstance(given, ast.JoinedStr) else [given.left] if isinstance(given, ast.BinOp) else []
    first = parts[0].value if parts and isinstance(parts[0], ast.Constant) else None
    return first[:-1] if len(parts) < 3 and isinstance(first, str) and first.endswith(".") else None
