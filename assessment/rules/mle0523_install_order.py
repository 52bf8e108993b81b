"""M5-23, first half: everything is copied before the dependencies are installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_INSTALL = re.compile(
    r"\bpip3?(?:\.\d+)?\b[^&|;]*\binstall\b[^&|;]*(-r|--requirement)|\bpoetry\s+install\b|\bpipenv\s+(install|sync)\b|"
    r"\buv\s+sync\b|\b(conda|mamba|micromamba)\s+env\s+(create|update)\b|\bnpm\s+(ci|install)\b|\bpdm\s+(install|sync)\b"
)


@rule(
    id="MLE0523",
    name="install-order",
    step=5,
    severity=LOW,
    title="The whole source is copied before the dependencies are installed",
    why="Every change of a source file installs all dependencies again: minutes and gigabytes on each build.",
    remedy="Copy the dependency file alone, install, and copy the source after that.",
    source="Docker build cache documentation",
    applies=lambda repo: any(_INSTALL.search(i.script) for d in repo.dockerfiles for i in d.instructions),
)
def check(repo: Repo) -> Iterator[Hit]:
    for docker in repo.dockerfiles:
        for stage in docker.stages:
            whole = next((c for c in stage.copies if c.stage is None and set(c.sources) & {".", "./", "/"}), None)
            if whole is None or "test" in docker.file.roles:
                continue
            runs = [run for run in stage.of("RUN") if _INSTALL.search(run.script)]
            if runs and all(run.line > whole.instruction.line for run in runs):
                yield Hit([whole.instruction.site(), runs[0].site()], anchor=f"{docker.path}\0{stage.index}")
