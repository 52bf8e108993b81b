"""Facts about the repository, each with the places that show it: the first thing a reader wants to know.

`build(repo)` gives the facts in reading order; a fact that nothing shows is left out, never guessed. `model_types`,
`data_sources` and the like are shared with the claims of the report's fields.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment import catalogue, listening, serving
from ml_engineer.assessment.engine import evidence_of
from ml_engineer.assessment.entrypoints import UI_FRAMEWORKS, Entry
from ml_engineer.assessment.module import UNKNOWN, Call
from ml_engineer.assessment.repo import matching
from ml_engineer.assessment.rule import Site
from ml_engineer.report.schema import Fact

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

MAX_EVIDENCE = 5

# What a call says of the kind of model: resolved name -> kind.
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Reinforcement learning", ("gym.make", "gymnasium.make", "stable_baselines3.*", "gym.*.make")),
    (
        "Text generation",
        ("transformers.AutoModelForCausalLM*", "transformers.Llama*", "transformers.GPT*", "*.generate", "peft.*"),
    ),
    (
        "Text classification",
        ("transformers.*ForSequenceClassification*", "torchtext.*", "sklearn.feature_extraction.text.*Vectorizer"),
    ),
    ("Token classification", ("transformers.*ForTokenClassification*",)),
    ("Image segmentation", ("segmentation_models*", "torchvision.models.segmentation.*", "*UNet", "*unet")),
    ("Object detection", ("torchvision.models.detection.*", "ultralytics.*", "detectron2.*")),
    (
        "Image classification",
        ("torchvision.models.*", "keras.applications.*", "tensorflow.keras.applications.*", "timm.create_model"),
    ),
    ("Recommendation", ("surprise.*", "implicit.*", "lightfm.*")),
    ("Time series forecasting", ("prophet.*", "statsmodels.tsa.*", "pmdarima.*", "neuralforecast.*", "darts.*")),
    ("Clustering", ("sklearn.cluster.*", "sklearn.mixture.*", "hdbscan.*")),
    ("Anomaly detection", ("sklearn.ensemble.IsolationForest", "sklearn.svm.OneClassSVM", "pyod.*")),
    (
        "Classification",
        (
            "sklearn.*Classifier", "sklearn.*.LogisticRegression", "sklearn.*.SVC", "sklearn.*.LinearSVC",
            "sklearn.naive_bayes.*", "xgboost.XGBClassifier", "lightgbm.LGBMClassifier", "catboost.CatBoostClassifier",
            "sklearn.metrics.accuracy_score", "torch.nn.CrossEntropyLoss", "torch.nn.functional.cross_entropy",
            "torch.nn.BCEWithLogitsLoss", "torch.nn.BCELoss", "torch.nn.NLLLoss",
            "torch.nn.functional.binary_cross_entropy*",
        ),
    ),
    (
        "Regression",
        (
            "sklearn.*Regressor", "sklearn.*.LinearRegression", "sklearn.*.Ridge", "sklearn.*.Lasso", "sklearn.*.SVR",
            "sklearn.*.ElasticNet", "xgboost.XGBRegressor", "lightgbm.LGBMRegressor", "torch.nn.MSELoss",
            "sklearn.metrics.mean_squared_error", "catboost.CatBoostRegressor", "statsmodels.*.OLS",
            "statsmodels.*.ols",
        ),
    ),
)  # fmt: skip
_SPECIFIC = frozenset({"Text classification", "Token classification", "Image segmentation", "Image classification"})
_KERAS_LOSSES = {
    "categorical_crossentropy": "Classification",
    "sparse_categorical_crossentropy": "Classification",
    "binary_crossentropy": "Classification",
    "mse": "Regression",
    "mean_squared_error": "Regression",
    "mae": "Regression",
}
_READS = (
    "pandas.read_*", "polars.read_*", "polars.scan_*", "dask.dataframe.read_*", "datasets.load_dataset",
    "torchvision.datasets.*", "sklearn.datasets.fetch_*", "sklearn.datasets.load_*", "*.read.csv", "*.read.parquet",
    "*.spark.table", "numpy.loadtxt", "numpy.genfromtxt", "torchtext.datasets.*", "tensorflow_datasets.load",
    "keras.datasets.*.load_data", "tensorflow.keras.datasets.*.load_data", "*.flow_from_directory",
    "*image_dataset_from_directory", "sqlalchemy.create_engine", "kafka.KafkaConsumer", "boto3.client",
    "google.cloud.bigquery.Client", "snowflake.connector.connect", "psycopg2.connect", "sqlite3.connect",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """Something known about the repository: a value and the places that show it."""

    value: str
    sites: tuple[Site, ...]


def build(repo: Repo) -> list[Fact]:
    """The profile, in reading order."""
    facts: list[Fact] = []
    for name, known in _facts(repo):
        evidence = [evidence_of(repo, site) for site in dict.fromkeys(known.sites)][:MAX_EVIDENCE]
        facts.append(Fact(name=name, value=known.value, evidence=evidence))
    return facts


def _facts(repo: Repo) -> Iterator[tuple[str, Known]]:
    for name, known in (
        ("Model type", join(model_types(repo))),
        ("Framework", from_uses(catalogue.found(repo, "framework"))),
        ("Training entry point", entries(repo, "train")),
        ("Serving entry point", entries(repo, "serve")),
        ("Evaluation entry point", entries(repo, "evaluate")),
        ("Prediction entry point", entries(repo, "predict")),
        ("Serving framework", serving_framework(repo)),
        ("Deployment pattern", join(deployment_patterns(repo))),
        ("Data sources", join(data_sources(repo))),
        ("Ports", join(ports(repo))),
        ("Python version", pythons(repo)),
        ("Dependency files", files(f.site(1) for f in repo.dependencies.files)),
        ("Artefacts", artefacts(repo)),
    ):
        if known is not None:
            yield name, known


def join(items: list[Known], limit: int = 6) -> Known | None:
    """Several things known, as one: values joined by commas, each named once, places in the same order."""
    if not items:
        return None
    values = list(dict.fromkeys(item.value for item in items))
    shown = values[:limit]
    if len(values) > limit:
        shown.append(f"and {len(values) - limit} more")
    return Known(", ".join(shown), tuple(site for item in items for site in item.sites[:2]))


def from_uses(uses: list[catalogue.Use]) -> Known | None:
    return join([Known(use.name, (use.site,)) for use in uses])


def files(sites: Iterable[Site]) -> Known | None:
    return join([Known(site.path, (site,)) for site in sites])


def entries(repo: Repo, kind: str) -> Known | None:
    """Entry points of a kind: programs before notebooks, handlers that ask a model before the others."""
    places: dict[str, Site] = {}
    asks = {handler.function for handler in serving.model_handlers(repo)} if kind == "serve" else set()
    for entry in sorted(repo.entries, key=lambda e: (e.module.is_notebook, e.unit not in asks)):
        if entry.kind == kind:
            label = entry.module.path if entry.unit is None else f"{entry.module.path} ({entry.unit.qualname})"
            places.setdefault(label, entry.site)
    return join([Known(label, (site,)) for label, site in places.items()], limit=4)


def model_types(repo: Repo) -> list[Known]:
    """Kinds of model that calls of the repository show, the most specific first, at most three."""
    known: list[Known] | None = repo.__dict__.get("_model_types")
    if known is None:
        known = repo.__dict__["_model_types"] = _model_types(repo)
    return known


def _model_types(repo: Repo) -> list[Known]:
    sites: dict[str, list[Site]] = {}
    modules = [module for module in repo.modules if "test" not in module.file.roles]
    every = {name for module in modules for name in module.call_names}
    named = [(kind, matching(every, *patterns)) for kind, patterns in _KINDS]
    for module in modules:
        for kind, names in named:
            shown = names & module.call_names
            if shown:
                calls = (call for call in module.calls if call.name in shown)
                first = next((call for call in calls if kind != "Text generation" or _writes(call)), None)
                if first is not None:
                    sites.setdefault(kind, []).append(first.site())
        for call in module.calls:
            if call.name.endswith(".compile"):
                loss = module.literal(call.keyword("loss"))
                if isinstance(loss, str) and loss in _KERAS_LOSSES:
                    sites.setdefault(_KERAS_LOSSES[loss], []).append(call.site())
    order = [kind for kind, _ in _KINDS if kind in sites]
    if len(order) > 1 and order[0] in ("Reinforcement learning", "Text generation"):
        order = order[:1]  # its losses and metrics say "classification" or "regression" too, and mean nothing by it
    if not _SPECIFIC.isdisjoint(order):
        order = [kind for kind in order if kind != "Classification"]  # said more closely already
    return [Known(kind, tuple(sites[kind][:2])) for kind in order[:3]]


def _writes(call: Call) -> bool:
    """Whether a call that may be a language model's is not of something unknown, nor an object's own `generate()`."""
    own = isinstance(call.node.func, ast.Attribute) and ast.unparse(call.node.func.value) == "self"
    return not call.name.startswith("?.") and not (own and not call.node.args and not call.node.keywords)


def serving_framework(repo: Repo) -> Known | None:
    """Frameworks of registered routes and interfaces, with their declared versions where there is one."""
    places: dict[str, Site] = {}
    for entry in repo.entries:
        if entry.kind == "serve":
            route = next((r for r in repo.routes if r.handler is entry.unit), None)
            if route is not None:
                places.setdefault(_framework_name(route.framework), route.site)
            else:
                tops = (i.top for i in repo.facts[entry.module.path].imports if i.top in catalogue.PACKAGES["serving"])
                places.setdefault(_framework_name(next(tops, "script")), entry.site)
    for name, site in serving.model_servers(repo):
        places.setdefault(name, site)
    return join([Known(name, (site,)) for name, site in places.items()])


def _framework_name(name: str) -> str:
    names = {
        "lambda": "AWS Lambda",
        "cloudera": "Cloudera",
        "azure-ml": "Azure Machine Learning",
        "azure-function": "Azure Functions",
        "cloud-function": "Cloud Functions",
    }
    package = name.replace("-", "_")
    return names.get(name) or catalogue.PACKAGES["serving"].get(package, name)


def deployment_patterns(repo: Repo) -> list[Known]:
    """API, serverless, interface, stream, edge, batch: what the code shows."""
    from ml_engineer.assessment.torchmode import answers_of_scripts

    found: list[Known] = []
    serverless = [r for r in repo.routes if r.framework in serving.SERVERLESS]
    http = [r for r in repo.routes if r not in serverless]
    if http:
        found.append(Known("API", (http[0].site,)))
    if serverless:
        found.append(Known("Serverless function", (serverless[0].site,)))
    page = interface(repo)
    if page is not None:
        found.append(Known("Interactive application", (page.site,)))
    for category, label in (("stream", "Stream"), ("edge", "Edge")):
        uses = catalogue.found(repo, category)
        if uses:
            found.append(Known(label, (uses[0].site,)))
    batch = [e for e in repo.entries if e.kind == "predict" and not e.module.is_notebook and not _also_trains(repo, e)]
    if not found:
        sites = [entry.site for entry in batch] or [call.site() for call in answers_of_scripts(repo)]
        found.extend(Known("Batch", (site,)) for site in sites[:1])
    return found


def interface(repo: Repo) -> Entry | None:
    """The first script that is an interactive page (Streamlit, Gradio …)."""
    for entry in repo.entries:
        if entry.kind == "serve" and entry.unit is None and any(i.top in UI_FRAMEWORKS for i in entry.module.imports):
            return entry
    return None


def _also_trains(repo: Repo, entry: Entry) -> bool:
    return any(e.kind == "train" and e.module is entry.module and e.unit is entry.unit for e in repo.entries)


def data_sources(repo: Repo) -> list[Known]:
    """What the code reads: paths and URLs where they are literal, else the call."""
    found: dict[str, Site] = {}
    for call in repo.calls(*_READS, tests=False):
        if "()" in call.name.removesuffix(".load_data").replace(".read.", "") and not call.name.startswith("?"):
            continue  # a method of what was read, not a read
        found.setdefault(_source_name(call), call.site())
    return [Known(name, (site,)) for name, site in found.items()]


def _source_name(call: Call) -> str:
    first = call.node.args[0] if call.node.args else None
    value = call.module.literal(first)
    if value is not UNKNOWN and isinstance(value, str) and value.strip():
        return re.sub(r"://[^/@\s]+@", "://", " ".join(value.split()))[:120]
    return f"{call.name.removeprefix('?.').replace('()', '')}(…)"


def ports(repo: Repo) -> list[Known]:
    """Ports that Dockerfiles expose, start commands listen on, Compose publishes and programs bind literally."""
    found: dict[str, Site] = {}
    for docker in repo.dockerfiles:
        if docker.final is not None:
            for port, instruction in docker.final.ports:
                found.setdefault(str(port), instruction.site())
            started = listening.of_dockerfile(repo, docker)
            if started is not None and started.port is not None:
                found.setdefault(str(started.port), started.site)
    for service in repo.compose:
        for published in service.ports if service.build_context is not None else ():
            if published.target is not None:
                found.setdefault(str(published.target), published.node.site())
    for call in repo.calls("*.run", "uvicorn.run", "*.run_server", "*.launch", tests=False):
        value = call.module.literal(call.keyword("port") or call.keyword("server_port"))
        if isinstance(value, int):
            found.setdefault(str(value), call.site())
    return [Known(port, (site,)) for port, site in found.items()]


def pythons(repo: Repo) -> Known | None:
    declared = {f"{item.specifier} ({item.kind})": item.source for item in repo.dependencies.pythons}
    return join([Known(text, (site,)) for text, site in declared.items()])


def artefacts(repo: Repo) -> Known | None:
    """Model files in the tree. A binary file has no line to quote: the code that loads or saves it is the place."""
    names = [f for f in repo.files.values() if f.suffix in MODEL_SUFFIXES and not f.roles & {"vendored", "test"}]
    if not names:
        return None
    sites: list[Site] = []
    for file in names[:MAX_EVIDENCE]:
        site = next(iter(_mentions(repo, file.name)), None)
        if site is not None:
            sites.append(site)
    known = join([Known(file.path, ()) for file in names])
    return Known(known.value, tuple(sites)) if known is not None and sites else None


MODEL_SUFFIXES = frozenset(
    ".pkl .pickle .joblib .pt .pth .ckpt .h5 .hdf5 .keras .onnx .pb .tflite .safetensors .gguf .sav .dill .cbm .ubj "
    ".model .bst".split()
)


def _mentions(repo: Repo, name: str) -> Iterator[Site]:
    for module in repo.modules:
        if name in module.file.text:
            for number, line in enumerate(module.source.lines, 1):
                if name in line:
                    yield module.site(number)
                    break
