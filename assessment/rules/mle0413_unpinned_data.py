"""M4-13: training data is fetched from an address whose content may change."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_HUBS = ("kagglehub.dataset_download", "kagglehub.competition_download")
_FETCHERS = (
    "pandas.read_*", "urllib.request.urlretrieve", "urllib.request.urlopen", "urllib.urlretrieve", "requests.get",
    "wget.download", "gdown.download*", "*keras.utils.get_file", "*keras.utils.data_utils.get_file", "polars.read_*",
    "torch.hub.download_url_to_file", "torchvision.datasets.utils.download_*", "opendatasets.download",
    *_HUBS, "kaggle.*competition_download_*", "kaggle.*dataset_download_*",
    "sklearn.datasets.fetch_openml", "*.download_file", "httpx.get",
    "six.moves.urllib.request.urlretrieve", "*.cached_path", "numpy.genfromtxt", "numpy.loadtxt",
)  # fmt: skip
# Services and libraries that hand out data by a name: what they answer changes from day to day, or with a release.
_SERVICES = (
    "yfinance.download", "yfinance.Ticker().history", "pandas_datareader.*DataReader", "pandas_datareader.*get_data_*",
    "quandl.get", "nasdaqdatalink.get", "nsepy.get_history", "seaborn.load_dataset", "ucimlrepo.fetch_ucirepo",
    "fredapi.Fred().get_series", "alpha_vantage.*().get_*", "tushare.*", "akshare.*", "ccxt.*().fetch_ohlcv",
    "statsmodels.*get_rdataset",
)  # fmt: skip
_ADDRESS = re.compile(r"^(https?|s3|gs|ftp|abfss?|wasbs?|hdfs)://", re.I)
_PINNED = re.compile(r"[0-9a-f]{40}|/v?\d+\.\d+(\.\d+)?/|[?&](versionId|generation)=|zenodo\.org/records?/\d+", re.I)
_MODEL = re.compile(
    r"\.(pt|pth|ckpt|bin|onnx|safetensors|h5|hdf5|pb|tflite|joblib)\b|weights|checkpoint|pretrained", re.I
)
_KEPT_MODELS = re.compile(r"\bmodels?/")  # in a command of a shell: where the file is put
_KAGGLE = re.compile(r"\bkaggle\s+(datasets|competitions)\s+download\b")
_BY_ID = re.compile(
    r"\bgdown\b.*?(-O|--?o(utput)?)[ =]\S+\.(zip|tar|tgz|rar|7z|csv|tsv|jsonl?|parquet|npz|mat)\b", re.I
)
_DOWNLOAD = re.compile(
    r"\b(wget|curl|gdown|aria2c|aws\s+s3\s+cp\s+[\"']?s3|(gsutil|gcloud\s+storage)\b.*\bcp\s+[\"']?gs)\b[^|;&]*://[^|;&]*?\.(zip|tar|tgz|tar\.\w+|rar|7z|csv|tsv|jsonl?|parquet|npz|mat)\b",
    re.I,
)
_SENDS = re.compile(
    r"\bcurl\b.*(-X ?[\"']?(POST|PUT|PATCH|DELETE)|--data\b|--data-|\s-[dFT]\s)|://(localhost|127\.0\.0\.1|0\.0\.0\.0)"
)  # a request to a service, and no download
_INSTALLS = re.compile(r"install|deploy|docker|setup_env|weights|model", re.I)
_OF_DATA = re.compile(r"data|corpus|corpora|competitions|\.(csv|tsv|jsonl|parquet|npz|mat)\b", re.I)
_FETCHING = re.compile(r"(download|fetch|get)[_.-]", re.I)  # a script of which nothing says that it fetches a program
_FETCHES = re.compile(
    r"(fetch|download|ingest|extract|collect|scrape|acquire|get_data|prepar|etl|load)[^/]*$|(^|/)data(sets?)?/[^/]*$",
    re.I,
)
_TABLE = re.compile(r"\.(csv|tsv|zip|tar|tgz|gz|jsonl?|parquet|npz|npy|xlsx?|arff|data)$", re.I)
_SUMS = re.compile(r"sha\d+sum|md5sum|shasum|md5\b", re.I)
_DIGEST = re.compile(r"hashlib|sha256|sha1|md5|file_hash|known_hash|checksum|digest", re.I)


@rule(
    id="MLE0413",
    name="unpinned-data-fetch",
    step=4,
    severity=MEDIUM,
    title="Training data is fetched without a version or checksum",
    why="The file behind the address can change or vanish: the same code then trains another model, or none.",
    remedy="Keep the file under DVC or in versioned storage, or compare its hash after the download.",
    source="ML Test Score, Infrastructure 1; bandit B615",
    applies=lambda repo: any(True for _ in _fetches(repo)) or any(True for _ in _commands(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: dict[str, list[Site]] = {}
    for call, address in _fetches(repo):
        if _PINNED.search(address) or _verifies(call):
            continue
        sites.setdefault(call.module.path, []).append(call.site())
    for site in _commands(repo):
        sites.setdefault(site.path, []).append(site)
    for found in sites.values():
        yield Hit(found)


def _fetches(repo: Repo) -> Iterator[tuple[Call, str]]:
    """Fetches of data outside the serving code, with their address."""
    from ml_engineer.assessment.learning import entry_closure, train_entries
    from ml_engineer.assessment.repo import matches

    served = repo.closure("serve")
    trainings = [entry_closure(repo, entry) for entry in train_entries(repo)]
    for call in repo.calls(*_FETCHERS, *_SERVICES, tests=False):
        trained = any(closure.covers(call.module, call.node) for closure in (repo.closure("train"), *trainings))
        if served.covers(call.module, call.node) and not trained and "ingest" not in call.module.file.name:
            continue  # a service that trains on request may reach the fetch too
        if call.module.file.roles & {"docs"}:
            continue
        if call.name.endswith("fetch_openml"):
            if call.keyword("version") is None and call.keyword("data_id") is None:
                yield call, "openml"
            continue
        if call.name.startswith("kaggle.") or call.name in ("opendatasets.download", *_HUBS):
            yield call, "kaggle"
            continue
        if matches(call.name, *_SERVICES):
            if trained:
                yield call, call.name
            continue
        address = _address(call) or _kept_in_a_bucket(call) or _set(repo, call) or _handed_over(repo, call)
        if address is None and (address := _listed(repo, call)) is not None and call.scope is not None:
            trained = trained or bool(_TABLE.search(address) and _FETCHES.search(call.scope.node.name))
        if address is None or _MODEL.search(address):
            continue
        if trained or _names_data(call.module, address):
            yield call, address


def _commands(repo: Repo) -> Iterator[Site]:
    """Lines of scripts and of training notebooks that fetch data from Kaggle or from an address."""
    from ml_engineer.assessment.learning import train_entries
    from ml_engineer.assessment.shell import with_variables

    entries = train_entries(repo)
    for module in dict.fromkeys(entry.module for entry in entries if entry.module.is_notebook):
        if not _DIGEST.search("\n".join(module.source.lines)):
            yield from (module.site(line) for line, text in module.source.magics if _fetches_data(text))
    scripts = [command for command in repo.commands.of("shell-script", "make", "just") if entries]
    for command in scripts:
        file = repo.files.get(command.site.path)
        if file is None or "test" in file.roles or _INSTALLS.search(file.name):
            continue
        text = with_variables(file.lines, command.site.line, command.text)
        of_data = _OF_DATA.search(f"{file.path} {text}") or _FETCHING.match(file.name)
        if _fetches_data(text) and of_data and not _KEPT_MODELS.search(text):
            if not _SUMS.search(file.text):
                yield command.site


def _fetches_data(text: str) -> bool:
    if _KAGGLE.search(text) or _BY_ID.search(text):
        return True
    found = None if _SENDS.search(text) else _DOWNLOAD.search(text)
    return found is not None and not _MODEL.search(text) and not _PINNED.search(text)


def _address(call: Call) -> str | None:
    """The literal address that a call is given, through names and f-strings."""
    for argument in [*call.node.args[:2], *(k.value for k in call.node.keywords if k.arg in ("url", "origin"))]:
        node = call.module.value(argument)
        parts = [n.value for n in walk(node) if isinstance(n, ast.Constant)] if node is not None else []
        names = [call.module.value(n) for n in walk(node) if isinstance(n, ast.Name)] if node is not None else []
        parts += [n.value for n in names if isinstance(n, ast.Constant)]
        text = "".join(part for part in parts if isinstance(part, str))
        found = next((p for p in parts if isinstance(p, str) and _ADDRESS.match(p)), None)
        if found is not None:
            return text if text.startswith(found[:8]) else found
    return None


def _set(repo: Repo, call: Call) -> str | None:
    """The address that a file of settings keeps under the name of the attribute that a call is given."""
    from ml_engineer.assessment.configured import address_of

    for argument in [*call.node.args[:1], *(k.value for k in call.node.keywords if k.arg in ("url", "origin"))]:
        node = call.module.value(argument)
        if isinstance(node, ast.Attribute) and (found := address_of(repo, node.attr)) is not None:
            return found
    return None


def _handed_over(repo: Repo, call: Call) -> str | None:
    """The address that a caller gives to the function that fetches: `download_file(URL, path)`."""
    from ml_engineer.assessment.dataflow import callers

    url = call.argument(0, "url")
    names = [parameter.arg for parameter in call.scope.parameters] if call.scope is not None else []
    if call.scope is None or not isinstance(url, ast.Name) or url.id not in names:
        return None
    for outer in callers(repo, call.scope):
        given = outer.argument(names.index(url.id), url.id)
        value = outer.module.value(given)
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and _ADDRESS.match(value.value):
            return value.value
    return None


def _listed(repo: Repo, call: Call) -> str | None:
    """An address out of a table of the module, whose field the fetch, or who calls it, takes: `source["url"]`."""
    from ml_engineer.assessment.dataflow import callers

    asked = [(call, call.argument(0, "url"))]
    for _ in range(3):  # through functions that hand the address on
        for inner, node in asked:
            field = _field(node)
            if field is not None:
                return _first_of(inner.module, field)
        asked = [
            (outer, outer.argument(place, name))
            for inner, node in asked
            if inner.scope is not None and isinstance(node, ast.Name)
            for place, name in enumerate(parameter.arg for parameter in inner.scope.parameters)
            if name == node.id
            for outer in callers(repo, inner.scope)
        ]
    return None


def _field(node: ast.expr | None) -> str | None:
    """`url` of `source["url"]` and of `source.url`."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value if isinstance(node.slice.value, str) else None
    return node.attr if isinstance(node, ast.Attribute) else None


def _first_of(module: Module, field: str) -> str | None:
    """The first address that a dictionary or a call of the module gives this field."""
    given = [(k, v) for d in module.nodes(ast.Dict) for k, v in zip(d.keys, d.values, strict=True) if k is not None]
    found = [value for key, value in given if isinstance(key, ast.Constant) and key.value == field]
    found += [k.value for call in module.calls for k in call.node.keywords if k.arg == field]
    texts = (value.value for value in found if isinstance(value, ast.Constant) and isinstance(value.value, str))
    return next((text for text in texts if _ADDRESS.match(text)), None)


def _kept_in_a_bucket(call: Call) -> str | None:
    """The name of a table or an archive that is fetched from a bucket, where no version of it is asked for."""
    if not call.name.endswith(".download_file") or "VersionId" in ast.unparse(call.node):
        return None
    receiver = call.module.value(call.node.func.value) if isinstance(call.node.func, ast.Attribute) else None
    parts = [n for node in (receiver, *call.node.args) if node is not None for n in walk(node)]
    texts = (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return next((text for text in texts if _TABLE.search(text)), None)


def _names_data(module: Module, address: str) -> bool:
    """A fetch outside training is one of its data where the file or the address says so."""
    file = re.search(r"\.(csv|tsv|zip|tar|tgz|gz|json|jsonl|parquet|txt|npz|npy|xlsx?|arff|data)\b", address, re.I)
    named = file or re.search(r"/datasets?/", address, re.I)
    return bool(named) and bool(_FETCHES.search(module.path))


def _verifies(call: Call) -> bool:
    """Whether the function (or the script) compares a digest."""
    if any(
        k.arg in ("file_hash", "md5_hash", "known_hash", "md5", "hash_prefix", "storage_options")
        for k in call.node.keywords
    ):
        return True
    scope = call.scope.node if call.scope is not None else call.module.tree
    return any(
        (isinstance(n, ast.Attribute) and _DIGEST.search(n.attr)) or (isinstance(n, ast.Name) and _DIGEST.search(n.id))
        for n in walk(scope)
    )
