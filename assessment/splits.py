"""Where data is divided for training and judging, and which half an expression holds.

A `Split` is a call of a library (train_test_split, a fold's split, cross_val_score, random_split, Dataset's own method)
or a hand-made one: two slices at the same place, a random mask and its opposite, a sample and the rest. `half` walks
back from an expression to the nearest split and says `train`, `test`, `valid` or nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from ml_engineer.assessment.dataflow import Step, root, sources
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.module import Binding, Call, Function, Module
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

Kind = Literal["split", "folds", "cross-validation", "torch", "datasets", "hand"]
Half = Literal["train", "test", "valid"]

_FOLDS = re.compile(r"(sklearn|dask_ml|cuml)\.(model_selection|cross_validation)\.\w*(Fold|Split|Out)\(\)\.split")
_PASSES_ON = re.compile(r"(^|\.)(list|tuple|tqdm\w*|track|progress_?bar|auto)$")  # an iteration that is only shown
_CROSS = re.compile(r"sklearn\.(model_selection|cross_validation)\.cross_(val_score|val_predict|validate)")
_TORCH = frozenset({"torch.utils.data.random_split", "torch.utils.data.dataset.random_split"})
_LOADED_PAIRS = re.compile(r"(tensorflow\.)?keras\.datasets\.\w+\.load_data\(\)|.*\bload_data\(\)")
_NAME_TEST = re.compile(r"(^|_)(test|tst|holdout|hold_out)(_|$)|^(x|y)_?te$|^test(set|loader|data|_?ds)$", re.I)
_CAMEL_TEST = re.compile(r"^test(?=[A-Z])|(?<=[a-z])Test(?=[A-Z]|$)")
_NAME_VALID = re.compile(
    r"(^|_)(vali?|valid|validation|dev|eval)(_|$)|^(vali?|valid)(set|loader|data|_?ds)$|^x_?va?l?$", re.I
)
_NAME_TRAIN = re.compile(r"(^|_)(train|training|trn)(_|$)|^(x|y)_?tr$|^train(set|loader|data|_?ds)$", re.I)
_RANDOM = ("numpy.random.", "random.", "sklearn.utils.shuffle", "torch.randperm")


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """A division of data. `inputs` is what is divided; `train` and `test` are the halves of a hand-made one."""

    kind: Kind
    module: Module
    node: ast.expr
    inputs: tuple[ast.expr, ...]
    shuffled: bool
    train: ast.expr | None = None
    test: ast.expr | None = None

    def site(self, note: str | None = None) -> Site:
        return self.module.site(self.node, note=note)

    @property
    def scope(self) -> Function | None:
        return self.module.scope_of(self.node)


def find_splits(repo: Repo) -> list[Split]:
    """Every split outside test files, by path and place. Computed once for a repository."""
    found: list[Split] | None = repo.__dict__.get("_splits")
    if found is None:
        found = [s for m in repo.modules if "test" not in m.file.roles for s in _in_module(m)]
        repo.__dict__["_splits"] = found
    return found


def _in_module(module: Module) -> list[Split]:
    found = [split for call in module.calls if (split := _called(call)) is not None]
    data = module.file.data
    if b"train" in data and any(word in data for word in (b"test", b"val", b"dev", b"hold")):
        found.extend(_by_hand(module))
    return sorted(found, key=lambda split: (split.node.lineno, split.node.col_offset))


def _called(call: Call) -> Split | None:
    name, node = call.name, call.node
    positional = tuple(a for a in node.args if not isinstance(a, ast.Starred))
    if name.endswith("train_test_split"):
        if name.startswith(("sklearn.", "cuml.", "dask_ml.")) or "." not in name:
            return Split("split", call.module, node, positional, _literal(call, "shuffle") is not False)
        if isinstance(node.func, ast.Attribute) and not positional[1:]:
            return Split("datasets", call.module, node, (node.func.value,), _literal(call, "shuffle") is not False)
        return None
    if name.endswith(".randomSplit") and isinstance(node.func, ast.Attribute):
        return Split("split", call.module, node, (node.func.value,), True)
    if _FOLDS.match(name):
        random = "Shuffle" in name or _fold_shuffles(call)
        data = tuple(a for a in (call.argument(0, "X"), call.argument(1, "y")) if a is not None)
        return Split("folds", call.module, node, data, random)
    if _CROSS.match(name):
        data = tuple(a for a in (call.argument(1, "X"), call.argument(2, "y")) if a is not None)
        return Split("cross-validation", call.module, node, data, False)
    if name in _TORCH:
        return Split("torch", call.module, node, positional[:1], True)
    return None


def _literal(call: Call, keyword: str) -> object:
    return call.module.literal(call.keyword(keyword))


def _fold_shuffles(call: Call) -> bool:
    made = call.module.value(call.node.func.value) if isinstance(call.node.func, ast.Attribute) else None
    return isinstance(made, ast.Call) and call.module.literal(_keyword(made, "shuffle")) is True


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


# --- by hand ----------------------------------------------------------------------------------------------------------


def _by_hand(module: Module) -> Iterator[Split]:
    """Two complementary parts of one value: x[:n] and x[n:], x[mask] and x[~mask], a sample and the rest."""
    firsts: dict[tuple[str, str, str], list[ast.Subscript]] = {}
    seconds: list[tuple[tuple[str, str, str], ast.Subscript]] = []
    for node in module.nodes(ast.Subscript):
        if not isinstance(node.ctx, ast.Load):
            continue
        scope = module.scope_of(node)
        where = (scope.qualname if scope else "", ast.dump(_frame(node.value)))
        match _rows(node):
            case ast.Slice(lower=None, upper=ast.expr() as cut, step=None):
                firsts.setdefault((*where, ast.dump(cut)), []).append(node)
            case ast.Slice(lower=ast.expr() as cut, upper=None, step=None):
                seconds.append(((*where, ast.dump(cut)), node))
            case ast.UnaryOp(op=ast.Invert(), operand=mask):
                seconds.append(((*where, ast.dump(mask)), node))
            case ast.Name() as mask:
                firsts.setdefault((*where, ast.dump(mask)), []).append(node)
    for key, second in seconds:
        for first in firsts.get(key, []):
            split = _pair(module, first, second)
            if split is not None:
                yield split
                break
    yield from _sampled(module)
    yield from _cut(module)


def _cut(module: Module) -> Iterator[Split]:
    """`train, valid, test = np.split(rows, [a, b])`."""
    for call in module.calls:
        statement = module.statement_of(call.node) if call.name in ("numpy.split", "numpy.array_split") else None
        if not isinstance(statement, ast.Assign) or statement.value is not call.node or not call.node.args:
            continue
        target = statement.targets[0]
        names = [item.id for item in target.elts if isinstance(item, ast.Name)] if isinstance(target, ast.Tuple) else []
        if any(_looks_divided(first, second) for first, second in pairwise(names)):
            start = root(call.node.args[0])
            shuffled = start is not None and _is_shuffled(module, start)
            sampled = ".sample" in ast.unparse(call.node.args[0])
            yield Split("hand", module, call.node, (call.node.args[0],), shuffled or sampled)


def _frame(node: ast.expr) -> ast.expr:
    """The thing whose rows are taken: `df` in `df.iloc[…]` and `df.loc[…]`."""
    return node.value if isinstance(node, ast.Attribute) and node.attr in ("iloc", "loc", "values") else node


def _rows(node: ast.Subscript) -> ast.expr:
    return node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice


def _pair(module: Module, first: ast.Subscript, second: ast.Subscript) -> Split | None:
    names = [_bound_name(module, node) for node in (first, second)]
    if not _looks_divided(names[0], names[1]) and not _given_apart(module, first, second):
        return None
    frame, rows = _frame(first.value), _rows(first)
    if isinstance(rows, ast.Name):  # a mask: only a random one divides for training
        if not any(part in ast.unparse(module.value(rows) or rows) for part in ("rand", "Random")):
            return None
        return Split("hand", module, first, (frame,), True, first, second)
    start = root(frame)
    shuffled = start is not None and _is_shuffled(module, start)
    inputs: tuple[ast.expr, ...] = (frame,)
    if start is not None and any(p in module.resolve(start) for p in ("permutation", "randperm", "range")):
        inputs = tuple(_taken_by(module, start)) or inputs
    return Split("hand", module, first, inputs, shuffled, first, second)


def _given_apart(module: Module, first: ast.expr, second: ast.expr) -> bool:
    """`def time_split(df): … return df[:n], df[n:]`: a function that says in its name that it divides."""
    scope, statement = module.scope_of(first), module.statement_of(first)
    divides = scope is not None and "split" in scope.node.name.lower()
    return divides and isinstance(statement, ast.Return) and module.statement_of(second) is statement


def _looks_divided(first: str, second: str) -> bool:
    """Names tell a division for training from any other pair of slices."""
    judged = _NAME_TEST.search(second) or _NAME_VALID.search(second)
    trained = _NAME_TRAIN.search(first)
    turned = (_NAME_TEST.search(first) or _NAME_VALID.search(first)) and _NAME_TRAIN.search(second)
    return bool((trained and judged) or turned)


def _bound_name(module: Module, node: ast.expr) -> str:
    """The name (or attribute) that a value is assigned to."""
    statement = module.statement_of(node)
    if not isinstance(statement, ast.Assign):
        return ""
    target = statement.targets[0]
    if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
        for item, value in zip(target.elts, statement.value.elts, strict=False):
            if any(n is node for n in walk(value)):
                target = item
    return target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""


def _is_shuffled(module: Module, name: ast.Name) -> bool:
    scope = module.scope_of(name)
    for bound in module.bindings_of(name.id, scope):
        if bound.position <= (name.lineno, name.col_offset) and bound.value is not None:
            text = module.raw(bound.value)
            if any(text.startswith(part) for part in _RANDOM) or ".sample()" in text:
                return True
    for call in module.calls:
        if call.scope is scope and call.node.lineno <= name.lineno and "shuffle" in call.name and call.node.args:
            start = root(call.node.args[0])
            if start is not None and start.id == name.id:
                return True
    return False


def _taken_by(module: Module, index: ast.Name) -> Iterator[ast.expr]:
    """The frames whose rows are taken by an index, or by a part of it that has a name of its own."""
    scope = module.scope_of(index)
    for node in walk(scope.node if scope else module.tree):
        if isinstance(node, ast.Subscript) and isinstance(_rows(node), ast.Name | ast.Subscript):
            rows = _rows(node)
            start = root(rows)
            behind = root(module.value(start)) if start is not None else None
            if index.id in {start.id if start else "", behind.id if behind else ""}:
                frame = _frame(node.value)
                if not (isinstance(frame, ast.Name) and frame.id == index.id):
                    yield frame


def _sampled(module: Module) -> Iterator[Split]:
    """`train = df.sample(frac=0.8)` with `test = df.drop(train.index)`."""
    for call in module.calls:
        if not (call.name.endswith(".drop") and call.node.args and isinstance(call.node.func, ast.Attribute)):
            continue
        dropped = call.node.args[0]
        if not (isinstance(dropped, ast.Attribute) and dropped.attr == "index" and isinstance(dropped.value, ast.Name)):
            continue
        sample = module.value(dropped.value)
        if isinstance(sample, ast.Call) and module.raw(sample.func).endswith(".sample"):
            frame = sample.func.value if isinstance(sample.func, ast.Attribute) else sample
            if ast.dump(frame) == ast.dump(call.node.func.value):
                yield Split("hand", module, sample, (frame,), True, sample, call.node)


# --- halves -----------------------------------------------------------------------------------------------------------


def half(repo: Repo, module: Module, node: ast.expr | None) -> Half | None:
    """Which half an expression holds, by the nearest split behind it; by its name where no split is seen."""
    if node is None:
        return None
    hands = _hand_halves(repo)
    for step in sources(repo, module, node, lambda step: not _is_split_call(step)):
        role = hands.get(step.node) or _half_of_step(repo, step)
        if role is not None:
            return "valid" if role == "test" and _says_valid(module, node) else role
    return half_by_name(node)


def is_held_out_fold(repo: Repo, module: Module, node: ast.expr) -> bool:
    """Whether an expression holds the rows that a fold keeps out of its own training."""
    hands = _hand_halves(repo)
    for step in sources(repo, module, node, lambda step: not _is_split_call(step)):
        if isinstance(step.node, ast.Subscript) and step.node not in hands:
            rows = _rows(step.node)
            bound = step.module.binding(rows) if isinstance(rows, ast.Name) else None
            if bound is not None and _half_of_fold(step.module, bound) == "valid":
                return True
    return False


def _hand_halves(repo: Repo) -> dict[ast.expr, Half]:
    halves: dict[ast.expr, Half] | None = repo.__dict__.get("_hand_halves")
    if halves is None:
        halves = {part: role for split in find_splits(repo) for part, role in _parts(split)}
        repo.__dict__["_hand_halves"] = halves
    return halves


def half_by_name(node: ast.expr) -> Half | None:
    """What the name of an expression says of its half."""
    start = root(node)
    text = ""
    if isinstance(node, ast.Attribute) and start is not None and start.id == "self":
        text = node.attr
    elif start is not None:
        text = start.id
    if _NAME_VALID.search(text):
        return "valid"
    if _NAME_TEST.search(text) or _CAMEL_TEST.search(text):
        return "test"
    return "train" if _NAME_TRAIN.search(text) else None


def _says_valid(module: Module, node: ast.expr) -> bool:
    start = root(node)
    return start is not None and bool(_NAME_VALID.search(start.id))


def _parts(split: Split) -> Iterator[tuple[ast.expr, Half]]:
    if split.train is not None and split.test is not None:
        turned = _NAME_TRAIN.search(_bound_name(split.module, split.test))
        yield split.train, "test" if turned else "train"
        yield split.test, "train" if turned else "test"


def _is_split_call(step: Step) -> bool:
    return bool(step.name.endswith(("train_test_split", ".randomSplit")) or step.name in _TORCH)


def _half_of_step(repo: Repo, step: Step) -> Half | None:
    if isinstance(step.node, ast.Subscript):
        rows = _rows(step.node)
        bound = step.module.binding(rows) if isinstance(rows, ast.Name) else None
        if bound is not None:
            return _half_of_fold(step.module, bound)
        if isinstance(rows, ast.Constant) and rows.value in ("train", "test", "validation"):
            return "valid" if rows.value == "validation" else "train" if rows.value == "train" else "test"
        return None
    first = re.match(r"\[(\d+)\]", step.suffix)
    if first is None or not step.name:
        return None
    number = int(first[1])
    if step.name.endswith("train_test_split") and step.name != "?":
        return "test" if number % 2 else "train"
    if step.name in _TORCH or step.name.endswith(".randomSplit"):
        return ("train", "test", "test")[number] if number < 3 else None
    if _LOADED_PAIRS.fullmatch(f"{step.name}()") and re.match(r"\[\d\]\[\d\]", step.suffix):
        return "test" if number else "train"
    return None


def _half_of_fold(module: Module, bound: Binding) -> Half | None:
    """`for train, test in folds.split(X)`: an index of rows. Every row is held out once, so none of it is the test."""
    call, offset = module.value(bound.value), r"\[\]"
    while isinstance(call, ast.Call):
        name = module.raw(call.func)
        if _FOLDS.match(name):
            found = re.fullmatch(offset + r"\[(\d)\]", bound.suffix)
            return ("valid" if found[1] == "1" else "train") if found else None
        if name == "enumerate":
            offset += r"\[1\]"
        elif not _PASSES_ON.search(name):
            return None
        call = module.value(call.args[0]) if call.args else None
    return None
