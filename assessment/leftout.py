"""Models that a service loads when it starts and that .dockerignore keeps out of the image that runs it."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Dockerfile
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_LOADERS = (
    "torch.load", "torch.jit.load", "joblib.load", "pandas.read_pickle", "*keras.models.load_model", "open",
    "onnxruntime.InferenceSession",
)  # fmt: skip
_MODEL = re.compile(r"\.(pkl|pickle|joblib|sav|pt|pth|ckpt|h5|hdf5|keras|onnx|safetensors)$", re.I)
_SERVERS = frozenset("uvicorn gunicorn hypercorn fastapi flask streamlit waitress-serve".split())
# A command of the build, or code of the service, that may bring the file after all.
_BRINGS = re.compile(
    r"download|urlretrieve|requests\.get|boto3|storage\.Client|mlflow|wandb|gdown|curl|wget|\bdvc\b|s3"
)
_MAKES = re.compile(r"(^|[\s;&/])(python3?|dvc|make|curl|wget|aws|gsutil|git|gdown|unzip|tar)\s(?!-m pip\b)")
_MOUNTS = re.compile(r"\s(-v|--volume|--mount)[\s=]|^\s*-\s*\S+:\S|mountPath|target:|source:")


def left_out(repo: Repo) -> Iterator[tuple[Dockerfile, str, Call]]:
    """(Dockerfile, path of the model in the build context, call that loads it)."""
    from ml_engineer.assessment.buildcontext import ignore_of

    loads: list[tuple[Call, str]] | None = None
    for docker in repo.dockerfiles:
        final = docker.final
        if final is None or "test" in docker.file.roles or not _SERVERS & set(final.start_words):
            continue
        context = docker.contexts[0] if docker.contexts else ""
        ignore = ignore_of(repo, docker, context)
        if ignore is None or not _copies_all(docker) or any(_MAKES.search(r.script) for r in final.of("RUN")):
            continue
        loads = list(_loads(repo)) if loads is None else loads
        for call, path in loads:
            # The program starts in the folder that the whole context was copied to.
            inside = not context or call.module.path.startswith(f"{context}/")
            if inside and ignore.excludes(path) and not _mounted(repo, path):
                yield docker, path, call


def _copies_all(docker: Dockerfile) -> bool:
    """Whether the shipped stage takes its context as a whole, and from other stages nothing that holds models."""
    final = docker.final
    if final is None:
        return False
    whole = False
    for copy in final.copies:
        if copy.stage is not None and re.search(r"model|artifact|artefact|\bapp\b", " ".join(copy.sources)):
            return False
        whole = whole or (copy.stage is None and any(source in (".", "./") for source in copy.sources))
    return whole


def _loads(repo: Repo) -> Iterator[tuple[Call, str]]:
    """Loads of a model by a fixed path that a service makes whatever happens: nothing asks first, nothing catches."""
    from ml_engineer.assessment.values import constant

    served = repo.closure("serve")
    if any(_BRINGS.search(module.file.text) for module in served.modules):
        return
    for call in repo.calls(*_LOADERS, tests=False):
        if not call.node.args or call.module.is_notebook or not served.covers(call.module, call.node):
            continue
        if call.name == "open" and "r" not in str(call.module.literal(call.argument(1, "mode"))):
            continue
        path = constant(repo, call.module, _default(call.module, call.node.args[0]))
        if not isinstance(path, str) or not _MODEL.search(path) or path.startswith(("/", "~", "..")) or ":" in path:
            continue
        if any(isinstance(above, ast.Try | ast.If) for above in call.module.ancestors(call.node)):
            continue
        yield call, posixpath.normpath(path)


def _default(module: Module, node: ast.expr) -> ast.expr:
    """What stands for a path unless the environment says otherwise: `os.getenv("MODEL", "m.pkl")`."""
    value = module.value(node) or node
    if isinstance(value, ast.Call) and len(value.args) == 2:
        if module.resolve(value.func) in ("os.getenv", "os.environ.get"):
            return value.args[1]
    return node


def _mounted(repo: Repo, path: str) -> bool:
    """Whether a description of how the image is run mounts the folder of the model, or names the file otherwise."""
    folders = [part for part in posixpath.dirname(path).split("/") if part] or [posixpath.basename(path)]
    for file in repo.glob("*.yml", "*.yaml", "*.md", "*.sh", "Makefile", "*.tf", "*.json", "justfile"):
        if file.size > 200_000:
            continue
        if any(_MOUNTS.search(line) and any(part in line for part in folders) for line in file.lines):
            return True
    return False
