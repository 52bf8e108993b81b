"""M3-09: one long or branching function or script that reads, transforms, fits, evaluates and saves."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.entrypoints import is_training_call
from ml_engineer.assessment.index import children
from ml_engineer.assessment.learning import SAVERS
from ml_engineer.assessment.reachable import worked
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

MAX_LINES = 80
MAX_COMPLEXITY = 15
MIN_JOBS = 3
_READ = (
    "pandas.read_*", "open", "numpy.load*", "numpy.genfromtxt", "json.load", "yaml.*load", "datasets.load_dataset",
    "sklearn.datasets.*", "*.datasets.*", "torchvision.datasets.*", "*.flow_from_directory", "cv2.imread",
    "PIL.Image.open",
    "*image_dataset_from_directory", "pyspark.*.read*", "torch.utils.data.DataLoader", "polars.read_*", "*.read_csv",
)  # fmt: skip
_TRANSFORM = (
    "*.fit_transform", "*.transform", "*.fillna", "*.dropna", "*.astype", "*.get_dummies", "*.map", "*.apply",
    "*.replace",
    "*.reshape", "*.train_test_split", "torchvision.transforms.*", "*to_categorical", "*pad_sequences", "*.resize",
    "*.fit_resample", "*.normalize", "*.texts_to_sequences", "*ImageDataGenerator", "*.drop", "*.merge",
)  # fmt: skip
_EVALUATE = (
    "sklearn.metrics.*", "*.evaluate", "*.score", "*.cross_val_score", "torchmetrics.*", "*.predict", "*.predict_proba",
)  # fmt: skip
_SAVE = (*SAVERS, "*.to_csv", "*.to_parquet", "*.to_pickle", "*.savefig", "*.save", "json.dump", "numpy.save*")
_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension, ast.match_case)


@rule(
    id="MLE0309",
    name="god-function",
    step=3,
    severity=MEDIUM,
    title="One piece of code does the work of many",
    why="No part can be tested, reused or replaced alone, and serving cannot share what training does.",
    remedy="Split it into functions with inputs and outputs: read, prepare, fit, evaluate, save.",
    source="ML Test Score Infra-2",
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in sorted(worked(repo).modules, key=lambda m: m.path):
        if module.is_notebook or "test" in module.file.roles or len(module.file.lines) < MAX_COMPLEXITY:
            continue
        branched = _branches(module) > MAX_COMPLEXITY  # all in all: else no part of it is
        for function in module.functions.values():
            node = function.node
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if branched or lines > MAX_LINES:
                yield from _judge(module, f"`{function.qualname}`", node.body, node, lines)
        script = [node for node in module.tree.body if not isinstance(node, _DEFINITIONS)]
        lines = sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in script)
        if script and (branched or lines > MAX_LINES):
            first = next((node for node in script if not _is_text(node)), script[0])
            yield from _judge(module, f"The script {module.file.name}", script, first, lines)


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def _judge(module: Module, what: str, body: list[ast.stmt], node: ast.AST, lines: int) -> Iterator[Hit]:
    complexity = _complexity(body)
    if lines <= MAX_LINES and complexity <= MAX_COMPLEXITY:
        return
    jobs = _jobs(_calls(module, body))
    if len(jobs) >= MIN_JOBS:
        how = f"{lines} lines" if lines > MAX_LINES else f"{complexity} branches"
        yield Hit(
            [module.site(node)],
            title=f"{what} does it all in {how}: {', '.join(jobs)}",
            anchor=f"{module.path}\0{what}",
        )


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _own(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Nodes of some code, without what is defined in it."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        yield node
        stack.extend(child for child in children(node) if not isinstance(child, _DEFINITIONS))


def _complexity(body: list[ast.stmt]) -> int:
    count = 1
    for node in _own(body):
        count += isinstance(node, _BRANCHES)
        count += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
    return count


def _branches(module: Module) -> int:
    """The complexity of a module as a whole."""
    return 1 + len(module.nodes(*_BRANCHES)) + sum(len(node.values) - 1 for node in module.nodes(ast.BoolOp))


def _calls(module: Module, body: list[ast.stmt]) -> list[Call]:
    return [module.call_of(node) for node in _own(body) if isinstance(node, ast.Call)]


def _jobs(calls: Iterable[Call]) -> list[str]:
    """Which of the five jobs the calls do themselves."""
    found: dict[str, None] = {}
    for call in calls:
        if is_training_call(call):
            found["fit"] = None
        for job, names in (("read", _READ), ("transform", _TRANSFORM), ("evaluate", _EVALUATE), ("save", _SAVE)):
            if matches(call.name, *names) and not (
                job == "read" and call.name.startswith("pandas.") and "(" in call.name
            ):
                found[job] = None
                break
    return [job for job in ("read", "transform", "fit", "evaluate", "save") if job in found]
