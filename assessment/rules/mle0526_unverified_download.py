"""M5-26: weights are fetched without a hash and then loaded."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import holds
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, SeverityName, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_FETCHES = (
    "gdown.download", "gdown.cached_download", "wget.download", "urllib.request.urlretrieve", "urllib.urlretrieve",
    "requests.get", "urllib.request.urlopen", "torch.hub.download_url_to_file", "torch.hub.load_state_dict_from_url",
    "torch.utils.model_zoo.load_url", "*keras.utils.get_file", "*keras.utils.data_utils.get_file", "os.system",
    "subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.Popen", "httpx.get",
)  # fmt: skip
_FETCH_AND_LOAD = ("torch.hub.load_state_dict_from_url", "torch.utils.model_zoo.load_url")
_LOADS = (
    "torch.load", "pickle.load", "pickle.loads", "joblib.load", "dill.load", "*keras.models.load_model",
    "*.load_weights", "onnxruntime.InferenceSession", "*.load_state_dict", "torch.jit.load", "numpy.load",
)  # fmt: skip
_RUNS_CODE = ("torch.load", "pickle.load", "pickle.loads", "joblib.load", "dill.load")
_ARTEFACT = re.compile(
    r"[\w./:%?=&{}-]+\.(pkl|pickle|joblib|pt|pth|ckpt|onnx|h5|hdf5|keras|bin|tflite|sav|weights)\b", re.I
)
_SHELL_FETCH = re.compile(r"\b(wget|curl|gdown)\b[^#\n]*")
_WRITTEN_TO = re.compile(
    r"\s(?:-o|-O|--output|--output-document)[\s=]+[\"']?([\w./-]*)/[\w.-]+\.(?:bin|pt|pth|ckpt|h5)\b"
)
_WEIGHTS = re.compile(r"pre-?trained|weights|checkpoint|\bmodels?/\S*\.(zip|tar|tgz|gz)\b", re.I)
_CHECKED = "sha256 sha512 sha1 md5 checksum hashlib check_hash=true known_hash file_hash".split()
_SCRIPTS = ("*.sh", "Dockerfile*", "Makefile", "*.mk")


def _loads_something(repo: Repo) -> bool:
    return any(True for _ in repo.calls(*_LOADS, "*.from_pretrained", tests=False))


@rule(
    id="MLE0526",
    name="unverified-download",
    step=5,
    severity=HIGH,
    title="Weights are downloaded and loaded without a check of their hash",
    why="Whoever can change the file at that address decides what runs here; a cut download is loaded as well.",
    remedy="Compare a SHA-256 that is kept in the repository before loading, and fail where it differs.",
    source="observed in public repositories; supply-chain practice",
    peers=("devops-engineer",),
    applies=_loads_something,
)
def check(repo: Repo) -> Iterator[Hit]:
    direct: list[Site] = []
    for module in repo.modules:
        if "test" in module.file.roles or holds(module.file.text, _CHECKED):
            continue
        for call in module.calls:
            if call.name in _FETCH_AND_LOAD:
                direct.extend([call.site()] if _is_foreign(repo, call) else [])
            elif _is_fetch(call):
                yield from _judge(repo, call)
        for line, magic in module.source.magics:
            fetched = _SHELL_FETCH.search(magic)
            named = _ARTEFACT.search(fetched[0]) if fetched else None
            loads = _loads_of(repo, named[0].rsplit("/", 1)[-1]) if named else None
            if loads:
                yield Hit([module.source.site(line), loads[1]], severity=loads[0])
    if direct:  # one habit, however many networks have their weights fetched so
        yield Hit(direct, severity=HIGH, anchor="fetched and loaded")
    for file in repo.glob(*_SCRIPTS):
        if holds(file.text, _CHECKED) or "docs" in file.roles:
            continue
        yield from _by_shell(repo, file)


def _by_shell(repo: Repo, file: File) -> Iterator[Hit]:
    """Downloads of a script: of a file that some code loads by its name, or of weights where code loads by a path."""
    from ml_engineer.assessment.shell import with_variables

    unnamed: list[Site] = []
    for line, match in file.find(_SHELL_FETCH):
        if "#" in match.string[: match.start()]:
            continue
        text = with_variables(file.lines, line, match[0])
        named = _ARTEFACT.search(text)
        loads = _loads_of(repo, named[0].rsplit("/", 1)[-1]) or _loads_around(repo, text) if named else None
        if named and loads:
            severity, site = loads
            yield Hit([file.site(line), site], severity=severity, anchor=f"{file.path} {named[0]}")
        elif "$" in match[0] and "://" in text and (named or _WEIGHTS.search(text)):
            unnamed.append(file.site(line))
    load = next(repo.calls(*_RUNS_CODE, tests=False), None) if unnamed else None
    if load is not None:
        yield Hit([*unnamed, load.site(note="loads by a path")], severity=MEDIUM, anchor=f"{file.path} weights")


def _is_fetch(call: Call) -> bool:
    from ml_engineer.assessment.repo import matches

    if not matches(call.name, *_FETCHES):
        return False
    if call.name.startswith(("os.", "subprocess.")):
        words = [n.value for a in call.node.args for n in walk(a) if isinstance(n, ast.Constant)]
        return bool(_SHELL_FETCH.search(" ".join(str(word) for word in words)))
    return True


def _judge(repo: Repo, call: Call) -> Iterator[Hit]:
    """The hit for a download whose file, or value, is loaded."""
    from ml_engineer.assessment.dataflow import sources

    module = call.module
    for load in repo.calls(*_LOADS, tests=False):
        argument = load.node.args[0] if load.node.args else None
        if argument is not None and any(s.node is call.node for s in sources(repo, load.module, argument)):
            yield Hit([call.site(), load.site(note="loaded here")], severity=_severity(load))
            return
    for name in _file_names(module, call):
        loads = _loads_of(repo, name)
        if loads:
            yield Hit([call.site(), loads[1]], severity=loads[0])
            return


def _is_foreign(repo: Repo, call: Call) -> bool:
    """Whether the address is known, and none of the hub's own: those carry a part of their hash in the name."""
    url = call.module.literal(call.argument(0, "url"))
    known = [url] if isinstance(url, str) else _written(repo, call) or _in_a_table(call)
    return bool(known) and not any("download.pytorch.org/" in text for text in known)


def _written(repo: Repo, call: Call) -> list[str]:
    """Names of weights in the texts that the address of a download is put together from."""
    from ml_engineer.assessment.dataflow import sources, texts

    url = call.argument(0, "url")
    found = [text for step in sources(repo, call.module, url) for text in texts(step.node)]
    return found if any(_ARTEFACT.search(text) for text in found) else []


def _in_a_table(call: Call) -> list[str]:
    """Addresses in the table of the module that a download takes its own from: `models[name].url`."""
    url = call.argument(0, "url")
    names = [node for node in walk(url) if isinstance(node, ast.Name)] if url is not None else []
    tables = (call.module.value(name) for name in names)
    literals = (
        node.value
        for table in tables
        if isinstance(table, ast.Dict)
        for node in walk(table)
        if isinstance(node, ast.Constant)
    )
    return [text for text in literals if isinstance(text, str) and "://" in text]


def _file_names(module: Module, call: Call) -> Iterator[str]:
    """Names of artefacts that the call, or the rest of its function, writes."""
    from ml_engineer.assessment.dataflow import texts

    nodes: list[ast.AST] = [*call.node.args, *(k.value for k in call.node.keywords)]
    if call.name in ("requests.get", "httpx.get", "urllib.request.urlopen"):
        nodes.append(call.scope.node if call.scope else module.statement_of(call.node))
    for node in nodes:
        value = module.value(node) if isinstance(node, ast.expr) else node
        for text in sorted(texts(value)):
            found = _ARTEFACT.search(text)
            if found:
                yield found[0].rsplit("/", 1)[-1]


def _loads_of(repo: Repo, name: str) -> tuple[SeverityName, Site] | None:
    """A call that loads the file of that name: the most dangerous one."""
    from ml_engineer.assessment.dataflow import sources, texts

    found: list[Call] = []
    for load in repo.calls(*_LOADS, tests=False):
        argument = load.node.args[0] if load.node.args else None
        steps = list(sources(repo, load.module, argument))
        if any(text.rsplit("/", 1)[-1] == name for step in steps for text in texts(step.node)):
            found.append(load)
    found.sort(key=lambda load: load.name not in _RUNS_CODE)
    return (_severity(found[0]), found[0].site(note="loaded here")) if found else None


def _loads_around(repo: Repo, command: str) -> tuple[SeverityName, Site] | None:
    """A call that loads the folder that weights are written to: `from_pretrained("model/")`."""
    folders = {posixpath.normpath(match[1]) for match in _WRITTEN_TO.finditer(command)}
    for load in repo.calls("*.from_pretrained", tests=False) if folders else ():
        path = load.module.literal(load.node.args[0]) if load.node.args else None
        if isinstance(path, str) and posixpath.normpath(path) in folders:
            return HIGH, load.site(note="loaded here")
    return None


def _severity(load: Call) -> SeverityName:
    safe = load.name == "torch.load" and load.module.literal(load.keyword("weights_only")) is True
    return HIGH if load.name in _RUNS_CODE and not safe else MEDIUM
