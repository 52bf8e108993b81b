"""M8-01: nothing runs when the code changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# Services that are recognised, but whose pipelines are not read.
OTHERS = (
    ".buildkite/*", "appveyor.yml", ".appveyor.yml", ".semaphore/*", ".teamcity/**", ".gitea/workflows/*",
    ".forgejo/workflows/*", ".cirrus.yml", "codefresh.yml", ".sourcehut.yml", ".build.yml", "screwdriver.yaml",
    "**/Jenkinsfile", ".harness/**", "wercker.yml", ".azuredevops/**",
)  # fmt: skip
SEARCHED = (
    ".github/workflows/*.yml", ".gitlab-ci.yml", "azure-pipelines*.yml", ".circleci/config.yml", ".travis.yml",
    "Jenkinsfile", "bitbucket-pipelines.yml", "cloudbuild*.yaml", "buildspec*.yml",
)  # fmt: skip


@rule(
    id="MLE0801",
    name="no-ci",
    step=8,
    severity=MEDIUM,
    title="There is no continuous integration",
    why="Nothing checks a change before it is used: whoever changes the code last decides whether it still works.",
    remedy="Add a workflow that installs from the lock, lints, runs the tests and a small training on each push.",
    source="mllint ci/use; Google MLOps level 2",
    applies=lambda repo: any(not module.is_notebook for module in repo.modules),
)
def check(repo: Repo) -> Iterator[Hit]:
    if repo.workflows or repo.glob(*OTHERS):
        return
    yield Hit([repo.missing(_need(repo), SEARCHED)], anchor="ci")


def _need(repo: Repo) -> Site:
    """What would be checked: the service, else the training, else the first module."""
    for kind in ("serve", "train", "evaluate", "predict"):
        entries = [e for e in repo.entries if e.kind == kind]
        if entries:
            return next((e.site for e in entries if not e.module.is_notebook), entries[0].site)
    return next(module for module in repo.modules if not module.is_notebook).site(1)
