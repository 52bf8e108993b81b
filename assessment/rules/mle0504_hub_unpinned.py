"""M5-04: models and data sets fetched from a hub by name alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.commands import Command
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_FETCHING = (
    "transformers.*.from_pretrained", "diffusers.*.from_pretrained", "peft.*.from_pretrained",
    "tokenizers.*.from_pretrained", "optimum.*.from_pretrained", "setfit.*.from_pretrained", "datasets.load_dataset",
    "huggingface_hub.hf_hub_download", "huggingface_hub.snapshot_download", "transformers.pipeline",
    "transformers.pipelines.pipeline", "sentence_transformers.SentenceTransformer",
)  # fmt: skip
_REMOTE_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_FILE = re.compile(
    r"\.(pt|pth|bin|json|csv|onnx|pkl|h5|safetensors|parquet|txt|gguf)$|^(models?|data|weights|outputs?|loras?|adapters?|results?)/"
)
# As the default of an option: with its owner, or of a family that needs none.
_HUB_NAME = re.compile(
    r"(?!\.|data/|checkpoints?/|model_?\w*/|outputs?/|results?/|runs/|saved?_?\w*/|pretrained\w*/|weights/|logs?/)"
    r"([A-Za-z0-9][\w.-]*/[\w.-]+|[a-z][\w-]*?(bert|gpt|t5|bart|xlnet|electra|bloom)[\w.-]*|(bert|gpt|t5|bart|xlnet|electra)[\w.-]*)",
    re.I,
)
_BUILDERS = frozenset("csv json text parquet arrow pandas imagefolder audiofolder webdataset xml sql".split())
_PROGRAMS = ("huggingface-cli", "hf")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@rule(
    id="MLE0504",
    name="hub-unpinned",
    step=5,
    severity=MEDIUM,
    title="Model or data set comes from a hub without a pinned revision",
    why="The owner can change what stands behind the name: the same code then gives other predictions.",
    remedy="Pass revision= with the full commit hash, or keep a copy in your own registry.",
    source="bandit B615",
    applies=lambda repo: (
        any(True for _ in repo.calls(*_FETCHING, "*.from_pretrained", tests=False))
        or any(command.program in _PROGRAMS for command in repo.commands)
    ),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: dict[str, list[Site]] = {}
    for call in repo.calls(*_FETCHING, "*.from_pretrained", tests=False):
        name = _unpinned(repo, call)
        if name is not None:
            sites.setdefault(name, []).append(call.site())
    for command in repo.commands:
        name = _downloaded(command)
        if name is not None and command.origin != "readme":
            sites.setdefault(name, []).append(command.site)
    for name, group in sites.items():
        group.sort(key=lambda site: site.cell is not None)  # a notebook is the lesser place
        yield Hit(group, title=f"{name} is fetched from the hub without a pinned revision", anchor=name)


def _unpinned(repo: Repo, call: Call) -> str | None:
    """The remote id where the call fetches one without a commit; None also where that cannot be known."""
    from ml_engineer.assessment import callgraph, values
    from ml_engineer.assessment.repo import matches

    if not matches(call.name, *_FETCHING):
        owner = call.name.rpartition(".")[0]
        chosen = owner.startswith("?") and any(item.top == "transformers" for item in call.module.imports)
        if not chosen and not any(base.startswith("transformers.") for base in callgraph.bases(repo, owner)):
            return None
    revision = call.keyword("revision")
    if revision is not None:
        value = values.constant(repo, call.module, revision)
        if not isinstance(value, str) or _COMMIT.fullmatch(value):
            return None
    if call.has_unpacked_keywords and revision is None:
        return None
    return _remote_id(repo, call)


def _downloaded(command: Command) -> str | None:
    """The remote id that the hub's own program fetches without a commit."""
    if command.program not in _PROGRAMS or command.arguments[:1] != ("download",):
        return None
    name = next((word for word in command.arguments[1:] if not word.startswith("-")), "")
    revision = command.simple.option("--revision")
    return name if _REMOTE_ID.fullmatch(name) and not _COMMIT.fullmatch(revision or "") else None


def _option(module: Module, name: str) -> object:
    """What an option of the command line, or a field of the arguments, names unless it is given: a model of a hub."""
    defaults: list[ast.expr | None] = []
    for call in module.calls:
        if call.name == "argparse.ArgumentParser().add_argument":
            flags = (module.literal(argument) for argument in call.node.args)
            if any(isinstance(flag, str) and flag.lstrip("-").replace("-", "_") == name for flag in flags):
                defaults.append(call.keyword("default"))
    for field in module.nodes(ast.AnnAssign):
        if isinstance(field.target, ast.Name) and field.target.id == name and module.enclosing(field, ast.ClassDef):
            value = field.value
            if isinstance(value, ast.Call) and module.resolve(value.func) == "dataclasses.field":
                value = module.call_of(value).keyword("default")
            defaults.append(value)
    texts = [text for node in defaults if isinstance(text := module.literal(node), str)]
    return texts[0] if len(texts) == 1 and _HUB_NAME.fullmatch(texts[0]) else None


def _default(call: Call, name: str) -> object:
    """The default of the parameter of that name, in the function that makes the call: what is fetched unless told."""
    if call.scope is None:
        return None
    arguments = call.scope.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    found = next((value for parameter, value in pairs if parameter.arg == name), None)
    value = call.module.literal(found) if found is not None else None
    return value if isinstance(value, str) and ("/" in value or _HUB_NAME.fullmatch(value)) else None


def _kept(call: Call, given: ast.Attribute) -> object:
    """The same where the constructor keeps the parameter first: `self.name = name`."""
    for node in walk(call.scope.node) if call.scope is not None else ():
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(given):
            return _default(call, node.value.id) if isinstance(node.value, ast.Name) else None
    return None


def _unless_set(repo: Repo, call: Call, given: ast.Name) -> object:
    """What is taken where no environment variable says otherwise: `os.environ.get("MODEL", "org/name")`."""
    from ml_engineer.assessment import values

    found = values.definition(repo, call.module, given)
    if found is None or not isinstance(found[1], ast.Call) or len(found[1].args) < 2:
        return None
    is_variable = found[0].resolve(found[1].func) in ("os.environ.get", "os.getenv")
    return found[0].literal(found[1].args[1]) if is_variable else None


def _handed_in(repo: Repo, call: Call, given: ast.Name) -> object:
    """The one name of the form `owner/name` that callers hand in for a parameter."""
    from ml_engineer.assessment.dataflow import sources

    constants = (s.node.value for s in sources(repo, call.module, given) if isinstance(s.node, ast.Constant))
    names = {text for text in constants if isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", text)}
    return names.pop() if len(names) == 1 else None


def _remote_id(repo: Repo, call: Call) -> str | None:
    from ml_engineer.assessment import values
    from ml_engineer.assessment.configured import configured

    is_pipeline = call.name.endswith(".pipeline")
    second = is_pipeline or call.name.startswith("peft.")
    names = ("model", "pretrained_model_name_or_path", "repo_id", "path", "model_name_or_path", "model_id")
    given = call.node.args[int(second)] if len(call.node.args) > int(second) else None
    given = given or next(filter(None, map(call.keyword, names)), None)
    if given is None and is_pipeline and call.node.args:
        task = call.module.literal(call.node.args[0])
        return f"the default model of {task!r}" if isinstance(task, str) else None
    value = values.constant(repo, call.module, given)
    if not isinstance(value, str):
        value = configured(repo, call.module, given)
    if not isinstance(value, str) and isinstance(given, ast.Attribute):
        value = _option(call.module, given.attr) or _kept(call, given)
    if not isinstance(value, str) and isinstance(given, ast.Name):
        value = _default(call, given.id) or _unless_set(repo, call, given) or _handed_in(repo, call, given)
    if not isinstance(value, str) or not _REMOTE_ID.fullmatch(value) or _FILE.search(value) or value in _BUILDERS:
        return None
    if any(path == value or path.startswith(f"{value}/") for path in repo.files):
        return None  # a folder of this repository
    if call.name.startswith("peft.") and "/" not in value:
        return None  # an adapter that training has put beside the code
    return value
