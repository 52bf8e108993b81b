"""M1-13: a saved model that cannot be read to its end, so that nothing is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


@rule(
    id="MLE0113",
    name="artefact-unread",
    step=1,
    severity=MEDIUM,
    title="A saved model cannot be read to its end",
    why="It may be damaged, and what it would run when it is loaded is not known: silence is no safety.",
    remedy="Check that it is complete, and convert it to safetensors, ONNX or skops.",
    source="observed with modelscan and picklescan",
    applies=lambda repo: bool(repo.artefacts),
)
def check(repo: Repo) -> Iterator[Hit]:
    for artefact in repo.artefacts:
        if artefact.problem and "test" not in artefact.file.roles:
            yield Hit(
                [artefact.site(note=artefact.problem)],
                severity=LOW if artefact.limited else MEDIUM,
                title=f"{artefact.path} cannot be read to its end: {artefact.problem}",
                anchor=artefact.path,
            )
