"""What a configuration file of the repository says where a program asks for it by keys.

    config = yaml.safe_load(open("params.yaml"))
    configured(repo, module, <config["serve"]["model"]>)      "models/m.joblib"

Keys are followed through names, `.get("key")`, and attributes of an OmegaConf, Box or Namespace; the file is the one
whose name goes into the value, or, where only the command line knows it, the one file in which all the keys stand.
"""

from __future__ import annotations

import ast
import posixpath
import re
from typing import TYPE_CHECKING

from ml_engineer.assessment.module import UNKNOWN
from ml_engineer.assessment.once import once

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

MAX_BYTES = 100_000
_FILES = ("*.yaml", "*.yml", "*.json", "*.toml")
_NO_SETTINGS = re.compile(
    r"(^|/)(package(-lock)?|tsconfig|composer|angular|manifest)\.json$|compose[\w.-]*\.ya?ml$|(^|/)\."
)
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|abfss?|wasbs?)://", re.I)
_NAMES = re.compile(r"conf|param|cfg|setting|option|opts|\bargs\b", re.I)
_LOADERS = re.compile(
    r"(yaml|ruamel|json|simplejson|toml|tomllib|omegaconf|box|hydra|anyconfig|dynaconf|easydict)\b.*(load|Box|EasyDict|Conf)"
)


def configured(repo: Repo, module: Module, node: ast.expr | None) -> object:
    """The plain value that a configuration file holds for an expression; `UNKNOWN` where that cannot be known."""
    root, keys = _peel(module, node)
    if root is None or not keys:
        return UNKNOWN
    named = _named_files(repo, module, root)
    if named is None:
        return UNKNOWN
    found = [value for file in named or _all(repo) if (value := _at(repo, file, keys)) is not UNKNOWN]
    return found[0] if len(found) == 1 or (named and found) else UNKNOWN


def address_of(repo: Repo, name: str) -> str | None:
    """The one address of the network that configuration files keep under a key: what `self.config.source_url` holds
    where a class of settings stands between the file and the program."""
    told = _addresses(repo).get(name, set())
    return next(iter(told)) if len(told) == 1 else None


@once
def _addresses(repo: Repo) -> dict[str, set[str]]:
    """Every address in a configuration file, by its key."""
    found: dict[str, set[str]] = {}
    for file in _all(repo):
        if b"://" not in file.data or file.suffix == ".toml":
            continue
        for document in repo.yaml(file).documents:
            for key, node in document.walk():
                if node.kind == "scalar" and _ADDRESS.match(node.text):
                    found.setdefault(key, set()).add(node.text)
    return found


def _peel(module: Module, node: ast.expr | None) -> tuple[ast.expr | None, tuple[str, ...]]:
    """What holds the whole configuration, and the keys that lead from there to the value."""
    keys: list[str] = []
    for _ in range(12):
        node = module.value(node)
        match node:
            case ast.Subscript(value=inner, slice=ast.Constant(value=str(key))):
                node = inner
            case ast.Call(func=ast.Attribute(value=inner, attr="get"), args=[ast.Constant(value=str(key)), *_]):
                node = inner
            case ast.Attribute(value=inner, attr=key) if not isinstance(inner, ast.Name) or inner.id not in (
                "self",
                "os",
            ):
                node = inner
            case _:
                break
        keys.insert(0, key)
    return node, tuple(keys)


def _named_files(repo: Repo, module: Module, root: ast.expr) -> list[File] | None:
    """Configuration files whose name goes into the root; empty where it is a configuration of an unknown file, None
    where it is none."""
    from ml_engineer.assessment.dataflow import sources, texts

    loaded = False
    said: set[str] = set()
    for step in sources(repo, module, root):
        loaded = loaded or bool(_LOADERS.match(step.name))
        said |= texts(step.node)
    bound = module.binding(root) if isinstance(root, ast.Name) else None
    is_settings = (
        isinstance(root, ast.Name) and bool(_NAMES.search(root.id)) and (bound is None or bound.target is None)
    )
    if not loaded and not is_settings:
        return None
    wanted = {posixpath.basename(text) for text in said if re.search(r"\.(ya?ml|json|toml)$", text)}
    found = [file for file in _all(repo) if file.name in wanted]
    return found if found or not wanted else None


@once
def _all(repo: Repo) -> list[File]:
    files = (file for file in repo.glob(*_FILES) if file.size <= MAX_BYTES)
    return [f for f in files if not f.roles & {"test", "vendored", "template"} and not _NO_SETTINGS.search(f.path)]


def _at(repo: Repo, file: File, keys: tuple[str, ...]) -> object:
    """The scalar under the keys in a file; they may stand below a section that the program has picked before."""
    if file.suffix == ".toml":
        from ml_engineer.assessment.declarations import toml

        value: object = toml(file)
        for key in keys:
            value = value.get(key, UNKNOWN) if isinstance(value, dict) else UNKNOWN
        return value if isinstance(value, str | int | float | bool) else UNKNOWN
    for document in repo.yaml(file).documents:
        for _, below in document.walk():
            node = below.get(*keys) if below.kind == "map" else None
            if node is not None and node.kind == "scalar" and not node.is_null:
                return node.plain()
    return UNKNOWN
