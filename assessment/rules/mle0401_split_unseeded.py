"""M4-01: a random split that comes out differently each time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.splits import Split

_SPLITTERS = re.compile(
    r"(sklearn|cuml|dask_ml)\.(model_selection|cross_validation)\.(train_test_split|\w*ShuffleSplit)"
)
_FOLDS = re.compile(r"sklearn\.(model_selection|cross_validation)\.(\w*KFold)")
_NUMPY_SEED = (
    "numpy.random.seed",
    "random.seed",
    "*set_seed",
    "*seed_everything",
    "*seed_all",
    "*set_random_seed",
    "*fix_seed*",
)


def _has_split(repo: Repo) -> bool:
    from ml_engineer.assessment.splits import find_splits

    return bool(find_splits(repo)) or any(_kind(call) for module in repo.modules for call in module.calls)


@rule(
    id="MLE0401",
    name="split-unseeded",
    step=4,
    severity=MEDIUM,
    title="Random split without a seed",
    why="Every run judges the model on other rows, so two runs cannot be compared and a result cannot be repeated.",
    remedy="Pass a fixed seed (random_state=, seed=), or store the split itself.",
    source="Zhang et al., code smells for ML (2022); Sonar S6709",
    applies=_has_split,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.callgraph import callees
    from ml_engineer.assessment.splits import find_splits

    strong: dict[str, list[Site]] = {}
    weak: dict[str, list[Site]] = {}
    for module in repo.modules:
        if "test" in module.file.roles:
            continue
        for call in module.calls:
            kind = _kind(call)
            if kind is None or _is_seeded(call, kind):
                continue
            if kind == "datasets" and next(callees(repo, call.name), None) is not None:
                continue  # a method of one's own of that name is judged where it splits
            seeded = kind != "spark" and _seeded_globally(repo, call)  # Spark draws on its own
            (weak if seeded else strong).setdefault(module.path, []).append(call.site())
    for split in find_splits(repo):
        draw = _unseeded_draw(split)
        if draw is not None and not _seeded_globally(repo, draw):
            strong.setdefault(split.module.path, []).extend((draw.site(), split.site()))
    for sites in strong.values():
        yield Hit(list(dict.fromkeys(sites)))
    for sites in weak.values():
        yield Hit(
            sites,
            severity=LOW,
            title="Random split relies on a global seed",
            why="It repeats only as long as nothing before it draws another random number.",
        )


def _unseeded_draw(split: Split) -> Call | None:
    """The call that mixes the rows of a division made by hand, where it takes no seed."""
    module = split.module
    if split.kind == "folds" and split.inputs:
        return _unseeded_sample(module, split)
    if split.kind != "hand" or not split.shuffled:
        return None
    for call in module.calls:
        if call.scope is not split.scope or call.node.lineno > split.node.lineno:
            continue
        if re.fullmatch(r"(numpy\.random|random)\.(shuffle|permutation|sample|choice)", call.name):
            return call
        if call.name.endswith(".sample") and call.keyword("frac") is not None and call.keyword("random_state") is None:
            return call
    return None


def _unseeded_sample(module: Module, split: Split) -> Call | None:
    """`df = df.sample(frac=1)` without a seed, where folds are made of the rows of `df` after it."""
    from ml_engineer.assessment.dataflow import root

    start = root(split.inputs[0])
    for bound in module.bindings_of(start.id, split.scope) if start is not None else ():
        value = bound.value
        while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            if value.func.attr == "sample" and bound.position < (split.node.lineno, 0):
                call = module.call_of(value)
                unseeded = call.keyword("frac") is not None and call.keyword("random_state") is None
                return call if unseeded else None
            value = value.func.value
    return None


def _kind(call: Call) -> str | None:
    """What splits at random here: sklearn, datasets or spark; None where nothing is drawn. Torch is MLE0402's."""
    name, module = call.name, call.module
    if _SPLITTERS.fullmatch(name):
        return None if module.literal(call.keyword("shuffle")) is False else "sklearn"
    if _FOLDS.fullmatch(name):
        return "sklearn" if "Repeated" in name or module.literal(call.argument(1, "shuffle")) is True else None
    if name.startswith("torchtext.") and name.endswith(".split"):
        return "sklearn"
    if name.endswith(".randomSplit") and isinstance(call.node.func, ast.Attribute):
        return "spark"
    if (
        name.endswith(".train_test_split")
        and isinstance(call.node.func, ast.Attribute)
        and not name.startswith("sklearn")
    ):
        named = {k.arg for k in call.node.keywords}
        if "test_size" in named or "train_size" in named or len(call.node.args) == 1:
            return None if module.literal(call.keyword("shuffle")) is False else "datasets"
    return None


def _is_seeded(call: Call, kind: str) -> bool:
    if call.has_unpacked_keywords:
        return True
    names = ("random_state",) if kind == "sklearn" else ("seed", "generator", "random_state")
    given = next((call.keyword(name) for name in names if call.keyword(name) is not None), None)
    if kind == "spark":
        given = call.argument(1, "seed")
    return given is not None and not (isinstance(given, ast.Constant) and given.value is None)


def _seeded_globally(repo: Repo, call: Call) -> bool:
    """Whether the generator that the split draws from is seeded in a program that reaches it."""
    from ml_engineer.assessment.learning import entry_closure
    from ml_engineer.assessment.repo import matches

    if any(matches(name, *_NUMPY_SEED) for name in call.module.call_names):
        return True
    reached = False
    for entry in repo.entries:
        closure = entry_closure(repo, entry)
        if call.module in closure.modules:
            reached = True
            if next(closure.calls(*_NUMPY_SEED), None) is not None:
                return True
    if reached or call.scope is None or call.scope.class_name is None:
        return False
    # A class that a program makes by its name in a configuration: no call leads here, and the program's seed counts.
    return next(repo.calls("*seed_everything", "*set_seed", tests=False), None) is not None
