"""M4-10, first part: a training of many epochs saves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.checkpoints import long_trainings

    return bool(long_trainings(repo))


@rule(
    id="MLE0410",
    name="no-checkpoint",
    step=4,
    severity=MEDIUM,
    title="A training of many epochs saves no model",
    why="When the process ends, by plan or by accident, hours of work are gone and there is nothing to deploy.",
    remedy="Save model, optimizer and epoch after each epoch (or the best one) to a path that the run names.",
    source="PyTorch and Keras documentation on checkpoints",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.checkpoints import long_trainings, saves, uses_a_model

    if uses_a_model(repo):
        return  # a trained model that is missed: MLE0416 speaks
    trainings = long_trainings(repo)
    if not any(saves(closure) for _, closure in trainings):  # one that saves is the training; others are experiments
        looked_for = ("torch.save", "model.save", "ModelCheckpoint", "save_pretrained")
        sites = {entry.site: closure for entry, closure in trainings}
        yield Hit([repo.missing(site, looked_for, closure.modules) for site, closure in sites.items()])
