"""M4-17: a training program reads a file that nothing in the repository makes, brings or mentions."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import holds
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, Hit, Missing, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_BRINGS = re.compile(
    r"kaggle|wget|gdown|curl\b|urlretrieve|download|get_file|requests\.get|boto3|s3://|gs://|dvc (pull|get|import)|"
    r"git lfs|load_dataset|unzip|opendatasets|azcopy|gsutil|drive\.google|dataset",
    re.I,
)


_INTERMEDIATE = re.compile(
    r"(^|/)(features?|processed|interim|prepared|intermediate|outputs?|results?|targets?)$", re.I
)

# Of these words one stands in every match.
_BRINGS_WORDS = (
    "kaggle", "wget", "gdown", "curl", "urlretrieve", "download", "get_file", "requests.get", "boto3", "s3://", "gs://",
    "dvc ", "git lfs", "dataset", "unzip", "azcopy", "gsutil", "drive.google",
)  # fmt: skip


def _applies(repo: Repo) -> bool:
    return any(True for _ in _literal_reads(repo))


@rule(
    id="MLE0417",
    name="data-cannot-exist",
    step=4,
    severity=HIGH,
    title="Training reads a file that cannot exist",
    why="Nothing in the repository makes, fetches or documents the file: training stops at once on any other machine.",
    remedy="Add the step that makes or fetches it (script, DVC, README), or correct the path.",
    source="observed in labelled repositories",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    texts = _texts(repo)
    brought = any(holds(text, _BRINGS_WORDS) and _BRINGS.search(text) for text in texts)
    made = _filled_folders(repo) if brought else set()
    ignored = "\n".join(f.text for f in repo.glob(".gitignore", ".dvcignore", "*.dvc", "dvc.yaml", "Makefile"))
    missing: dict[str, dict[str, list[Missing]]] = {}
    for call, path in _literal_reads(repo):
        name = posixpath.basename(path)
        if brought and posixpath.dirname(path) not in made:
            continue  # data may come from outside, but not what the programs make of it
        if _in_tree(repo, call, path) or name in ignored or any(name in text for text in texts):
            continue
        if not _written(repo, call, name):
            searched = sorted(
                f.path for f in repo.files.values() if f.name == name or f.suffix == f".{name.rpartition('.')[2]}"
            )
            place = repo.missing(call.site(), (path, f"a step that writes or fetches {name}"), searched)
            missing.setdefault(posixpath.dirname(path), {}).setdefault(path, []).append(place)
    for paths in missing.values():  # one folder that nobody has is one cause
        first, *others = paths
        title = f"Training reads {first!r}, which cannot exist"
        if others:
            title = (
                f"Training reads {len(paths)} files that cannot exist ({first}, {others[0]}{' …' * (len(paths) > 2)})"
            )
        yield Hit([place for places in paths.values() for place in places], title=title, anchor=", ".join(paths))


def _filled_folders(repo: Repo) -> set[str]:
    """Folders for intermediate tables that programs write by paths in the code: nobody brings what lies there."""
    from ml_engineer.assessment.values import known_text

    found: set[str] = set()
    for call in repo.calls("*.to_csv", "*.to_parquet", "*.to_feather", "*.to_pickle", "*.to_hdf", tests=False):
        path = known_text(repo, call.module, call.node.args[0]) if call.node.args else None
        folder = posixpath.dirname(path) if path is not None else ""
        if _INTERMEDIATE.search(folder):
            found.add(folder)
    return found


def _literal_reads(repo: Repo) -> Iterator[tuple[Call, str]]:
    """Reads of training data from a relative path that is written in the code."""
    from ml_engineer.assessment.ingestion import training_reads

    for read in training_reads(repo):
        first = read.call.node.args[0] if read.call.node.args else None
        path = read.call.module.literal(first)
        if (
            not read.sample
            and isinstance(path, str)
            and re.fullmatch(r"[\w./ -]+\.\w{2,8}", path)
            and not path.startswith("/")
        ):
            yield read.call, path


def _texts(repo: Repo) -> list[str]:
    """What documents and commands say."""
    documents = [
        f.text for f in repo.glob("*.md", "*.rst", "*.txt", "*.sh", "Makefile", "Dockerfile*") if f.size < 300_000
    ]
    return [*documents, *(magic for module in repo.modules for _, magic in module.source.magics)]


def _in_tree(repo: Repo, call: Call, path: str) -> bool:
    """Whether the path exists from the root, or from the program's folder or one above it."""
    known = {**dict.fromkeys(repo.git.tracked or ()), **dict.fromkeys(repo.files)}
    folder = call.module.file.folder
    while True:
        if posixpath.normpath(posixpath.join(folder, path)) in known:
            return True
        if not folder:
            return any(p == path or p.endswith("/" + posixpath.basename(path)) for p in known)
        folder = posixpath.dirname(folder)


def _written(repo: Repo, read: Call, name: str) -> bool:
    """Whether another place in the code names the same file, or a name is put together that could be it."""
    stem = name.rpartition(".")[0]
    for module in repo.modules:
        if module.is_notebook is False and name not in module.file.text and stem not in module.file.text:
            continue
        for node in module.nodes(ast.Constant):
            if isinstance(node.value, str) and (name in node.value or node.value == stem):
                if not any(node is inner for inner in walk(read.node)) and not _is_read(module.parent(node)):
                    return True
    return False


def _is_read(parent: ast.AST | None) -> bool:
    return isinstance(parent, ast.Call) and "read" in ast.unparse(parent.func)
