"""What the users of a published package get, and what only stands beside it.

weight(repo, rule, hit)       the severity of a hit, lower where it is no part of what is used
on_import(repo)               modules that run when the package is imported, optional ones left out
is_for_callers(repo, scope)   whether a function works on rows that the package is handed by whoever calls it
is_tested_in_ci(repo, module) whether tests that CI runs import a module
is_optional(repo, module)     whether a module is imported by others only where its packages are there
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.once import once
from ml_engineer.assessment.rule import CRITICAL, HIGH, LOW, MEDIUM, Hit, Missing, Site

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Function, Import, Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rules_index import RuleInfo

_ANYWHERE = frozenset({"MLE0112", "MLE0908", "MLE1003", "MLE1010"})  # a secret is out wherever it stands
# Seeds, records, checkpoints, checks and versions of the data.
_OF_A_TRAINING = frozenset(f"MLE{number:04}" for number in (208, 401, 402, 408, 409, 410, 411, 412, 413, 704, 1008))
MAX_MODULES = 1_000  # what runs in a larger tree is not worth its parsing


def weight(repo: Repo, rule: RuleInfo, hit: Hit) -> str:
    """The severity of a hit: a high one is medium where all its places only show a published package, or test it; what
    keeps a training in order is asked of no example."""
    severity: str = hit.severity or rule.severity
    lower: str = MEDIUM if severity in (CRITICAL, HIGH) else LOW
    if severity not in (CRITICAL, HIGH) and not (severity == MEDIUM and rule.id in _OF_A_TRAINING):
        return severity
    if rule.id in _ANYWHERE:
        return severity
    sites = [site.need if isinstance(site, Missing) else site for site in hit.sites]
    return lower if all(_is_aside(repo, site) for site in sites) else severity


def _is_aside(repo: Repo, site: Site) -> bool:
    """Whether a place only shows a published package, is of a program in none of its packages that no training needs,
    or of what a module of it does when it is tried alone."""
    if repo.dependencies.only_shows(site.path):
        return True
    module = repo.by_path.get(site.path)
    if module is None or not repo.dependencies.is_library:
        return False
    if not repo.dependencies.is_beside(module):
        guard = module.main_guard
        return guard is not None and guard.lineno <= site.line <= (guard.end_lineno or guard.lineno)
    return "/" in site.path and not any(module in repo.closure(kind).modules for kind in ("train", "serve"))


def is_for_callers(repo: Repo, scope: Function | None) -> bool:
    """Whether a function works on what the caller of a published package hands over: an estimator's own algorithm,
    say, which keeps no rows out. Who calls it does, and judges."""
    if scope is None or not repo.dependencies.is_library or repo.dependencies.is_beside(scope.module):
        return False
    return any(parameter.arg not in ("self", "cls") for parameter in scope.parameters)


@once
def on_import(repo: Repo) -> set[Module]:
    """Modules that run when a package of the repository is imported. Empty where its `__init__` imports nothing."""
    if len(repo.all_modules) > MAX_MODULES:
        return set()
    roots = [m for m in repo.modules if m.path.removeprefix("src/").count("/") == 1 and m.file.name == "__init__.py"]
    found = _reached(repo, roots, _at_once)
    return found if len(found) > len(roots) else set()


def _at_once(module: Module, item: Import) -> bool:
    """Whether an import is made as soon as its module runs, whatever is installed."""
    return not item.guarded and not item.tests and module.scope_of(item.node) is None


def is_optional(repo: Repo, module: Module) -> bool:
    """Whether every import of a module stands in a try block, which goes on without it."""
    guarded = []
    for other in _naming(repo).get(module.dotted.rpartition(".")[2], ()):
        for item in other.imports:
            found = repo.local(other, item.target)
            if found is not None and found[0] is module and other is not module:
                guarded.append(item.guarded)
    return bool(guarded) and all(guarded)


@once
def _naming(repo: Repo) -> dict[str, list[Module]]:
    """The modules, tests aside, that import a target with a name in it, by that name."""
    found: dict[str, list[Module]] = {}
    for module in repo.modules:
        if "test" not in module.file.roles:
            targets = {item.target for item in repo.facts[module.path].imports}
            for name in {name for target in targets for name in target.split(".")}:
                found.setdefault(name, []).append(module)
    return found


def is_tested_in_ci(repo: Repo, module: Module) -> bool:
    """Whether CI runs tests that import a module: then what it imports is there, whoever brings it along."""
    return module in _tested_in_ci(repo)


@once
def _tested_in_ci(repo: Repo) -> set[Module]:
    from ml_engineer.assessment.ci import tested_workflows

    if len(repo.all_modules) > MAX_MODULES or not tested_workflows(repo):
        return set()
    return _reached(repo, [m for m in repo.all_modules if "test" in m.file.roles], lambda module, item: True)


def _reached(repo: Repo, roots: list[Module], runs: Callable[[Module, Import], bool]) -> set[Module]:
    """The roots and all modules that run with them, over the imports for which `runs` holds."""
    found, stack = set(roots), [*roots]
    while stack:
        module = stack.pop()
        for item in module.imports:
            if runs(module, item):
                reached = [m for m in _run_by(repo, module, item) if m not in found]
                found.update(reached)
                stack.extend(reached)
    return found


def _run_by(repo: Repo, module: Module, item: Import) -> Iterator[Module]:
    """The module that an import leads to, and the packages that it lies in, which run first."""
    found = repo.local(module, item.target)
    if found is None:
        return
    yield found[0]
    parts = found[0].dotted.split(".")
    for length in range(1, len(parts)):
        package = repo.by_dotted.get(".".join(parts[:length]))
        if package is not None:
            yield package
