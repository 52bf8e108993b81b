"""M1-17: the figure of quality is computed on the rows of the training."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.callgraph import Closure
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_OF_TRAINING = re.compile(r"^train(ing)?[ _-]?(r2|mse|rmse|mae|acc(uracy)?|score|f1|auc|loss|error)\b", re.I)
# Keywords that change how rows are shown, not which rows they are.
_SAME_ROWS = frozenset({
    "transform", "target_transform", "shuffle", "batch_size", "num_workers", "augment", "pin_memory", "drop_last",
    "collate_fn", "persistent_workers", "is_train", "is_training", "transforms",
})  # fmt: skip


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import trainings

    return bool(trainings(repo))


@rule(
    id="MLE0117",
    name="eval-on-train",
    step=1,
    severity=HIGH,
    title="The model is judged on its training rows",
    why="A score on rows that the model has seen says how well it remembers, not how well it predicts.",
    remedy="Judge on rows kept out of training: a split made once and stored, or a test file of its own.",
    source="Yang et al., data leakage in notebooks (ASE 2022); ML Test Score, Infrastructure 4",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.judging import training_scores
    from ml_engineer.assessment.published import is_for_callers
    from ml_engineer.assessment.splits import find_splits

    divided = {split.module for split in find_splits(repo)}
    for module in repo.modules:
        if "test" in module.file.roles:
            continue
        if module not in divided or _leaves_test_half(repo, module):
            scores = training_scores(repo, module)
            scores = [s for s in scores if not _in_own_fit(s.score) and not is_for_callers(repo, s.score.scope)]
            if scores and not _says_so(repo, module):
                yield Hit([*(s.score.site() for s in scores), scores[0].fit.site("fitted on the same rows")])
        yield from _same_loader(module)
        yield from _watched_on_train(module)
    yield from _same_files(repo)


def _says_so(repo: Repo, module: Module) -> bool:
    """Whether the figures are recorded as those of the training rows, and another program here judges the model."""
    named = (n.value for n in module.nodes(ast.Constant) if isinstance(n.value, str))
    if not any(_OF_TRAINING.search(text) for text in named):
        return False
    return any(entry.kind == "evaluate" and entry.module is not module for entry in repo.entries)


def _in_own_fit(score: Call) -> bool:
    """Whether the figure is part of what an estimator learns: it is worked out in a class's own `fit`."""
    scope = score.scope
    return scope is not None and scope.class_name is not None and scope.node.name == "fit"


def _leaves_test_half(repo: Repo, module: Module) -> bool:
    """Whether the halves for testing are made and then only looked at, counted or written to a file."""
    from ml_engineer.assessment.splits import find_splits, half_by_name

    held: set[str] = set()
    for split in find_splits(repo):
        if split.module is module:
            statement = module.statement_of(split.node)
            if split.kind != "split" or not isinstance(statement, ast.Assign):
                return False
            names = {n.id for n in walk(statement.targets[0]) if isinstance(n, ast.Name)}
            held |= {n for n in names if half_by_name(ast.Name(n)) in ("test", "valid")}
    reads = [n for n in module.nodes(ast.Name) if n.id in held and isinstance(n.ctx, ast.Load)]
    return bool(held) and all(_is_look(module, node) for node in reads)


def _is_look(module: Module, node: ast.Name) -> bool:
    parent = next(iter(module.ancestors(node)), None)
    if isinstance(parent, ast.Attribute):
        return parent.attr in ("shape", "columns", "size", "to_csv", "head", "info", "describe")
    return isinstance(parent, ast.Call) and module.resolve(parent.func) in ("len", "print")


def _watched_on_train(module: Module) -> Iterator[Hit]:
    """fit(X, y, validation_data=(X, y))"""
    from ml_engineer.assessment.dataflow import same_value

    for call in module.calls:
        watched = call.keyword("validation_data")
        if watched is None or not call.name.endswith((".fit", ".fit_generator")) or not call.node.args:
            continue
        watched = module.value(watched) or watched
        first = watched.elts[0] if isinstance(watched, ast.Tuple) and watched.elts else watched
        if same_value(module, first, call.node.args[0]):
            yield Hit([call.site()], title="The validation data is the training data")


def _same_loader(module: Module) -> Iterator[Hit]:
    """`train_set = Data("train")` and `test_set = Data("train")`: two names, the same rows."""
    from ml_engineer.assessment.splits import half_by_name

    data = module.file.data
    if not any(word in data for word in (b"Data", b"Folder", b"Loader", b"read_csv", b"from_directory")):
        return
    sampled = _sampled(module)
    made: dict[tuple[object, str], list[tuple[str, ast.Call]]] = {}
    for node in module.nodes(ast.Assign):
        match node:
            case ast.Assign(targets=[ast.Name() as target], value=ast.Call() as call):
                role = half_by_name(target)
                if target.id in sampled:
                    continue  # the same folder twice, each with its own transforms; a sampler takes the rows apart
                name = module.resolve(call.func)
                if role != "train" and "train" in target.id.lower():
                    continue  # a look at the training rows beside the test
                if role == "train" and _is_one_way(module, node, target.id):
                    continue  # `if quick: train = Data("test")`: a trial run
                if role is not None and call.args + call.keywords and _makes_rows(name):
                    made.setdefault((module.scope_of(node), name + _rows_of(module, call)), []).append((role, call))
    for found in made.values():
        trained = [call for role, call in found if role == "train"]
        judged = [call for role, call in found if role in ("test", "valid")]
        if trained and judged:
            yield Hit(
                [module.site(judged[0]), module.site(trained[0], note="the training rows")],
                title="The test data is built from the training data",
            )


def _is_one_way(module: Module, node: ast.Assign, name: str) -> bool:
    """Whether the other branch of an `if` gives the name something else."""
    for outer in module.ancestors(node):
        if isinstance(outer, ast.If):
            other = outer.orelse if any(node in walk(part) for part in outer.body) else outer.body
            given = [n for part in other for n in walk(part) if isinstance(n, ast.Assign)]
            if any(ast.unparse(n.targets[0]) == name and ast.dump(n.value) != ast.dump(node.value) for n in given):
                return True
    return False


def _sampled(module: Module) -> set[str]:
    """Names of data sets that a sampler or `Subset` takes some rows of."""
    named = set()
    for call in module.calls:
        rows = call.argument(0, "dataset")
        some = any(call.keyword(word) is not None for word in ("sampler", "batch_sampler"))
        if isinstance(rows, ast.Name) and (some or call.name.endswith("Subset")):
            named.add(rows.id)
    return named


def _makes_rows(name: str) -> bool:
    return (
        name.rpartition(".")[2]
        .removesuffix("()")
        .endswith(
            (
                "Dataset",
                "DataLoader",
                "Folder",
                "flow_from_directory",
                "image_dataset_from_directory",
                "read_csv",
                "Loader",
            )
        )
    )


def _rows_of(module: Module, call: ast.Call) -> str:
    """What says which rows a call gives, as text."""
    values = [*call.args, *(k.value for k in call.keywords if k.arg not in _SAME_ROWS)]
    parts = [k.arg or "**" for k in call.keywords if k.arg not in _SAME_ROWS]
    for value in values[: len(call.args)][1:]:
        if isinstance(value, ast.Name) and "transform" in value.id:
            values.remove(value)
    for value in values:
        bound = module.binding(value) if isinstance(value, ast.Name) else None
        parts.append(ast.unparse(value) + (f"@{bound.position}" if bound is not None else ""))
    return "|".join(parts)


def _same_files(repo: Repo) -> Iterator[Hit]:
    """A program that only evaluates reads what a program that trains reads, and neither sets rows apart for it."""
    from ml_engineer.assessment.learning import LOADERS, entry_closure, train_entries, trainings
    from ml_engineer.assessment.splits import find_splits

    divided = {split.module for split in find_splits(repo)}
    fitted = {call.module for call in trainings(repo)}
    trained: dict[tuple[str, frozenset[str], frozenset[str]], Call] = {}
    for entry in train_entries(repo):
        for call, paths in _data(repo, entry_closure(repo, entry)):
            trained.setdefault((call.name, paths, _part(call)), call)
    seen: set[Module] = set()
    for entry in repo.entries:
        if entry.kind != "evaluate" or entry.module in seen or entry.module in fitted:
            continue
        seen.add(entry.module)
        closure = entry_closure(repo, entry)
        if any(module in divided for module in closure.modules) or next(closure.calls(*LOADERS), None) is None:
            continue
        if any(_is_held_out(path) for _, paths in _reads(repo, closure) for path in paths):
            continue  # the training rows stand beside the held-out ones
        for call, paths in _data(repo, closure):
            known = trained.get((call.name, paths, _part(call)))
            if known is not None and known.module is not call.module:
                yield Hit(
                    [call.site(), known.site("training reads the same")],
                    title="Evaluation reads the same files as training",
                    confidence="medium",
                )
                break


def _data(repo: Repo, closure: Closure) -> Iterator[tuple[Call, frozenset[str]]]:
    """Reads of data files with their literal paths; files that are named as held out are left aside."""
    for call, paths in _reads(repo, closure):
        # what follows a folder that is not known, as in f"{folder}/train.csv", may be any folder's file
        if any(path.startswith("/") and path.count("/") == 1 for path in paths):
            continue
        if not any(_is_held_out(path) for path in paths):
            yield call, paths


def _part(call: Call) -> frozenset[str]:
    """Literals that may say which part of the files a data set gives: `Data(folder, split="test")`."""
    given = [*call.node.args[1:], *(k.value for k in call.node.keywords if k.arg not in _SAME_ROWS)]
    values = (call.module.literal(node) for node in given)
    return frozenset(repr(value) for value in values if isinstance(value, str | bool))


def _is_held_out(path: str) -> bool:
    return any(word in path.lower() for word in ("test", "val", "eval", "dev"))


def _reads(repo: Repo, closure: Closure) -> Iterator[tuple[Call, frozenset[str]]]:
    from ml_engineer.assessment.judging import READERS, read_paths
    from ml_engineer.assessment.repo import matches

    for module in sorted(closure.modules, key=lambda m: m.path):
        for call in module.calls:
            reads = matches(call.name, *READERS) and not call.name.endswith((".load", "open"))
            if not (reads or call.name.rpartition(".")[2].endswith("Dataset")) or not call.node.args:
                continue
            if closure.covers(module, call.node) and (paths := read_paths(repo, module, call.node.args[0])):
                yield call, frozenset(paths)
