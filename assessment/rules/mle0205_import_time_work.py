"""M2-05: training, reads of data, downloads and model loads that run when a module is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import serving, values
from ml_engineer.assessment.entrypoints import is_training_call
from ml_engineer.assessment.learning import trainings
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, SeverityName, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.learning import trainings
    from ml_engineer.assessment.module import Call, Module
from ml_engineer.assessment.repo import Repo

_READS = re.compile(
    r"pandas\.read_(?!sql_query\(\))\w+|numpy\.(load|loadtxt|genfromtxt)|datasets\.load_dataset|polars\.read_\w+|"
    r"sklearn\.datasets\.fetch_\w+|(tensorflow\.)?keras\.datasets\.\w+\.load_data"
)
# One of these words stands in every file that does such work.
_WORDS = re.compile(
    rb"read_\w+|load|fit|backward|from_pretrained|pipeline|requests|urllib|download|fetch_|Session|datasets"
)
_DOWNLOADS = (
    "requests.get", "requests.post", "urllib.request.urlretrieve", "urllib.request.urlopen", "wget.download",
    "gdown.download*", "huggingface_hub.hf_hub_download", "huggingface_hub.snapshot_download", "nltk.download",
    "boto3.*().download_file", "*.download_fileobj", "torchvision.datasets.*",
)  # fmt: skip


@rule(
    id="MLE0205",
    name="import-time-work",
    step=2,
    severity=MEDIUM,
    title="Importing the module starts real work",
    why="Every import, in a test, a worker or another script, waits for it, and fails where the files are not there.",
    remedy="Put the work into a function, and call it from a main guard, a factory or the server's start-up hook.",
    source="Hidden Technical Debt",
)
def check(repo: Repo) -> Iterator[Hit]:
    imported = _imported(repo)
    servers = {app.call.module for app in serving.apps(repo)} | {route.module for route in repo.routes}
    interfaces = {entry.module for entry in repo.entries if entry.kind == "serve" and entry.unit is None}
    subjects = {m for m in imported | servers if _WORDS.search(m.file.data)} | {c.module for c in trainings(repo)}
    for module in sorted(subjects, key=lambda m: m.path):
        if module.is_notebook or module in interfaces - servers or "test" in module.file.roles:
            continue
        work = [(call, what) for call in _on_import(module) if (what := _work(repo, call)) is not None]
        if not work:
            continue
        severity: SeverityName = MEDIUM
        if module in servers:
            severity = LOW
        elif module not in imported:
            work = [(call, what) for call, what in work if what == "trains"]
            severity = LOW
        if work:
            yield Hit(
                [call.site() for call, _ in work],
                severity=severity,
                title=_title(module, work[0][1], module in imported or module in servers),
                anchor=module.path,
            )


def _title(module: Module, what: str, imported: bool) -> str:
    return f"Importing {module.file.name} {what}" if imported else f"{module.file.name} {what} at module level"


def _on_import(module: Module) -> list[Call]:
    """Calls of the module's own level, without those behind its main guard."""
    calls = module.calls_by_scope.get(None, [])
    guard = module.main_guard
    if guard is not None:
        end = guard.end_lineno or guard.lineno
        calls = [call for call in calls if not guard.lineno <= call.node.lineno <= end]
    return calls


def _work(repo: Repo, call: Call) -> str | None:
    """What a call does that an import should not do."""
    if any(isinstance(parent, ast.Lambda) for parent in call.module.ancestors(call.node)):
        return None
    if is_training_call(call):
        return "trains"
    if _READS.fullmatch(call.name):
        return "reads data"
    if matches(call.name, *_DOWNLOADS):
        return "downloads"
    if matches(call.name, *values.ARTEFACT_LOADERS):
        return "loads a model" if call.node.args or call.node.keywords else None
    return "loads a model" if _loads_inside(repo, call.name) else None


def _loads_inside(repo: Repo, name: str) -> bool:
    """Whether a class's constructor, or a function of the repository, loads a model whenever it is called."""
    if name not in repo.classes and name not in repo.functions:
        return False
    known: dict[str, bool] = repo.kept("loads_inside")
    if name not in known:
        started = serving.run_by(repo, name)
        inner = (f for start in started for f in serving.reached(repo, start, handed_over=False))
        known[name] = any(
            matches(call.name, *values.ARTEFACT_LOADERS) and bool(call.node.args or call.node.keywords)
            for function in inner
            for call in values.calls_of(function.module, function)
        )
    return known[name]


def _imported(repo: Repo) -> set[Module]:
    """Modules that another one imports, tests included: a test has to wait as well."""
    found: set[Module] = set()
    for module in repo.modules:
        for item in repo.facts[module.path].imports:
            target = repo.local(module, f"{_package(module, item.level)}{item.target}")
            if target is not None and target[0] is not module:
                found.add(target[0])
    return found


def _package(module: Module, level: int) -> str:
    """What a relative import of this level starts with; empty for an absolute one."""
    parts = module.package.split(".")
    base = ".".join(parts[: len(parts) - (level - 1)]) if level else ""
    return f"{base}." if base else ""
