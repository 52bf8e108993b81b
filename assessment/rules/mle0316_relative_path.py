"""M3-16: artefacts and configuration found only from one working directory, where training or serving runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import values
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_FILE = re.compile(
    r"(?:\.{1,2}/)*(?:[\w -]+/)*[\w.-]+\.(?:pkl|pickle|joblib|sav|dill|pth?|ckpt|bin|h5|hdf5|keras|onnx|pb|tflite|json|"
    r"safetensors|ya?ml|toml|ini|cfg|csv|tsv|parquet|feather|xlsx?|npy|npz|txt|names|db|sqlite|cbm|ubj|model|weights)"
)
_READERS = (
    "open", "io.open", "pandas.read_*", "numpy.load*", "numpy.genfromtxt", "pathlib.Path", "*ConfigParser().read",
    "cv2.imread", "sqlite3.connect", "*.read_csv", "omegaconf.OmegaConf.load", "polars.read_*", "*CascadeClassifier",
)  # fmt: skip


def _trains_or_serves(repo: Repo) -> bool:
    return bool(repo.closure("train", "serve"))


@rule(
    id="MLE0316",
    name="relative-path",
    step=3,
    severity=LOW,
    title="File is found only from one working directory",
    why="A scheduler, a service manager or a test starts elsewhere, and the file is not there.",
    remedy="Build the path from the project's root or `Path(__file__).parent`, or take it from configuration.",
    source="observed",
    applies=_trains_or_serves,
)
def check(repo: Repo) -> Iterator[Hit]:
    closure = repo.closure("train", "serve")
    for module in sorted(closure.modules, key=lambda m: m.path):
        if module.is_notebook or "test" in module.file.roles or _moves(module):
            continue
        calls = [call for call in module.calls if _reads_relative(repo, call) and closure.covers(module, call.node)]
        if calls:
            yield Hit([call.site() for call in calls], anchor=module.path)


def _moves(module: Module) -> bool:
    """Whether the program itself goes to its own folder first, or Hydra makes its paths."""
    return "os.chdir" in module.call_names or any(item.top == "hydra" for item in module.imports)


def _reads_relative(repo: Repo, call: Call) -> bool:
    if not call.node.args or (call.name.startswith("pandas.read_") and "(" in call.name):  # methods of what was read
        return False
    reads = matches(call.name, *_READERS, *values.ARTEFACT_LOADERS) or call.name in repo.functions
    return reads and not _writes(call) and _is_relative(repo, call.module, call.node.args[0])


def _writes(call: Call) -> bool:
    mode = call.module.literal(call.argument(1, "mode"))
    return call.name in ("open", "io.open") and isinstance(mode, str) and mode[:1] in ("w", "a", "x")


def _is_relative(repo: Repo, module: Module, node: ast.expr) -> bool:
    """Whether an expression is a literal path without an anchor, also where it is joined from literals."""
    value = values.constant(repo, module, node)
    if isinstance(value, str):
        return _FILE.fullmatch(value) is not None
    node = module.value(node) or node
    if isinstance(node, ast.Call) and module.resolve(node.func) == "os.path.join":
        parts = [values.constant(repo, module, argument) for argument in node.args]
        if parts and all(isinstance(part, str) for part in parts):
            return _FILE.fullmatch("/".join(str(part).rstrip("/") for part in parts)) is not None
    return False
