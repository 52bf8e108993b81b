"""M5-02: artefacts read by loaders that can run code. `torch.load` has a rule of its own, M5-01."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import CRITICAL, HIGH, LOW, MEDIUM, Hit, SeverityName, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.dataflow import Step
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_PICKLES = (
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.load", "cPickle.loads", "_pickle.load",
    "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load",
    "sklearn.externals.joblib.load", "pandas.read_pickle", "six.moves.cPickle.load",
    "surprise.dump.load", "statsmodels.*.load", "statsmodels.*.load_pickle",
    "numpy.load", "numpy.lib.npyio.load", "yaml.load", "yaml.load_all", "yaml.unsafe_load",
)  # fmt: skip
_SAFE_YAML = re.compile(r"yaml\.(C?SafeLoader|C?BaseLoader|C?FullLoader)|.*\.C?SafeLoader|ruamel|strictyaml")
_HASHED = re.compile(r"\b(hashlib|hmac)\.|\b(verify|check|validate)_(sha\w*|hash|checksum|digest|signature)", re.I)
_PATH_CALLS = re.compile(
    r"(open|str|gzip\.open|bz2\.open|io\.\w+|os\.path\.(abspath|expanduser|realpath)|os\.fspath|pathlib\.\w+)$|"
    r".*\.(open|read_bytes|absolute|resolve|expanduser|read|getvalue|strip)$"
)
_DOWNLOADS = re.compile(r"(requests|httpx|urllib3)\.|urllib\.request\.urlopen|aiohttp\.")
_ORDER: dict[SeverityName, int] = {CRITICAL: 0, HIGH: 1, MEDIUM: 2, LOW: 3}


@rule(
    id="MLE0502",
    name="unsafe-load",
    step=5,
    severity=MEDIUM,
    title="Artefact is loaded by a format that can run code",
    why="Unpickling runs whatever the file says: who can replace the artefact runs code in this process.",
    remedy="Ship the model as skops, ONNX or safetensors, or check a signed hash of the file before loading it.",
    source="bandit B301; Trail of Bits",
    peers=("devops-engineer",),
)
def check(repo: Repo) -> Iterator[Hit]:
    groups: dict[tuple[str, SeverityName], list[Site]] = {}
    titles: dict[tuple[str, SeverityName], str] = {}
    for call in repo.calls(*_PICKLES, tests=False):
        if not _can_run_code(call):
            continue
        severity, title = _judge(repo, call)
        key = (call.module.path, severity)
        groups.setdefault(key, []).append(call.site())
        titles.setdefault(key, title)
    for key in sorted(groups, key=lambda k: (_ORDER[k[1]], k[0])):
        yield Hit(groups[key], severity=key[1], title=titles[key])


def _can_run_code(call: Call) -> bool:
    module, name = call.module, call.name
    if name.startswith("numpy."):
        return module.literal(call.argument(2, "allow_pickle")) is True
    if name in ("yaml.load", "yaml.load_all"):
        loader = call.argument(1, "Loader")
        return loader is None or not _SAFE_YAML.match(module.resolve(loader))
    if name.endswith("loads") and call.node.args:  # a copy made by dumping and loading again
        return not module.resolve(call.node.args[0]).replace("()", "").endswith(".dumps")
    return True


def _is_one_of_a_folder(call: Call) -> bool:
    """Whether a path starts with a fixed folder and ends with a fixed ending: `join(MODELS, name, name + ".pkl")`."""
    value = call.module.value(call.node.args[0]) if call.node.args else None
    if isinstance(value, ast.Call) and call.module.resolve(value.func) in ("open", "os.path.join") and value.args:
        if call.module.resolve(value.func) == "open":
            value = call.module.value(value.args[0])
    if not isinstance(value, ast.Call) or call.module.resolve(value.func) != "os.path.join" or len(value.args) < 2:
        return False
    first, last = value.args[0], value.args[-1]
    fixed = isinstance(first, ast.Constant) or (isinstance(first, ast.Name) and first.id.isupper())
    match last:
        case ast.BinOp(op=ast.Add(), right=ast.Constant(value=str() as ending)):
            return fixed and ending.startswith(".")
        case ast.JoinedStr(values=[*_, ast.Constant(value=str() as ending)]):
            return fixed and ending.startswith(".")
    return False


def _judge(repo: Repo, call: Call) -> tuple[SeverityName, str]:
    """Severity and title, by who decides what is loaded. An operator who names a file could run code anyway."""
    from ml_engineer.assessment.taint import taint

    loader = call.name
    found = taint(repo, call.module, call.node.args[0] if call.node.args else None)
    if "request" in found:
        if _is_one_of_a_folder(call):
            return MEDIUM, f"{loader} loads the file of a folder that the request names"
        return CRITICAL, f"{loader} loads what the request names or contains"
    if _is_downloaded(repo, call):
        return CRITICAL, f"{loader} loads a download"
    if _is_hash_checked(call):
        return LOW, f"{loader} loads an artefact whose hash is checked"
    given = call.node.args[0] if call.node.args else None
    if "argv" in taint(repo, call.module, given, _is_whole_path) and _is_asked(repo, call):
        return HIGH, f"{loader} loads a path taken from the command line"
    if call.name.startswith("yaml."):
        return MEDIUM, "yaml.load without a safe loader builds any Python object the file asks for"
    if call.name.startswith("numpy."):
        return MEDIUM, "numpy.load with allow_pickle=True runs code from the file"
    return MEDIUM, f"{loader} loads an artefact in a format that can run code"


def _is_asked(repo: Repo, call: Call) -> bool:
    """Whether the program answers with the model, and does not judge it on the developer's own machine."""
    place = (call.module, call.node)
    return repo.closure("serve", "predict").covers(*place) and not repo.closure("evaluate").covers(*place)


def _is_whole_path(step: Step) -> bool:
    """Whether a step still is the path or its file, not a folder, a name in a registry or a part of the path."""
    if isinstance(step.node, ast.BinOp | ast.JoinedStr):
        return False
    return not step.name or bool(_PATH_CALLS.match(step.name)) or step.name.endswith("parse_args")


def _is_downloaded(repo: Repo, call: Call) -> bool:
    """Whether the bytes, or the file object, come straight from a web request of this program."""
    from ml_engineer.assessment.dataflow import sources

    given = call.node.args[0] if call.node.args else None
    return any(_DOWNLOADS.match(step.name) for step in sources(repo, call.module, given))


def _is_hash_checked(call: Call) -> bool:
    """Whether the function around it, or the module body, computes or checks a hash before the load."""
    body: list[ast.stmt] = call.scope.node.body if call.scope else call.module.tree.body
    return any(
        isinstance(node, ast.Call)
        and node.lineno <= call.node.lineno
        and _HASHED.search(call.module.resolve(node.func))
        for statement in body
        for node in walk(statement)
    )
