"""M1-15: the code loads an artefact that the repository neither holds, makes nor fetches."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_LOADERS = (
    "torch.load", "torch.jit.load", "joblib.load", "sklearn.externals.joblib.load", "*keras.models.load_model",
    "*.load_weights", "pandas.read_pickle", "numpy.load", "onnxruntime.InferenceSession", "fasttext.load_model",
    "lightgbm.Booster", "*.load_model", "*.load_from_checkpoint", "open", "skops.io.load", "cv2.CascadeClassifier",
)  # fmt: skip
_MODEL = re.compile(
    r"\.(pkl|pickle|joblib|sav|pt|pth|ckpt|h5|hdf5|keras|onnx|pb|tflite|safetensors|bin|model|cbm|dill|npy|npz)$", re.I
)
_BRINGS_MODELS = re.compile(
    r"\baz ml model download|\bmlflow artifacts download|\bwandb artifact get|\bgh release download|\bgit lfs pull|"
    r"\bdvc (pull|fetch|get|import)|\b(huggingface-cli|hf) download|"
    r"\b(aws s3 (cp|sync)|gsutil\b.*\b(cp|rsync)|gcloud storage cp|az storage blob download|azcopy|rclone|gdown)\b"
    r".*(model|weight|checkpoint|ckpt|artefact|artifact)",
    re.I,
)
MAX_TEXT = 500_000

_COPIED = re.compile(r"\s*(COPY|ADD)\s")  # a line of a Dockerfile


@rule(
    id="MLE0115",
    name="artefact-missing",
    step=1,
    severity=HIGH,
    title="A file that the code loads does not exist and nothing makes it",
    why="The program stops at the load: from a fresh clone it cannot start.",
    remedy="Commit a reference to it (DVC, LFS, a registry), add the step that makes it, or fetch it with a checksum.",
    source="observed in public repositories",
)
def check(repo: Repo) -> Iterator[Hit]:
    reached = [repo.closure("serve"), repo.closure("train")]
    found: dict[str, list[tuple[Call, bool]]] = {}
    for call in repo.calls(*_LOADERS, tests=False):
        path = _path(repo, call)
        if path is not None and not _exists(repo, call, path):
            covered = any(closure.covers(call.module, call.node) for closure in reached)
            found.setdefault(path, []).append((call, covered))
    for path, uses in found.items():
        if _made(repo, path, [call for call, _ in uses]):
            continue
        uses.sort(key=lambda use: not use[1])
        sites: list[Site] = [call.site() for call, _ in uses]
        yield Hit(
            sites,
            severity=HIGH if uses[0][1] and not uses[0][0].module.is_notebook else LOW,
            title=f"{path} is loaded, and nothing in the repository holds, makes or fetches it",
            anchor=path,
        )


def _path(repo: Repo, call: Call) -> str | None:
    from ml_engineer.assessment.values import constant

    if not call.node.args:
        return None
    value = constant(repo, call.module, call.node.args[0])
    if not isinstance(value, str) or not _MODEL.search(value) or "://" in value:
        return None
    value = value.replace("\\", "/")
    if value.startswith(("/", "~")) or re.match(r"[A-Za-z]:", value) or re.search(r"[{}*$%<>]", value):
        return None
    if call.name == "open":
        mode = call.module.literal(call.argument(1, "mode"))
        if not isinstance(mode, str) or "r" not in mode:
            return None
    return posixpath.normpath(value)


def _exists(repo: Repo, call: Call, path: str) -> bool:
    """Whether the file, or a reference to it, is part of the tree, of git's index or of what was skipped."""
    name = posixpath.basename(path)
    known = [*repo.files, *(repo.git.tracked or ()), *(skipped for skipped, _ in repo.skipped)]
    return any(p == name or p.endswith((f"/{name}", f"/{name}.dvc")) or p == f"{name}.dvc" for p in known)


def _made(repo: Repo, path: str, loads: list[Call]) -> bool:
    """Whether any other line of the repository names the file, or code saves to a path that cannot be known."""
    name = posixpath.basename(path)
    lines = {
        (call.module.path, number)
        for call in loads
        for number in range(call.node.lineno, (call.node.end_lineno or call.node.lineno) + 1)
    }
    bound = {call.module.path: _binding_line(call) for call in loads}
    for file in repo.files.values():
        if file.size > MAX_TEXT or file.roles & {"vendored"} or name not in file.text:
            continue
        module = repo.by_path.get(file.path)
        if module is None and all(_COPIED.match(line) for line in file.lines if name in line):
            continue  # an image is to hold it, too
        if module is None:
            return True  # a document, a script or a configuration names it
        if any(name in magic for _, magic in module.source.magics):
            return True  # a shell line of a notebook fetches or makes it
        for number, line in enumerate(module.source.lines, 1):
            if name in line and (file.path, number) not in lines and bound.get(file.path) != number:
                return True
    if any(_BRINGS_MODELS.search(command.text) for command in repo.commands if command.origin != "readme"):
        return True  # a registry or a bucket gives it, under a name of its own
    suffix = posixpath.splitext(path)[1].lower()
    writers = [name for suffixes, names in _KINDS if suffix in suffixes for name in names]
    return bool(writers) and any(_saves_somewhere(call) for call in repo.calls(*writers, tests=False))


# Suffixes of a kind of file, and the calls that write it.
_KINDS: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (frozenset(".pt .pth .ckpt .bin .model".split()), ("torch.save", "torch.jit.save", "*ModelCheckpoint")),
    (
        frozenset(".pkl .pickle .sav .joblib .model .dill".split()),
        ("pickle.dump", "joblib.dump", "dill.dump", "cloudpickle.dump", "*.to_pickle", "sklearn.externals.joblib.dump"),
    ),
    (frozenset(".h5 .hdf5 .keras .pb".split()), ("*.save", "*.save_weights", "*.save_model", "*ModelCheckpoint")),
    (frozenset([".npy", ".npz"]), ("numpy.save*",)),
    (frozenset([".onnx"]), ("torch.onnx.export", "*.export", "onnx.save*", "tf2onnx.*")),
    (frozenset(".cbm .model .bin .txt .json .ubj".split()), ("*.save_model",)),
)


def _saves_somewhere(call: Call) -> bool:
    """Whether a save writes to a path that is put together at run time."""
    given = [*call.node.args, *(k.value for k in call.node.keywords)]
    texts = [call.module.literal(argument) for argument in given]
    return not any(isinstance(text, str) and _MODEL.search(text) for text in texts)


def _binding_line(call: Call) -> int | None:
    """Line on which the path was given a name, where the load uses that name."""
    value = call.module.value(call.node.args[0])
    return value.lineno if value is not None else None
