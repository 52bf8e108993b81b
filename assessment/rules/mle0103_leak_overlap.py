"""M1-03: rows are copied or synthesised before the split, so that the same row can stand on both sides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.dataflow import Step
    from ml_engineer.assessment.repo import Repo

_OVER = re.compile(
    r"imblearn\.(over_sampling|combine)\.\w+\(\)\.(fit_resample|fit_sample)|smote\w*\.\w+\(\)\.sample", re.I
)
_UNDER = re.compile(r"imblearn\.under_sampling\.\w+\(\)\.(fit_resample|fit_sample)", re.I)


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.splits import find_splits

    return bool(find_splits(repo))


@rule(
    id="MLE0103",
    name="leak-overlap",
    step=1,
    severity=HIGH,
    title="Rows are over-sampled before the split",
    why="Copies of a row, or rows made from it, land on both sides: the model is judged on what it learned by heart.",
    remedy="Split first and resample the training rows only; imblearn's Pipeline does so inside every fold.",
    source="Yang et al., data leakage in notebooks (ASE 2022)",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.splits import find_splits

    reported: set[ast.expr] = set()
    for split in find_splits(repo):
        if split.kind == "datasets":
            continue
        for value in split.inputs:
            for step in sources(repo, split.module, value, lambda s: not s.name.endswith("train_test_split")):
                kind = _copies(step)
                if kind is None or step.node in reported:
                    continue
                if kind == "under" and _was_split(repo, step):
                    continue  # the test rows were taken before, as they come; what follows divides the training rows
                reported.add(step.node)
                sites = [step.module.site(step.node), split.site("the split that follows")]
                if kind == "over":
                    folded = split.kind in ("cross-validation", "folds")
                    title = "Rows are over-sampled before cross-validation" if folded else None
                    yield Hit(sites, title=title)
                else:
                    yield Hit(
                        sites,
                        severity=MEDIUM,
                        title="Rows are under-sampled before the split",
                        why="The test rows are balanced by hand too, so the score says nothing about the real mixture.",
                    )


def _was_split(repo: Repo, step: Step) -> bool:
    """Whether the rows of a step are a part that an earlier split gave."""
    from ml_engineer.assessment.dataflow import sources

    return any(behind.name.endswith("train_test_split") for behind in sources(repo, step.module, step.node))


def _copies(step: Step) -> Literal["over", "under"] | None:
    if not isinstance(step.node, ast.Call):
        return None
    if _OVER.match(step.name):
        return "over"
    if _UNDER.match(step.name):
        return "under"
    call = step.module.call_of(step.node)
    if step.name == "sklearn.utils.resample":
        return "under" if step.module.literal(call.keyword("replace")) is False else "over"
    if step.name.endswith(".sample") and step.module.literal(call.keyword("replace")) is True:
        return "over" if call.argument(0, "n") is not None or call.keyword("frac") is not None else None
    if step.name == "pandas.concat" and _repeats(call.argument(0, "objs")):
        return "over"
    return None


def _repeats(node: ast.expr | None) -> bool:
    """`pd.concat([df] * 3)`, `pd.concat([df, small, small])` or `pd.concat([df] + [small] * 3)`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return isinstance(node.left, ast.List) or isinstance(node.right, ast.List)
    if isinstance(node, ast.List | ast.Tuple):
        parts = [part for part in node.elts if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mult)]
        names = [part.id for part in node.elts if isinstance(part, ast.Name)]
        return len(names) != len(set(names)) or any(isinstance(p.left, ast.List) for p in parts)
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _repeats(node.right)
