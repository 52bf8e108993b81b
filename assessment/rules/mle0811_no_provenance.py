"""M8-11: an image or package is published, and nothing says what is in it and who built it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.ci import Deployment
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.workflows import Step

_PROVENANCE = re.compile(
    r"cosign|sigstore|\bsyft\b|sbom|cyclonedx|spdx|attest|provenance|notation\s+sign|slsa|model[-_]signing|gpg\s+--sign",
    re.I,
)
_PUBLISHED = frozenset(["image push", "package", "gh-ecr-push", "build-push-action", "gh-action-pypi-publish"])
# Majors from which on the action attests what it built by itself.
_ATTESTS = {"docker/build-push-action": 4, "pypa/gh-action-pypi-publish": 1}


@rule(
    id="MLE0811",
    name="no-provenance",
    step=8,
    severity=LOW,
    title="What is published carries no provenance",
    why="Nobody can tell which commit and which packages are in a running image, or whether it was swapped.",
    remedy="Publish by digest, attach an SBOM, and sign image and model in the job that builds them.",
    source="SLSA; CycloneDX; sigstore model signing",
    applies=lambda repo: bool(_published(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    published = _published(repo)
    if any(_PROVENANCE.search(workflow.file.text) for workflow in repo.workflows):
        return
    if all(_attests(step) for step, _ in published):
        return
    found = next(made for step, made in published if not _attests(step))
    patterns = ["cosign", "sbom", "attest", "provenance", "slsa", "model signing"]
    yield Hit([repo.missing(found.site, patterns, [w.file for w in repo.workflows])], anchor="provenance")


def _published(repo: Repo) -> list[tuple[Step, Deployment]]:
    from ml_engineer.assessment.ci import deployments

    found = [(step, made) for workflow in repo.workflows for _, step, made in deployments(repo, workflow)]
    return [(step, made) for step, made in found if made.what in _PUBLISHED]


def _attests(step: Step) -> bool:
    name, _, version = (step.uses or "").partition("@")
    if name not in _ATTESTS or (step.inputs.get("provenance") and step.inputs["provenance"].truth() is False):
        return False
    major = re.search(r"v?(\d{1,6})", version)
    return re.fullmatch(r"[0-9a-f]{40}", version) is not None or major is None or int(major[1]) >= _ATTESTS[name]
