"""M4-08: runs leave no trace of their parameters and figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import train_entries

    return bool(train_entries(repo))


@rule(
    id="MLE0408",
    name="no-tracking",
    step=4,
    severity=MEDIUM,
    title="Training runs are not recorded",
    why="Figures scroll by on the screen: two runs cannot be compared, and nobody knows which one gave the model.",
    remedy="Log parameters and metrics to MLflow, DVCLive or TensorBoard, or write a metrics file for every run.",
    source="Microsoft MLOps maturity model, level 2; Google MLOps level 1",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.learning import train_entries
    from ml_engineer.assessment.tracking import unrecorded

    found = unrecorded(repo)
    if not found:
        return
    modules = [m for m in repo.modules if "test" not in m.file.roles]
    entries = sorted(found, key=lambda entry: (entry.module.is_notebook, entry.site.path, entry.site.line))
    sites = list(dict.fromkeys(entry.site for entry in entries))
    looked_for = ("mlflow", "wandb", "tensorboard", "dvclive", "a metrics file")
    title = None if len(found) == len(train_entries(repo)) else "Some training programs leave no record of their runs"
    yield Hit([repo.missing(site, looked_for, modules) for site in sites], title=title, anchor="tracking")
