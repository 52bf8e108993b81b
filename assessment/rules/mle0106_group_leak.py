"""M1-06: several rows belong to one person or session, and the split does not keep them together."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.dataflow import Step
    from ml_engineer.assessment.repo import Repo

_GROUP = re.compile(
    r"(patient|subject|user|session|speaker|participant|visitor|household|driver|writer|author|device)s?[_ ]?"
    r"(id|no|nr|num)",
    re.I,
)
MAX_ROWS = 2000


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.splits import find_splits

    return any(split.kind in ("split", "folds", "hand", "cross-validation") for split in find_splits(repo))


@rule(
    id="MLE0106",
    name="group-leak",
    step=1,
    severity=LOW,
    title="Rows of one entity may stand on both sides of the split",
    why="Where several rows come from one person or session, a random split lets the model recognise them again.",
    remedy="If an entity has more than one row, split with GroupKFold or GroupShuffleSplit on its id.",
    source="Yang et al., data leakage in notebooks (ASE 2022)",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.splits import find_splits

    for split in find_splits(repo):
        if split.kind not in ("split", "folds", "hand", "cross-validation") or not split.inputs:
            continue
        written = ast.unparse(split.node)
        if "Group" in split.module.resolve(split.node) or re.search(r"\bgroups\b|stratify=\w*group", written):
            continue
        for step in sources(repo, split.module, split.inputs[0]):
            column = _group_column(repo, step)
            if column:
                title = f"Rows of one {column!r} may stand on both sides of the split"
                sites = [split.site(), step.module.site(step.node)]
                yield Hit(sites, confidence="low", title=title)
                break


def _group_column(repo: Repo, step: Step) -> str:
    """A column that names an entity: grouped by in the code, or with repeated values in a tracked CSV that is read."""
    if not isinstance(step.node, ast.Call):
        return ""
    call = step.module.call_of(step.node)
    if step.name.endswith(".groupby"):
        key = step.module.literal(call.argument(0, "by"))
        keys = key if isinstance(key, list) else [key]
        return next((k for k in keys if isinstance(k, str) and _GROUP.fullmatch(k)), "")
    if step.name == "pandas.read_csv":
        path = step.module.literal(call.argument(0, "filepath_or_buffer"))
        return _repeated_id(repo, path) if isinstance(path, str) else ""
    return ""


def _repeated_id(repo: Repo, path: str) -> str:
    name = path.removeprefix("./").rpartition("../")[2]
    file = repo.files.get(name)
    if file is None:
        return ""
    rows = list(csv.reader(file.lines[:MAX_ROWS]))
    if len(rows) < 2:
        return ""
    for position, column in enumerate(rows[0]):
        if _GROUP.fullmatch(column.strip()):
            values = [row[position] for row in rows[1:] if len(row) > position]
            if values and len(set(values)) < 0.9 * len(values):
                return column.strip()
    return ""
