"""M3-06: names in `.py` files that are bound nowhere, by whether an entry point gets to them. Notebooks are M3-02's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.reachable import SCHEDULERS, declared, reached, worked
from ml_engineer.assessment.rule import CRITICAL, HIGH, MEDIUM, Hit, SeverityName, Site, rule
from ml_engineer.assessment.undefined import PYTHON2_NAMES, Undefined, undefined

if TYPE_CHECKING:
    from ml_engineer.assessment.callgraph import Closure
    from ml_engineer.assessment.module import Function, Import, Module
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0306",
    name="undefined-name",
    step=3,
    severity=CRITICAL,
    title="Name is defined nowhere",
    why="Python raises NameError as soon as this line runs.",
    remedy="Import or define the name, and run `ruff check --select F821` in CI so that it cannot come back.",
    source="ruff F821",
)
def check(repo: Repo) -> Iterator[Hit]:
    old: list[Undefined] = []
    gone: list[tuple[str, Site]] = []
    for module in reached(repo):
        if module.is_notebook:
            continue
        if not module.source.errors:  # MLE0307 says of the others that they are Python 2
            gone.extend((item.top, module.site(item.node)) for item in module.imports if _is_python2(module, item))
        by_name: dict[str, list[Undefined]] = {}
        for missing in undefined(repo, module):
            by_name.setdefault(missing.name, []).append(missing)
        for name, reads in by_name.items():
            if name in PYTHON2_NAMES:
                old.extend(reads)
            else:
                yield _hit(repo, module, name, reads)
    gone += [(read.name, read.module.site(read.node)) for read in old]
    if gone:
        names = ", ".join(f"`{name}`" for name in sorted({name for name, _ in gone}))
        yield Hit(
            [site for _, site in gone],
            severity=HIGH,
            title=f"The code runs under Python 2 only: {names}",
            why="Python 2 has had no fixes since 2020, and under Python 3 these lines raise NameError or ImportError.",
            remedy="Port the code to Python 3 (range, str, io), and say which Python it needs.",
            anchor="python2",
        )


def _hit(repo: Repo, module: Module, name: str, reads: list[Undefined]) -> Hit:
    judged = sorted(((_severity(repo, read), read.node.lineno, read) for read in reads), key=lambda j: _ORDER[j[0]])
    severity, _, worst = judged[0]
    title = f"`{name}` is used before it is defined" if worst.later is not None else f"`{name}` is defined nowhere"
    if worst.grown:
        title = f"`{name}` is added to, and the function never gives it a value"
    return Hit(
        [module.site(read.node) for _, _, read in judged],
        severity=severity,
        confidence="high" if worst.certain else "medium",
        title=title,
        why=_WHY[severity],
        anchor=f"{module.path}\0{name}",
    )


def _is_python2(module: Module, item: Import) -> bool:
    """Whether a module of Python 2's library is imported, and nothing stands ready where it is not there."""
    return item.top in _PYTHON2_MODULES and not (item.guarded or item.tests)


_PYTHON2_MODULES = frozenset(
    "StringIO cStringIO urllib2 urlparse ConfigParser Queue cPickle HTMLParser Tkinter httplib __builtin__".split()
)
_ORDER: dict[SeverityName, int] = {CRITICAL: 0, MEDIUM: 1}
_WHY: dict[SeverityName, str] = {
    CRITICAL: "Python raises NameError as soon as an entry point gets to this line.",
    MEDIUM: "Python raises NameError when this code is called; no call of it from an entry point was found.",
}


def _severity(repo: Repo, read: Undefined) -> SeverityName:
    closures = [_run(repo), declared(repo)]
    place = _evaluated_with(read)
    covered = any(closure.covers(read.module, place) for closure in closures) and not _is_idle(repo, read)
    return CRITICAL if covered or _is_registered(read.module.scope_of(read.node)) else MEDIUM


def _is_idle(repo: Repo, read: Undefined) -> bool:
    """Whether the name stands in a method of a class without bases, and nothing in the repository names the method."""
    function = read.module.scope_of(read.node)
    owner = read.module.classes.get(function.class_name or "") if function is not None else None
    if function is None or owner is None or owner.decorator_list or function.node.decorator_list:
        return False
    if any(ast.unparse(base) != "object" for base in owner.bases):
        return False
    name = function.node.name
    if name.startswith("__"):
        return False
    return _named(repo, name) == 1


def _named(repo: Repo, name: str) -> int:
    """How often a name stands in the files with code, its definition counted."""
    word = re.compile(rf"\b{re.escape(name)}\b".encode())
    return sum(len(word.findall(module.file.data)) for module in repo.modules)


def _run(repo: Repo) -> Closure:
    """What training and serving reach, without functions that only look like an entry point and that nothing calls."""
    from ml_engineer.assessment.callgraph import closure_of

    kept: dict[str, Closure] = repo.kept("undefined_run")
    if "all" not in kept:
        entries = worked(repo).entries
        kept["all"] = closure_of(
            repo, [e for e in entries if e.unit is None or e.kind == "serve" or _is_started(repo, e.unit)]
        )
    return kept["all"]


def _is_started(repo: Repo, function: Function) -> bool:
    """Whether something besides its definition leads to it: a decorator, its name elsewhere, `tf.app.run()`."""
    if function.node.decorator_list:
        return True
    if function.node.name == "main" and function.module.main_guard is not None:
        return True
    return _named(repo, function.node.name) > 1


def _evaluated_with(read: Undefined) -> ast.AST:
    """What Python runs when it reads the name: annotations, defaults and decorators are read with the definition."""
    inside: ast.AST = read.node
    for parent in read.module.ancestors(read.node):
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            return parent if inside not in parent.body else read.node
        inside = parent
    return read.node


def _is_registered(function: Function | None) -> bool:
    """Whether a decorator hands the function to a command line or a scheduler."""
    if function is None:
        return False
    names = [function.module.resolve(getattr(d, "func", d)) for d in function.node.decorator_list]
    return any(name.split(".")[0] in (*SCHEDULERS, "click", "typer") for name in names)
