"""M1-05: rows that follow one another in time are shuffled before they are divided."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.dataflow import Step
    from ml_engineer.assessment.repo import Repo

_FRAME = re.compile(r".*(pandas|read_|DataFrame|\[\]|\?)")
_LAGS = (".shift", ".rolling", ".ewm", ".pct_change", ".expanding")
_TIME_COLUMN = re.compile(r"(date|datetime|timestamp|time|step|day|week|month)", re.I)
_SERIES_COLUMN = re.compile(r"(time|timestamp|step)", re.I)


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.splits import find_splits

    return any(split.shuffled for split in find_splits(repo))


@rule(
    id="MLE0105",
    name="time-order",
    step=1,
    severity=HIGH,
    title="Rows in time order are split at random",
    why="The model is trained on rows from after the ones that judge it; in use it will not know the future.",
    remedy="Cut at a date: TimeSeriesSplit, or train_test_split(shuffle=False) on rows sorted by time.",
    source="ML Test Score, Model 2; scikit-learn documentation on time series",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.splits import find_splits

    for split in find_splits(repo):
        if not split.shuffled or split.kind not in ("split", "folds", "hand") or not split.inputs:
            continue
        lags: list[Site] = []
        ordered: list[Site] = []
        hint: Site | None = None
        for step in sources(repo, split.module, split.inputs[0]):
            if _makes_lag(step):
                lags.append(step.module.site(step.node))
            elif _sorts_by_time(step):
                ordered.append(step.module.site(step.node))
            elif hint is None and _reads_series_column(step):
                hint = step.module.site(step.node)
        if lags:
            yield Hit([split.site(), *lags[:4]])
        elif ordered:  # rows sorted by date may still be independent of one another
            yield Hit([split.site(), *ordered[:4]], severity=MEDIUM, confidence="medium")
        elif hint is not None:
            yield Hit(
                [split.site(), hint],
                severity=LOW,
                confidence="low",
                title="Rows with a time column are split at random",
            )


def _makes_lag(step: Step) -> bool:
    """A value of another row: shift, rolling window, change since the row before."""
    if not isinstance(step.node, ast.Call) or not step.name.endswith(_LAGS):
        return False
    return bool(_FRAME.match(step.name)) and not step.name.startswith(("numpy", "torch"))


def _sorts_by_time(step: Step) -> bool:
    """`sort_values("date")`, `set_index("date")`, `resample(…)`: the order in time is what the rows are about."""
    if not isinstance(step.node, ast.Call) or not step.name.endswith((".sort_values", ".set_index", ".resample")):
        return False
    if step.name.endswith(".resample"):
        return "pandas" in step.name
    call = step.module.call_of(step.node)
    column = step.module.literal(call.argument(0, "by") or call.keyword("keys"))
    columns = column if isinstance(column, list | tuple) else [column]
    return bool(columns) and isinstance(columns[0], str) and bool(_TIME_COLUMN.fullmatch(columns[0]))


def _reads_series_column(step: Step) -> bool:
    if isinstance(step.node, ast.Subscript) and isinstance(step.node.slice, ast.Constant):
        key = step.node.slice.value
        return isinstance(key, str) and bool(_SERIES_COLUMN.fullmatch(key))
    return False
