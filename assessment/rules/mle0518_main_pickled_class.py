"""M5-18: a class of the script itself goes into the pickle, as `__main__.Name`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.dataflow import Step
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_DUMPS = {"pickle.dump": 0, "pickle.dumps": 0, "joblib.dump": 0, "sklearn.externals.joblib.dump": 0, "torch.save": 0}
_DATA = (
    ".state_dict", ".named_parameters", ".parameters", ".named_buffers", ".get_weights", ".predict", ".transform",
    ".fit_transform", ".to_dict", ".tolist", ".score", ".apply", ".map", ".applymap", "xgboost.train", "lightgbm.train",
)  # fmt: skip
_LOADS = ("pickle.load", "joblib.load", "torch.load", "pandas.read_pickle", "dill.load")


def _dumps_something(repo: Repo) -> bool:
    return any(True for _ in repo.calls(*_DUMPS, tests=False))


@rule(
    id="MLE0518",
    name="main-pickled-class",
    step=5,
    severity=HIGH,
    title="A class of the training script is pickled as __main__",
    why="The server's __main__ is another program: loading fails with \"Can't get attribute\".",
    remedy="Move the class or function into a module that both the training and the serving code import.",
    source="Python documentation, what can be pickled",
    applies=_dumps_something,
)
def check(repo: Repo) -> Iterator[Hit]:
    started = repo.closure("train", "evaluate", "predict").started
    for call in repo.calls(*_DUMPS, tests=False):
        module = call.module
        as_main = module.is_notebook or (module in started and not _is_imported(repo, module))
        if not as_main or not call.node.args:
            continue
        for name, node in _own_parts(repo, call):
            loaded = any(c.module is not module for c in repo.calls(*_LOADS, tests=False))
            definition: Site = module.site(node, note="defined in the script")
            yield Hit(
                [call.site(), definition],
                severity=HIGH if loaded else MEDIUM,
                title=f"{name} is defined in the script that pickles it, so the pickle says __main__.{name}",
                anchor=f"{module.path} {name}",
            )


def _is_imported(repo: Repo, module: Module) -> bool:
    """Whether another module imports this one, so that its classes have a name of their own there."""
    for other in repo.modules:
        if other is not module:
            for item in other.imports:
                found = repo.local(other, item.target)
                if found is not None and found[0] is module:
                    return True
    return False


def _own_parts(repo: Repo, call: Call) -> Iterator[tuple[str, ast.AST]]:
    """Classes and functions of the module that are part of what is dumped, by name."""
    from ml_engineer.assessment.dataflow import sources

    module = call.module
    seen: set[str] = set()
    for step in sources(repo, module, call.node.args[0], lambda step: not _is_data(step)):
        name = step.module.resolve(step.node)
        for made, is_class in ((name.removesuffix("()"), True), (name, False)):
            short = made.removeprefix(f"{module.dotted}.")
            if made == short or short in seen or "." in short:
                continue
            if is_class and name.endswith("()") and short in module.classes:
                seen.add(short)
                yield short, module.classes[short]
            elif not is_class and isinstance(step.node, ast.Name) and short in module.functions:
                seen.add(short)
                yield short, module.functions[short].node


def _is_data(step: Step) -> bool:
    """A value that an object holds (`statistics.mean`) or computes, such as a state dict, has none of its class."""
    part = isinstance(step.node, ast.Attribute) and ast.unparse(step.node.value) not in ("self", "cls")
    return part or step.name.endswith(_DATA)
