"""M8-08: a script from the network is run without looking at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_PIPED = re.compile(
    r"\b(curl|wget)\b[^|;&]*(https?://|\$)[^|;]*\|\s*(sudo\s+)?(-E\s+)?(env\s+)?([A-Za-z_]\w*=\S*\s+)*((/\S*/)?(ba|z|da|k)?sh|python[\d.]*)\b|"
    r"\b((ba|z)?sh|source|\.)\s+<\(\s*(curl|wget)\b|\b(ba|z)?sh\s+-c\s+[\"']?\$\(\s*(curl|wget)\b|"
    r"\biwr\b[^|]*\|\s*iex\b"
)
_CHECKED = re.compile(r"sha256sum|shasum|gpg\s+--verify|cosign\s+verify", re.I)


@rule(
    id="MLE0808",
    name="pipe-to-shell",
    step=8,
    severity=MEDIUM,
    title="A script from the network goes straight into a shell",
    why="Whatever the server answers is run, with the pipeline's secrets or inside the image, unchecked.",
    remedy="Take a pinned release from a package, or download it, compare its checksum, and then run it.",
    source="OpenSSF; hadolint",
    applies=lambda repo: bool(repo.workflows or repo.dockerfiles),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    for workflow in repo.workflows:
        for step in workflow.steps:
            if not _CHECKED.search(step.script):
                sites.extend(step.file.site(number) for number, text in step.lines if _PIPED.search(text))
    for docker in repo.dockerfiles:
        for stage in docker.stages if "test" not in docker.file.roles else ():
            for run in stage.of("RUN"):
                if _PIPED.search(run.script) and not _CHECKED.search(run.script):
                    found = [number for number, text in run.lines if _PIPED.search(text)]
                    sites.extend(run.file.site(number) for number in found or [run.line])
    by_file: dict[str, list[Site]] = {}
    for site in dict.fromkeys(sites):
        by_file.setdefault(site.path, []).append(site)
    for path, places in by_file.items():
        yield Hit(places, anchor=path)
