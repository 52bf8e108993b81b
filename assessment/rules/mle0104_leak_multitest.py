"""M1-04: the half that is reported also chose the model."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, LOW, MEDIUM, Hit, SeverityName, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Function, Module
    from ml_engineer.assessment.repo import Repo

_STOPPING = re.compile(r"EarlyStopping|early_stopping|ReduceLROnPlateau")
_BEST = re.compile(r"best|max_acc|min_loss|highest|lowest", re.I)
_VALIDATION = re.compile(r"(^|_)(val|valid|validation|dev)(_|$|set|loader)", re.I)
_TEST_FOLDER = re.compile(r"(^|[/\\])test[/\\]", re.I)
_HOLDS_OUT = re.compile(rb"random_split|Subset|train_test_split|KFold|Sampler\(")
_NO_ROWS = re.compile(r"acc|loss|score|metric|auc|f1|err|best|transform|step|epoch|every|interval", re.I)
_JUDGES = ("score", "evaluate", "predict", "predict_proba", "predict_classes")
MAX_LINES = 80  # after a loop over models, in which the best of them is named
_CURVES = ("precision_recall_curve", "roc_curve")
_FINAL = ("evaluate", "score", "predict", "predict_proba", "predict_classes", "predict_generator", "evaluate_generator")


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import trainings

    return bool(trainings(repo))


@rule(
    id="MLE0104",
    name="leak-multitest",
    step=1,
    severity=MEDIUM,
    title="The test half takes part in choosing the model",
    why="A half that stops the training or picks the model is no longer unseen: the figure reported on it is too good.",
    remedy="Keep a third part (or cross-validation) for the choice, and touch the test half once, at the end.",
    source="Yang et al., data leakage in notebooks (ASE 2022)",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.modules:
        if "test" in module.file.roles:
            continue
        yield from _watched(repo, module)
        yield from _stopped_folds(repo, module)
        yield from _searched(repo, module)
        yield from _best_on_test(repo, module)
        yield from _threshold(repo, module)


# --- eval_set and validation_data -------------------------------------------------------------------------------------


def _watched(repo: Repo, module: Module) -> Iterator[Hit]:
    """fit(validation_data=test) and fit(eval_set=[test]), by file; the worst severity first."""
    found: dict[SeverityName, list[Site]] = {}
    for call in module.calls:
        if not call.name.endswith((".fit", ".fit_generator", "xgboost.train", "lightgbm.train")):
            continue
        watched = _watched_part(call)
        if watched is None or not _holds_test(repo, module, watched):
            continue
        if _stops(call):
            severity: SeverityName = HIGH if _reported(call, watched) else MEDIUM
        else:
            severity = LOW
        found.setdefault(severity, []).append(call.site())
    for severity, sites in found.items():
        stopped = severity != LOW
        title = (
            "Training is steered by the test half (early stopping, best epoch or learning rate)" if stopped else None
        )
        yield Hit(sites, severity=severity, title=title or "The test half is watched during training")


def _watched_part(call: Call) -> ast.expr | None:
    names = ("validation_data", "eval_set", "valid_sets", "evals")
    return next((call.keyword(name) for name in names if call.keyword(name) is not None), None)


def _holds_test(repo: Repo, module: Module, node: ast.expr) -> bool:
    """Whether the rows that a fit watches are the test half."""
    from ml_engineer.assessment.splits import half

    rows = _rows_watched(module, node)
    return rows is not None and half(repo, module, rows) == "test"


def _rows_watched(module: Module, node: ast.expr) -> ast.expr | None:
    """The first part of a pair, or of the last pair of a list; what a data set of a booster was made of."""
    from ml_engineer.assessment.learning import packed_rows

    node = module.value(node) or node
    while isinstance(node, ast.List | ast.Tuple) and node.elts:
        several = isinstance(node, ast.List) or packed_rows(module, node.elts[0]) is not None
        last = several and not isinstance(node.elts[0], ast.List)
        node = node.elts[-1] if last else node.elts[0]
    packed = packed_rows(module, node)
    node = packed[0] or node if packed is not None else node
    return node if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call) else None


def _stopped_folds(repo: Repo, module: Module) -> Iterator[Hit]:
    """Folds whose held-out rows stop the training, and are then scored as if they were unseen."""
    from ml_engineer.assessment.learning import metric_calls
    from ml_engineer.assessment.splits import find_splits

    if not any(split.module is module and split.kind == "folds" for split in find_splits(repo)):
        return
    if next(metric_calls(module.calls), None) is None:
        return
    sites = [call.site() for call in module.calls if _is_stopped_fold(repo, call)]
    if sites:
        title = "Each fold stops its own training and is scored afterwards"
        yield Hit(sites, severity=MEDIUM, title=title, anchor="folds")


def _is_stopped_fold(repo: Repo, call: Call) -> bool:
    from ml_engineer.assessment.dataflow import same_value
    from ml_engineer.assessment.learning import packed_rows
    from ml_engineer.assessment.splits import is_held_out_fold

    module, watched = call.module, _watched_part(call)
    rows = _rows_watched(module, watched) if watched is not None else None
    if rows is None or not _stops(call) or not is_held_out_fold(repo, module, rows):
        return False
    for other in module.calls:
        if other.scope is call.scope and other.node.lineno > call.node.lineno and other.name.endswith(_FINAL):
            asked = other.node.args[0] if other.node.args else None
            packed = packed_rows(module, asked) if asked is not None else None
            asked = packed[0] or asked if packed is not None else asked
            if asked is not None and same_value(module, asked, rows):
                return True
    return False


def _stops(call: Call) -> bool:
    """Early stopping, or a checkpoint of the best epoch."""
    module = call.module
    owner = module.value(call.node.func.value) if isinstance(call.node.func, ast.Attribute) else None
    made = owner.keywords if isinstance(owner, ast.Call) else []
    if any(k.arg == "early_stopping_rounds" for k in [*call.node.keywords, *made]):
        return True
    if module.literal(call.keyword("use_best_model")) is True:  # CatBoost cuts the trees after the best one
        return True
    parameters = module.value(call.node.args[0] if call.node.args else call.keyword("params"))
    if call.name.endswith(".train") and isinstance(parameters, ast.Dict):
        if any("early_stopping_round" in str(key.value) for key in parameters.keys if isinstance(key, ast.Constant)):
            return True
    callbacks = module.value(call.keyword("callbacks"))
    parts = callbacks.elts if isinstance(callbacks, ast.List) else [] if callbacks is None else [callbacks]
    text = " ".join(ast.unparse(module.value(part) or part) for part in parts)
    return bool(_STOPPING.search(text)) or ("ModelCheckpoint" in text and "save_best_only=True" in text)


def _reported(call: Call, watched: ast.expr) -> bool:
    """Whether the watched half is judged again after the fit."""
    names = {n.id for n in walk(watched) if isinstance(n, ast.Name)}
    for other in call.module.calls:
        if other.node.lineno <= call.node.lineno or not other.name.endswith(_FINAL):
            continue
        if names & {n.id for a in other.node.args for n in walk(a) if isinstance(n, ast.Name)}:
            return True
    return False


# --- search loops -----------------------------------------------------------------------------------------------------


def _searched(repo: Repo, module: Module) -> Iterator[Hit]:
    """A loop that fits one candidate after the other, scores each on the test half and keeps the best."""
    from ml_engineer.assessment.learning import trainings
    from ml_engineer.assessment.splits import half

    fits = [call for call in trainings(repo) if call.module is module and not call.name.endswith("backward")]
    loops = {loop for call in fits if (loop := module.enclosing(call.node, ast.For)) is not None}
    shown = {loop for call in module.calls if (loop := _asks_each(call)) is not None} - loops
    for loop in sorted(loops | shown, key=lambda node: node.lineno if isinstance(node, ast.For) else 0):
        inside = set(walk(loop))
        if isinstance(loop, ast.For) and loop in shown and not _names_the_best(module, loop, inside):
            continue
        for call in module.calls:
            attribute = call.name.rpartition(".")[2]
            data = call.argument(0, "X")
            if call.node not in inside or attribute not in _JUDGES or data is None or isinstance(data, ast.Constant):
                continue
            if half(repo, module, data) != "test":
                continue
            choice = MEDIUM if loop in shown else _chooses(repo, module, loop)
            if choice is not None:
                yield Hit(
                    [call.site()],
                    severity=choice,
                    title="Candidates are compared on the test half, and the best is kept",
                )
                break


def _asks_each(call: Call) -> ast.For | None:
    """The loop over models that are fitted already, where each is asked in turn: `for model in models`."""
    function = call.node.func
    if (
        not isinstance(function, ast.Attribute)
        or function.attr not in _JUDGES
        or not isinstance(function.value, ast.Name)
    ):
        return None
    loop = call.module.enclosing(call.node, ast.For)
    name = function.value.id
    if isinstance(loop, ast.For) and any(isinstance(n, ast.Name) and n.id == name for n in walk(loop.target)):
        return loop
    return None


def _names_the_best(module: Module, loop: ast.For, inside: set[ast.AST]) -> bool:
    """Whether one of the models, or of the figures of the loop, is called the best one soon after it."""
    models = module.value(loop.iter) or loop.iter
    names = {node.id for node in [*walk(models), *walk(loop.iter)] if isinstance(node, ast.Name)}
    for node in inside:  # what the loop fills: `results[name] = auc`, `rows.append(...)`
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr == "append" if isinstance(node, ast.Attribute) else isinstance(node.ctx, ast.Store):
                names.add(node.value.id)
    scope, end = module.scope_of(loop), loop.end_lineno or loop.lineno
    for made in module.nodes(ast.Assign):
        if not end < made.lineno <= end + MAX_LINES or module.scope_of(made) is not scope:
            continue
        best = any(isinstance(n, ast.Name) and _BEST.match(n.id) for target in made.targets for n in walk(target))
        if best and any(isinstance(n, ast.Name) and n.id in names for n in walk(made.value)):
            return True
    return False


def _chooses(repo: Repo, module: Module, loop: ast.AST) -> SeverityName | None:
    """Whether the loop keeps the best candidate (high), or something after it or its function picks it (medium)."""
    from ml_engineer.assessment.dataflow import callers

    for node in walk(loop):
        if isinstance(node, ast.Compare) and _BEST.search(ast.unparse(node)):
            return HIGH
    scope = module.scope_of(loop)
    if _picks_after(module, scope, getattr(loop, "end_lineno", 0)):
        return MEDIUM
    above = callers(repo, scope) if scope is not None else []
    picked = any(_picks_after(call.module, call.scope, call.node.lineno) for call in above)
    return MEDIUM if picked else None


def _picks_after(module: Module, scope: Function | None, line: int) -> bool:
    picks = ("max", "min", "numpy.argmax", "numpy.argmin")
    return any(
        call.name in picks or call.name.endswith((".idxmax", ".idxmin"))
        for call in module.calls
        if call.scope is scope and line < call.node.lineno <= line + 40
    )


# --- torch ------------------------------------------------------------------------------------------------------------


def _best_on_test(repo: Repo, module: Module) -> Iterator[Hit]:
    """`if acc > best: torch.save(…)` where acc comes from the test loader and there is no validation part."""
    from ml_engineer.assessment.learning import words
    from ml_engineer.assessment.repo import matches

    saves = [c for c in module.calls if matches(c.name, "torch.save", "*.save_weights", "*.save_checkpoint", "?.save")]
    if not saves or any(_VALIDATION.search(word) and not _NO_ROWS.search(word) for word in words(module)):
        # A third part, not only a figure or a setting that is called so; but it may be read from the test folder.
        yield from _best_on_test_folder(repo, module, saves)
        yield from _best_on_published_test(module, saves)
        return
    for call in saves:
        flag = _flag_of_the_best(call)
        if flag is not None and _judged_on_test(module, flag):
            title = "The best checkpoint is chosen on the test set"
            yield Hit([module.site(flag), call.site()], severity=MEDIUM, title=title)
            continue
        choices = (node for node in module.ancestors(call.node) if isinstance(node, ast.If))
        choice = next((node for node in choices if _BEST.search(ast.unparse(node.test))), None)
        if choice is not None and _judged_on_test(module, choice):
            yield Hit(
                [module.site(choice.test), call.site()],
                severity=HIGH,
                title="The best checkpoint is chosen on the test set",
            )


def _best_on_test_folder(repo: Repo, module: Module, saves: list[Call]) -> Iterator[Hit]:
    """The part that is called validation is read from the folder that another program reports its figures on."""
    from ml_engineer.assessment.dataflow import texts

    for node in module.nodes(ast.Assign):
        names = " ".join(n.id for target in node.targets for n in walk(target) if isinstance(n, ast.Name))
        paths = [p for p in texts(node.value) if _TEST_FOLDER.search(p) and "val" not in p.lower()]
        if not paths or not _VALIDATION.search(names):
            continue
        other = (m for m in repo.all_modules if m is not module and paths[0].encode() in m.file.data)
        if next(other, None) is None:
            continue
        for call in saves:
            choices = (above for above in module.ancestors(call.node) if isinstance(above, ast.If))
            choice = next((c for c in choices if _BEST.search(ast.unparse(c.test))), None)
            if choice is not None:
                title = "The best checkpoint is chosen on the test set"
                yield Hit([module.site(node), call.site()], severity=HIGH, title=title)
                return


def _best_on_published_test(module: Module, saves: list[Call]) -> Iterator[Hit]:
    """`val_loader` over `CIFAR10(train=False)`: the part that a published data set keeps for the test."""
    if _HOLDS_OUT.search(module.file.data):
        return
    best = next((n for n in module.nodes(ast.Compare) if saves and _BEST.search(ast.unparse(n))), None)
    if best is None:
        return
    for node in module.nodes(ast.Assign):
        named = any(isinstance(t, ast.Name) and _VALIDATION.search(t.id) for t in node.targets)
        if named and any(_is_published_test(call) for call in walk(node.value)):
            title = "The best checkpoint is chosen on the test part of a published data set"
            yield Hit([module.site(best), module.site(node), saves[0].site()], severity=MEDIUM, title=title)
            return


def _is_published_test(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or "datasets." not in ast.unparse(node.func):
        return False
    given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    return given.get("train") is False or given.get("split") == "test"


def _flag_of_the_best(call: Call) -> ast.Assign | None:
    """`is_best = acc > best_acc`, where that flag is given to the function that saves."""
    for node in [*call.node.args, *(k.value for k in call.node.keywords)]:
        bound = call.module.value(node) if isinstance(node, ast.Name) and _BEST.search(node.id) else None
        if isinstance(bound, ast.Compare) and _BEST.search(ast.unparse(bound)):
            made = call.module.parent(bound)
            return made if isinstance(made, ast.Assign) else None
    return None


def _judged_on_test(module: Module, choice: ast.stmt) -> bool:
    """Whether a loop over the test data, or a call that is given it, stands before the choice."""
    from ml_engineer.assessment.splits import half_by_name

    scope = module.scope_of(choice)
    for node in walk(scope.node if scope is not None else module.tree):
        if not isinstance(node, ast.For | ast.Call) or node.lineno >= choice.lineno:
            continue
        over = [node.iter] if isinstance(node, ast.For) else node.args
        names = [n for value in over for n in walk(value) if isinstance(n, ast.Name)]
        evaluates = isinstance(node, ast.For) or re.search("eval|test|score|accuracy", ast.unparse(node.func))
        if evaluates and any(half_by_name(name) == "test" for name in names):
            return True
    return False


# --- thresholds -------------------------------------------------------------------------------------------------------


def _threshold(repo: Repo, module: Module) -> Iterator[Hit]:
    """The cut of a score that is best on the test half: off its curve, or in a loop over candidates."""
    from ml_engineer.assessment.splits import half

    if b"threshold" not in module.file.data and b"roc_curve" not in module.file.data:
        return
    for call in module.calls:
        if not call.name.startswith("sklearn.metrics.") or not call.node.args:
            continue
        chosen = _off_the_curve(call) if call.name.endswith(_CURVES) else _best_cut(call)
        if chosen is not None and half(repo, module, call.node.args[0]) == "test":
            title = "The threshold of the decision is chosen on the test half"
            yield Hit([call.site(), module.site(chosen)], severity=MEDIUM, title=title, anchor="threshold")
            return


def _off_the_curve(call: Call) -> ast.expr | None:
    """`thresholds[argmax(…)]` of the thresholds that a curve gave."""
    module, statement = call.module, call.module.statement_of(call.node)
    target = statement.targets[0] if isinstance(statement, ast.Assign) and statement.value is call.node else None
    if not isinstance(target, ast.Tuple) or len(target.elts) != 3 or not isinstance(target.elts[2], ast.Name):
        return None
    for node in module.nodes(ast.Subscript):
        if isinstance(node.value, ast.Name) and node.value.id == target.elts[2].id:
            index = module.value(node.slice)
            if module.scope_of(node) is call.scope and index is not None and "argmax" in ast.unparse(index):
                return node
    return None


def _best_cut(call: Call) -> ast.expr | None:
    """In a loop over candidates, the comparison that keeps the best of them by this metric."""
    loop = call.module.enclosing(call.node, ast.For)
    if not isinstance(loop, ast.For) or not isinstance(loop.target, ast.Name):
        return None
    compared = [node for node in walk(loop) if isinstance(node, ast.Compare)]
    cut = any(
        isinstance(node.comparators[0], ast.Name) and node.comparators[0].id == loop.target.id for node in compared
    )
    return next((node for node in compared if cut and _BEST.search(ast.unparse(node))), None)
