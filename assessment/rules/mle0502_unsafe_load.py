"""M5-02: artefacts read by loaders that can run code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

LOADERS = ("pickle.load", "pickle.loads", "joblib.load")


@rule(
    id="MLE0502",
    name="unsafe-load",
    step=5,
    severity=MEDIUM,
    title="Artefact is loaded by a format that can run code",
    why="Unpickling runs whatever the file says: who can replace the artefact runs code in the service.",
    remedy="Ship the model as skops, ONNX or safetensors, or check a signed hash of the file before loading it.",
    source="bandit B301; Trail of Bits",
)
def check(repo: Repo) -> Iterator[Hit]:
    for call in repo.calls(*LOADERS, tests=False):
        yield Hit([call.site()])
