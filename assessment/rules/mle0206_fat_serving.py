"""M2-06: the service imports packages that only training and exploring need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import serving
from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_TRAINING_ONLY = frozenset(
    "matplotlib seaborn jupyter notebook IPython ipywidgets tensorboard tensorboardX bokeh pandas_profiling "
    "ydata_profiling sweetviz optuna hyperopt".split()
)


def _serves(repo: Repo) -> bool:
    return bool(serving.web_handlers(repo))


@rule(
    id="MLE0206",
    name="fat-serving",
    step=2,
    severity=LOW,
    title="The service imports packages that only training needs",
    why="They make the image larger and the start slower, and each brings known vulnerabilities of its own.",
    remedy="Move plotting and exploring into modules that the service does not import, and split the requirements.",
    source="Hidden Technical Debt",
    applies=_serves,
)
def check(repo: Repo) -> Iterator[Hit]:
    closure = repo.closure("serve")
    handled = {function for handler in serving.handlers(repo) for function in handler.functions}
    used = {
        call.name.split(".")[0] for function in handled for call in function.module.calls_by_scope.get(function, [])
    }
    sites: list[Site] = []
    names: list[str] = []
    for module in sorted(closure.bodies, key=lambda m: m.path):
        if module.is_notebook or module in closure.started:  # an interface's own script may draw
            continue
        for item in module.imports:
            guarded = item.guarded or module.scope_of(item.node) is not None or item.top in used
            if item.top in _TRAINING_ONLY and not guarded and closure.covers(module, item.node):
                sites.append(module.site(item.node))
                names.append(item.top)
    if sites:
        shown = ", ".join(dict.fromkeys(names))
        yield Hit(sites, title=f"The service imports {shown}, which only training needs", anchor="serve")
