"""M10-07: model binaries, pickles or large data kept in git itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo

MAX_DATA_BYTES = 1_000_000
MANY_PICTURES = 100
_PICTURES = frozenset(".jpg .jpeg .png .bmp .tif .tiff .pgm .dcm .npy".split())
_DATA_FOLDER = re.compile(r"data|images?$|imgs$|train|test|val|raw|samples", re.I)
_DATA = frozenset(
    ".csv .tsv .json .jsonl .parquet .feather .arrow .npy .npz .mat .arff .xls .xlsx .sqlite .sqlite3 .db .txt .data "
    ".dat .zip .gz .tgz .tar .bz2 .xz .7z .rar .avro .orc .tfrecord .libsvm .svm .vec .wav .mp3 .mp4 .avi".split()
)
_MEDIA = frozenset(".wav .mp3 .mp4 .avi".split())
_NO_DATA = frozenset("package-lock.json poetry.lock uv.lock Pipfile.lock requirements.txt tokenizer.json".split())


@rule(
    id="MLE1007",
    name="artefact-in-git",
    step=10,
    severity=MEDIUM,
    title="Models or data are kept in git",
    why="Every version stays in the history for good, and nothing says which code and data a binary came from.",
    remedy="Keep them in DVC, Git LFS or a model registry, and only their reference in git.",
    source="Cookiecutter Data Science; mllint",
)
def check(repo: Repo) -> Iterator[Hit]:
    models = {a.path: a.file for a in repo.artefacts if a.format != "lfs" and not _excused(a.file)}
    sites = [_site(file, "saved model") for file in models.values()]
    for file in repo.files.values():
        if file.path in models or file.suffix not in _DATA or file.size <= MAX_DATA_BYTES or file.name in _NO_DATA:
            continue
        if file.suffix in _MEDIA and "docs" in file.roles:  # what a document shows
            continue
        if file.tracked is not False and not file.roles & {"vendored", "template"}:
            sites.append(_site(file, f"{file.size / 1_000_000:.1f} MB of data"))
    sites += _pictures(repo)
    if sites:
        shown = f"{len(sites)} files" if len(sites) > 1 else sites[0].path
        yield Hit(
            sites,
            confidence="medium" if repo.git.tracked is None else "high",
            title=f"Models or data are kept in git ({shown})",
            anchor="artefacts in git",
        )


def _pictures(repo: Repo) -> list[Site]:
    """The first file of each folder of data at the top that holds pictures by the hundred."""
    folders: dict[str, list[File]] = {}
    for file in repo.files.values():
        if file.suffix in _PICTURES and file.tracked is not False and not file.roles & {"vendored", "template", "docs"}:
            folders.setdefault(file.path.partition("/")[0], []).append(file)
    return [
        _site(files[0], f"{len(files)} pictures, {total / 1_000_000:.0f} MB")
        for folder, files in folders.items()
        if len(files) >= MANY_PICTURES
        and _DATA_FOLDER.search(folder)
        and (total := sum(file.size for file in files)) > MAX_DATA_BYTES
    ]


def _excused(file: File) -> bool:
    """Untracked files, and small fixtures of tests."""
    return file.tracked is False or ("test" in file.roles and file.size <= MAX_DATA_BYTES)


def _site(file: File, note: str) -> Site:
    return Site(file.path, 1, 1, "", None, file.path, note)
