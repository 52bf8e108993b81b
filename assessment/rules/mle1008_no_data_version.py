"""M10-08: training reads data that no version names."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
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
_DATA_OPTION = re.compile(
    r"-*(data|train|dataset|input|images|imgs)(set)?([_-]?(path|dir|root|file|folder))?$|"
    r"-*(?!out|res|save|samp|gen|fake|test|eval|log|pred)\w+_(data|dataset|image|images|img|audio|wav|train)s?[_-]?(path|dir|root|folder)$"
)
_PICTURE = re.compile(r"(^|/)(data|dataset|datasets|images?|train|test|raw)/.*\.(jpe?g|png|bmp|pgm)$", re.I)
# What a folder of data is kept by in git, and programs that lie in one.
_NO_ROWS = re.compile(r"(^|/)(\.git(keep|ignore)|\.keep|\.placeholder|__init__\.py|readme[^/]*)$|\.(py|sh|md)$", re.I)
_LISTS = re.compile(r"(class|label|meta|index|indices|vocab|black_?list|split)[^/]*(/|$)", re.I)  # about rows, and none
_NO_PLACE = re.compile(r"\.(ya?ml|toml|ini|cfg)$|^[./]*\w*/?$")  # a configuration, or an ending
_WEIGHTS = (".ckpt", ".pt", ".pth", ".bin", ".safetensors", ".onnx", ".joblib", ".keras", ".pb", ".tflite")
_RESULT = re.compile(
    r"(^|[/_])(output|result|log|metric|prediction|test|example|doc|demo|resource|asset)s?([/_.-]|$)", re.I
)
_MAKES_DATA = re.compile(
    r"generat(e|ing)(?!r|[_-]?(plot|figure|chart|report|doc|summar|text|caption|answer|response|predict|submi|config))|"
    r"synth|simulat|(make|create|fake|dummy|mock)_?(data|sample)",
    re.I,
)
_CHAINED = re.compile(r"(pandas|polars|dask)\..*\(\)")  # a method of what was read
_VERSIONED = re.compile(r"\b(dvc|lakefs|deltalake|delta\.|pachyderm|quilt3|git-lfs|checksum)\b", re.I)
_DIGEST = re.compile(r"\b(sha256|md5|hashlib)\b", re.I)
_OF_A_FILE = re.compile(r"[\"']rb[\"']|read_bytes|file_digest|hash_pandas_object|\.tobytes|[a-fA-F0-9]{32}")


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
    vague: list[tuple[Site, str]] = []  # a file in a folder that is not known: an option may name the folder
    written = _written(repo)
    calls = [c for c in _reads(repo) if not _CHAINED.match(c.name) and not _only_looks_for_weights(c)]
    if _has_published_data_only(repo):
        calls = [call for call in calls if not call.name.endswith(".add_argument")]
    if not all(call.module.is_notebook for call in calls):  # notebooks beside a program are for looking around
        calls = [call for call in calls if not call.module.is_notebook]
    for call in calls:
        path = _option(call) if call.name.endswith((".add_argument", ".DEFINE_string")) else _path(repo, call)
        if (
            path
            and "test" not in call.module.file.roles
            and not _is_released(call)
            and (_DATA_NAME.search(path) or _is_pictures(call))
            and path not in written
            and not _is_made(repo, path)
            and not _is_weights(call, path)
            and not _is_tracked(repo, call, path)
        ):
            (vague if _is_vague(repo, call) else sites).append((call.site(), path))
    sites = sites or vague
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


def _is_released(call: Call) -> bool:
    """Whether the module that reads it fetches the files of a release, which has a version."""
    return b"releases/download" in call.module.file.data


def _is_weights(call: Call, path: str) -> bool:
    """Whether it is Keras's file of weights, which has the ending of a file of data."""
    place = f"{ast.unparse(call.node)} {call.scope.qualname if call.scope else ''}"
    return path.endswith((".h5", ".hdf5")) and re.search(r"checkpoint|weights|model", place, re.I) is not None


def _reads(repo: Repo) -> Iterator[Call]:
    """What training reads, and what the programs read that write its tables."""
    from ml_engineer.assessment.handovers import writers_of
    from ml_engineer.assessment.repo import matches

    closure = repo.closure("train")
    seen = set(closure.modules)
    makers: list[Module] = []
    for call in closure.calls(*READERS, "*.add_argument", "*.DEFINE_string"):
        yield call
        makers += writers_of(repo, call)
    while makers:
        module = makers.pop()
        if module in seen or "test" in module.file.roles:
            continue
        seen.add(module)
        imported = [found[0] for item in module.imports if (found := repo.local(module, item.target)) is not None]
        for call in (call for one in dict.fromkeys((module, *imported)) for call in one.calls):
            if matches(call.name, *READERS):
                yield call
                makers += writers_of(repo, call)


def _only_looks_for_weights(call: Call) -> bool:
    """`glob("*.pkl")` in the folder where a program keeps its checkpoints."""
    pattern = call.module.literal(call.node.args[0]) if call.name == "glob.glob" and call.node.args else None
    return isinstance(pattern, str) and bool(re.fullmatch(r"(\./)?\*\.(pkl|pt|pth|ckpt)", pattern))


def _has_published_data_only(repo: Repo) -> bool:
    """Whether training reads data sets of torchvision and the like, which check what they fetch, and nothing else."""
    from ml_engineer.assessment.ingestion import training_reads

    fetched = (c for c in repo.closure("train").calls("torchvision.datasets.*", "torchaudio.datasets.*"))
    return any(c.module.literal(c.keyword("download")) is True for c in fetched) and not training_reads(repo)


def _named_in_parts(repo: Repo, written: set[str]) -> list[tuple[Site, str]]:
    """Reads of training data whose path is put together of texts, one of them a folder of data that is not tracked."""
    from ml_engineer.assessment.ingestion import training_reads
    from ml_engineer.assessment.judging import read_paths
    from ml_engineer.assessment.values import known_text

    for read in training_reads(repo):
        call, first = read.call, read.call.node.args[0] if read.call.node.args else None
        if first is None or call.module.is_notebook or known_text(repo, call.module, first) is not None:
            continue
        if _is_released(call):
            continue
        paths = read_paths(repo, call.module, first)
        folders = sorted(path for path in paths if _FOLDER.fullmatch(path) or _DATA_FILE.search(path[1:]))
        if folders and not any(path in written or _is_tracked(repo, call, path) for path in paths):
            return [(call.site(), folders[0])]
    return []


def _read_of_unknown_path(repo: Repo) -> Call | None:
    """The first read of training data whose path a configuration, an option, a helper or a bucket gives, in a
    repository that tracks no data, has no submodule to hold it, and makes none."""
    from ml_engineer.assessment.ingestion import training_reads
    from ml_engineer.assessment.judging import read_paths
    from ml_engineer.assessment.values import known_text

    samples_first = sorted(training_reads(repo), key=lambda read: not read.sample)
    reads = [read.call for read in samples_first if not read.call.module.is_notebook and not _is_released(read.call)]
    kept = {*repo.files, *(repo.git.tracked or ())}
    tracked = (path for path in kept if _DATA_FILE.search(path) and not _LISTS.search(path))
    if not reads or any(not _RESULT.search(path) for path in tracked) or repo.glob(".gitmodules"):
        return None
    if sum(_PICTURE.search(path) is not None for path in repo.git.tracked or repo.files) >= 100:
        return None  # pictures in git are versioned with the code
    if any(_MAKES_DATA.search(module.path) for module in repo.modules):
        return None
    if next(repo.calls("sklearn.datasets.make_*", tests=False), None) is not None:
        return None
    for call in reads:
        first = call.node.args[0] if call.node.args else None
        if first is None or known_text(repo, call.module, first) is not None:
            continue
        if all(_NO_PLACE.search(path) for path in read_paths(repo, call.module, first)):
            return call
    return None


def _written(repo: Repo) -> set[str]:
    """Paths of tables that a program of the repository writes: what made them is versioned with the code."""
    calls = repo.calls("*.to_csv", "*.to_parquet", "*.to_feather", "*.to_pickle", "*.to_hdf", tests=False)
    paths = (_known(repo, call) for call in calls)
    return {path for path in paths if path is not None}


def _is_made(repo: Repo, path: str) -> bool:
    """Whether a program writes a table whose name is put together, and the path may be what comes of it: what is
    `data/{name}_df.pkl` there is `data/train_df.pkl` here."""
    for call in repo.calls("*.to_csv", "*.to_parquet", "*.to_feather", "*.to_pickle", "*.to_hdf", tests=False):
        value = call.module.value(call.node.args[0]) if call.node.args else None
        for part in walk(value) if value is not None else ():
            ending = part.values[-1] if isinstance(part, ast.JoinedStr) and len(part.values) > 1 else None
            if isinstance(ending, ast.Constant) and isinstance(ending.value, str) and len(ending.value) > 5:
                if path.endswith(ending.value):
                    return True
    return False


def _has_versions(repo: Repo) -> bool:
    if repo.glob("*.dvc", "dvc.yaml", ".dvc/config"):
        return True
    kept = (
        line.split()[0] for f in repo.glob(".gitattributes") for line in f.text.splitlines() if "filter=lfs" in line
    )
    if any(not pattern.endswith(_WEIGHTS) for pattern in kept):
        return True
    texts = [module.file.text for module in repo.closure("train").modules if not module.is_notebook]
    if any(_VERSIONED.search(text) for text in texts):
        return True
    # A digest is one of data where content is read for it; others name files of a cache.
    return any(_DIGEST.search(text) and _OF_A_FILE.search(text) for text in texts)


def _option(call: Call) -> str | None:
    """Default of a command-line option for training data, where it is a path."""
    name = call.module.literal(call.argument(0, "name"))
    if not isinstance(name, str) or not _DATA_OPTION.match(name):
        return None
    positional = call.argument(1, "default") if call.name.endswith(".DEFINE_string") else None
    default = call.module.literal(positional or call.keyword("default"))
    return (
        default if isinstance(default, str) and re.search(r"[/.\\]|^data", default) and "://" not in default else None
    )


def _is_pictures(call: Call) -> bool:
    """Whether it is an option for a folder of pictures: no name of a folder says so as surely."""
    name = call.module.literal(call.argument(0, "name")) if call.name.endswith(".add_argument") else None
    return isinstance(name, str) and name.lstrip("-").startswith(("images", "imgs"))


def _known(repo: Repo, call: Call) -> str | None:
    """The path that a call is given; of one that starts in a folder which is not known, the name of the file."""
    from ml_engineer.assessment.values import known_text

    named = (call.keyword(word) for word in ("root", "directory", "filepath_or_buffer"))
    given = call.node.args[0] if call.node.args else next((node for node in named if node is not None), None)
    value = known_text(repo, call.module, given)
    given = call.module.value(given) if given is not None else None
    if value is None and isinstance(given, ast.Call | ast.BinOp | ast.JoinedStr):
        value = next((text for text in _literals(given) if _DATA_FILE.search(text[1:])), None)
    return value


def _literals(node: ast.expr) -> Iterator[str]:
    return (n.value.lstrip("/") for n in walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def _is_vague(repo: Repo, call: Call) -> bool:
    from ml_engineer.assessment.values import known_text

    given = call.node.args[0] if call.node.args else None
    return isinstance(given, ast.Call | ast.BinOp | ast.JoinedStr) and known_text(repo, call.module, given) is None


def _path(repo: Repo, call: Call) -> str | None:
    value = _known(repo, call)
    if value is None or "://" in value or not value.strip():
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
        tracked = {*repo.files, *(repo.git.tracked or ())}  # some content may be missing from this copy
        return "." in name and any(p == name or p.endswith(f"/{name}") for p in tracked)
    ending = posixpath.normpath(path).lstrip("./").rstrip("/*")
    folder = call.module.file.folder
    kept = [p for p in repo.files if not _NO_ROWS.search(p)]
    for base in dict.fromkeys((folder, "", posixpath.dirname(folder))):
        full = posixpath.normpath(posixpath.join(base, path.rstrip("/*"))).lstrip("./")
        if full in repo.files or full in (repo.git.tracked or ()) or any(p.startswith(f"{full}/") for p in kept):
            return True
    return bool(ending) and any(p == ending or p.endswith(f"/{ending}") or f"/{ending}/" in f"/{p}" for p in kept)
