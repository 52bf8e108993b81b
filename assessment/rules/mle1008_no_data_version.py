"""M10-08: training reads data that no version names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

READERS = (
    "pandas.read_*", "polars.read_*", "dask.dataframe.read_*", "numpy.load", "numpy.loadtxt", "numpy.genfromtxt",
    "torchvision.datasets.ImageFolder", "torchvision.datasets.DatasetFolder", "*.flow_from_directory",
    "*.image_dataset_from_directory", "tensorflow.data.TFRecordDataset", "scipy.io.loadmat", "scipy.io.arff.loadarff",
    "csv.reader", "open", "cv2.imread", "pyarrow.parquet.read_table", "h5py.File", "os.listdir", "glob.glob",
)  # fmt: skip
_DATA_NAME = re.compile(
    r"\.(csv|tsv|json|jsonl|parquet|feather|npy|npz|mat|arff|xlsx?|data|h5|hdf5|txt|pkl|tfrecord)$|(^|/)(data|dataset|"
    r"datasets|input|inputs|images?|train|raw|corpus)(/|$)",
    re.I,
)
_DATA_FILE = re.compile(
    r"\.(csv|tsv|jsonl|parquet|feather|np[yz]|mat|arff|xlsx?|h5|hdf5|tfrecord|tif|nii(\.gz)?|wav)(\.gz)?$", re.I
)
_FOLDER = re.compile(r"(\.{0,2}/)*([\w.-]+/)*(data|datasets?|inputs?|images?|raw|corpus)/([\w.-]+/)*", re.I)
_WEIGHTS = (".ckpt", ".pt", ".pth", ".bin", ".safetensors", ".onnx", ".joblib", ".keras", ".pb", ".tflite")
_RESULT = re.compile(r"(^|[/_])(output|result|log|metric|prediction|test|example|doc|demo)s?([/_.-]|$)", re.I)
_MAKES_DATA = re.compile(r"generat|synth|simulat|(make|create|fake|dummy|mock)_?(data|sample)", re.I)
_CHAINED = re.compile(r"(pandas|polars|dask)\..*\(\)")  # a method of what was read
_VERSIONED = re.compile(
    r"\b(dvc|lakefs|deltalake|delta\.|pachyderm|quilt3|git-lfs|sha256|md5|checksum|hashlib)\b", re.I
)


@rule(
    id="MLE1008",
    name="no-data-version",
    step=10,
    severity=MEDIUM,
    title="Training data has no version",
    why="Nobody can say which data a model came from, so a result cannot be reproduced or traced back.",
    remedy="Track the data with DVC or LFS, or record a checksum and the source of the version that was used.",
    source="MLOps maturity model level 2; mllint",
    applies=lambda repo: bool(repo.closure("train")),
)
def check(repo: Repo) -> Iterator[Hit]:
    if _has_versions(repo):
        return
    sites: list[tuple[Site, str]] = []
    written = _written(repo)
    calls = [c for c in repo.closure("train").calls(*READERS, "*.add_argument") if not _CHAINED.match(c.name)]
    if not all(call.module.is_notebook for call in calls):  # notebooks beside a program are for looking around
        calls = [call for call in calls if not call.module.is_notebook]
    for call in calls:
        path = _option(call) if call.name.endswith(".add_argument") else _path(repo, call)
        if (
            path
            and "test" not in call.module.file.roles
            and (_DATA_NAME.search(path) or _is_pictures(call))
            and path not in written
            and not _is_tracked(repo, call, path)
        ):
            sites.append((call.site(), path))
    if not sites:
        sites = _named_in_parts(repo, written)
    if not sites and (read := _read_of_unknown_path(repo)) is not None:
        sites = [(read.site(), "its path is given from outside")]
    if sites:
        need, path = sites[0]
        patterns = ("*.dvc", "dvc.yaml", "git lfs", "lakeFS, Delta, Quilt", "checksums in code")
        yield Hit(
            [repo.missing(need, patterns)],
            title=f"Training data has no version ({path})",
            anchor=f"data version {need.path}",
        )


def _named_in_parts(repo: Repo, written: set[str]) -> list[tuple[Site, str]]:
    """Reads of training data whose path is put together of texts, one of them a folder of data that is not tracked."""
    from ml_engineer.assessment.ingestion import training_reads
    from ml_engineer.assessment.judging import read_paths
    from ml_engineer.assessment.values import constant

    for read in training_reads(repo):
        call, first = read.call, read.call.node.args[0] if read.call.node.args else None
        if first is None or call.module.is_notebook or isinstance(constant(repo, call.module, first), str):
            continue
        paths = read_paths(repo, call.module, first)
        folders = sorted(path for path in paths if _FOLDER.fullmatch(path))
        if folders and not any(path in written or _is_tracked(repo, call, path) for path in paths):
            return [(call.site(), folders[0])]
    return []


def _read_of_unknown_path(repo: Repo) -> Call | None:
    """The first read of training data whose path a configuration, an option, a helper or a bucket gives, in a
    repository that tracks no data, has no submodule to hold it, and makes none."""
    from ml_engineer.assessment.ingestion import training_reads
    from ml_engineer.assessment.judging import read_paths
    from ml_engineer.assessment.values import constant

    reads = [read.call for read in training_reads(repo) if not read.call.module.is_notebook]
    tracked = (path for path in {*repo.files, *(repo.git.tracked or ())} if _DATA_FILE.search(path))
    if not reads or any(not _RESULT.search(path) for path in tracked) or repo.glob(".gitmodules"):
        return None
    if any(_MAKES_DATA.search(module.path) for module in repo.modules):
        return None
    if next(repo.calls("sklearn.datasets.make_*", tests=False), None) is not None:
        return None
    for call in reads:
        first = call.node.args[0] if call.node.args else None
        if first is None or isinstance(constant(repo, call.module, first), str):
            continue
        if not read_paths(repo, call.module, first):
            return call
    return None


def _written(repo: Repo) -> set[str]:
    """Paths of tables that a program of the repository writes: what made them is versioned with the code."""
    found = set()
    for call in repo.calls("*.to_csv", "*.to_parquet", "*.to_feather", "*.to_pickle", tests=False):
        path = call.module.literal(call.node.args[0]) if call.node.args else None
        if isinstance(path, str):
            found.add(path)
    return found


def _has_versions(repo: Repo) -> bool:
    if repo.glob("*.dvc", "dvc.yaml", ".dvc/config"):
        return True
    kept = (
        line.split()[0] for f in repo.glob(".gitattributes") for line in f.text.splitlines() if "filter=lfs" in line
    )
    if any(not pattern.endswith(_WEIGHTS) for pattern in kept):
        return True
    modules = repo.closure("train").modules
    return any(_VERSIONED.search(module.file.text) for module in modules if not module.is_notebook)


def _option(call: Call) -> str | None:
    """Default of a command-line option for training data, where it is a path."""
    name = call.module.literal(call.argument(0, "name"))
    if not isinstance(name, str) or not re.match(
        r"-*(data|train|dataset|input|images|imgs)(set)?([_-]?(path|dir|root|file|folder))?$", name
    ):
        return None
    default = call.module.literal(call.keyword("default"))
    return (
        default if isinstance(default, str) and re.search(r"[/.\\]|^data", default) and "://" not in default else None
    )


def _is_pictures(call: Call) -> bool:
    """Whether it is an option for a folder of pictures: no name of a folder says so as surely."""
    name = call.module.literal(call.argument(0, "name")) if call.name.endswith(".add_argument") else None
    return isinstance(name, str) and name.lstrip("-").startswith(("images", "imgs"))


def _path(repo: Repo, call: Call) -> str | None:
    from ml_engineer.assessment.values import constant

    if not call.node.args:
        return None
    value = constant(repo, call.module, call.node.args[0])
    if not isinstance(value, str) or "://" in value or not value.strip():
        return None
    value = value.replace("\\", "/")
    if call.name == "open":
        mode = call.module.literal(call.argument(1, "mode"))
        if isinstance(mode, str) and set(mode) & set("wax"):
            return None
    return value


def _is_tracked(repo: Repo, call: Call, path: str) -> bool:
    """Whether the data, or anything in that folder, is part of the repository."""
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        name = posixpath.basename(path)
        return "." in name and any(p == name or p.endswith(f"/{name}") for p in repo.files)
    ending = posixpath.normpath(path).lstrip("./").rstrip("/*")
    folder = call.module.file.folder
    for base in dict.fromkeys((folder, "", posixpath.dirname(folder))):
        full = posixpath.normpath(posixpath.join(base, path.rstrip("/*"))).lstrip("./")
        if full in repo.files or full in (repo.git.tracked or ()) or any(p.startswith(f"{full}/") for p in repo.files):
            return True
    return bool(ending) and any(p == ending or p.endswith(f"/{ending}") or f"/{ending}/" in f"/{p}" for p in repo.files)
