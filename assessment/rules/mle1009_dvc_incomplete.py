"""M10-09: DVC is used and cannot do its work: no remote, or no lock."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo


_TEMPORARY = re.compile(r"^[ \t]*url[ \t]*=[ \t]*(/tmp|/var/tmp|/dev/shm)\b")


def _dvc_files(repo: Repo) -> list[File]:
    return [f for f in repo.glob("*.dvc", "dvc.yaml", "**/dvc.yaml") if f.name != ".dvc" and "test" not in f.roles]


@rule(
    id="MLE1009",
    name="dvc-incomplete",
    step=10,
    severity=MEDIUM,
    title="DVC is set up only in part",
    why="What git holds are references, and a fresh clone cannot turn them into the data or models they stand for.",
    remedy="Add a default remote, push to it, and commit dvc.lock after each run of the pipeline.",
    source="DVC documentation; mllint",
    applies=lambda repo: bool(_dvc_files(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    files = _dvc_files(repo)
    configs = repo.glob("**/.dvc/config", ".dvc/config")
    cached = [f for f in files if f.suffix == ".dvc" or _keeps_outputs(repo, f)]
    if cached and not any(re.search(r"^[ \t]*\[.*remote", config.text, re.M) for config in configs):
        need = cached[0]
        yield Hit(
            [repo.missing(need.site(1), ("[remote …] in .dvc/config",), configs or [need])],
            title="DVC has no remote: nobody else can pull the data",
            anchor="dvc remote",
        )
    elif cached:
        for config in configs:
            for line, _ in config.find(_TEMPORARY):
                yield Hit(
                    [config.site(line)],
                    title="DVC keeps its data in a temporary folder of one machine",
                    anchor="dvc remote",
                )
    for file in files:
        lock = posixpath.join(file.folder, "dvc.lock")
        if file.name == "dvc.yaml" and lock not in repo.files and _stages(repo, file):
            yield Hit(
                [repo.missing(file.site(1), (lock,), [file])],
                title="dvc.yaml has no dvc.lock: which data and results belong together is not recorded",
                anchor=f"dvc lock {file.path}",
            )


def _stages(repo: Repo, file: File) -> bool:
    return any(document.get("stages") is not None for document in repo.yaml(file).documents)


def _keeps_outputs(repo: Repo, file: File) -> bool:
    """Whether a stage has an output that goes to DVC's cache."""
    for document in repo.yaml(file).documents:
        stages = document.get("stages")
        for stage in stages.children if stages is not None else ():
            for key in ("outs", "models"):
                outs = stage.get(key)
                for item in outs.items if outs is not None else ():
                    options = item.children[0] if item.kind == "map" and item.children else None
                    cache = options.get("cache") if options is not None else None
                    if cache is None or cache.truth() is not False:
                        return True
    return False
