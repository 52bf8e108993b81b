"""M10-06: a dependency taken from a repository without naming a commit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_COMMIT = re.compile(r"@[0-9a-f]{7,40}(#|$|\?)|/archive/[0-9a-f]{40}|tarball/[0-9a-f]{7,40}")
_TAG = re.compile(
    r"@(v|release-?)?\d[\w.+-]*(#|$|\?)|/archive/(refs/tags/)?v?\d[\w.-]*\.(zip|tar\.gz)|/releases/download/"
)
_VCS = re.compile(r"^(git|hg|svn|bzr)\+|^https?://.*(/archive/|/tarball/|/zipball/|\.git\b)")


@rule(
    id="MLE1006",
    name="vcs-dependency",
    step=10,
    severity=MEDIUM,
    title="A dependency follows a moving branch",
    why="What is installed changes with every push to that repository, and nothing checks it.",
    remedy="Name the full commit, or use a released version.",
    source="pip documentation on VCS installs",
    applies=lambda repo: any(d.url for d in repo.dependencies.declared),
)
def check(repo: Repo) -> Iterator[Hit]:
    for declared in repo.dependencies.declared:
        url = declared.url or ""
        if declared.kind == "lock" or not _VCS.match(url) or _COMMIT.search(url) or url.endswith(".whl"):
            continue
        if "{" in url.rpartition("@")[2]:
            continue  # the build fills in the commit
        tagged = _TAG.search(url) is not None
        origin = "a tag, which can be moved" if tagged else "a branch without a commit"
        yield Hit(
            [declared.source],
            severity=LOW if tagged else MEDIUM,
            title=f"{declared.name} is taken from {origin}",
            anchor=f"{declared.environment} {declared.name}",
        )
