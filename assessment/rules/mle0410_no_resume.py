"""M4-10, second part: a training of many epochs saves its model, but cannot go on from there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.checkpoints import long_trainings, saves

    return any(saves(closure) for _, closure in long_trainings(repo))


@rule(
    id="MLE0410",
    part="resume",
    name="no-resume",
    step=4,
    severity=LOW,
    title="An interrupted training cannot be resumed",
    why="After a crash or a reclaimed machine the training starts again at epoch zero.",
    remedy="Save optimizer state and epoch beside the weights, and load them when a checkpoint path is given.",
    source="PyTorch and Keras documentation on checkpoints",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.checkpoints import first_save, long_trainings, resumes

    sites = {}
    for _, closure in long_trainings(repo):
        saved = first_save(closure)
        if saved is not None and not resumes(closure):
            sites[saved.site()] = closure
    if sites:
        looked_for = ("load_state_dict", "load_weights", "resume", "initial_epoch")
        yield Hit([repo.missing(site, looked_for, closure.modules) for site, closure in sites.items()])
