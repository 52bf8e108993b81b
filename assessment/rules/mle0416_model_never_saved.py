"""M4-16: a model is trained and thrown away, in a repository that wants to use one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.callgraph import Closure
    from ml_engineer.assessment.entrypoints import Entry
    from ml_engineer.assessment.repo import Repo


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.checkpoints import uses_a_model

    return uses_a_model(repo) and bool(_candidates(repo))


@rule(
    id="MLE0416",
    name="model-never-saved",
    step=4,
    severity=HIGH,
    title="The trained model is never saved",
    why="The repository serves or predicts, but what training makes ends with the process: nothing connects the two.",
    remedy="Save the fitted pipeline at the end of training, and let serving load that very file.",
    source="observed in labelled repositories",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.checkpoints import saves
    from ml_engineer.assessment.learning import entry_closure, train_entries

    found = _candidates(repo)
    if any(saves(entry_closure(repo, entry)) for entry in train_entries(repo)):
        return  # the service may train and save by itself
    sites = {entry.site: closure for entry, closure in found}
    looked_for = ("joblib.dump", "pickle.dump", "torch.save", "model.save", "log_model")
    yield Hit([repo.missing(site, looked_for, closure.modules) for site, closure in sites.items()])


def _candidates(repo: Repo) -> list[tuple[Entry, Closure]]:
    """Trainings that are not part of the serving program itself; scripts where there are any, else notebooks."""
    from ml_engineer.assessment.learning import entry_closure, train_entries

    served = repo.closure("serve")
    found = [
        (entry, entry_closure(repo, entry))
        for entry in train_entries(repo)
        if entry.module not in served.modules and "docs" not in entry.module.file.roles
    ]
    return [pair for pair in found if not pair[0].module.is_notebook] or found
