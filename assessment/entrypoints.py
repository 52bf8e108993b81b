"""Where a repository starts to work: what trains, what serves, what evaluates, what predicts in batch.

`find_routes` lists HTTP handlers that are really registered (decorator, add_url_rule, add_resource, url patterns,
serverless handlers, platform service classes). `find_entries` turns sites of training, serving, evaluation and
prediction into entry points: the script that leads to the site, or the function itself where no script does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from ml_engineer.assessment import callgraph, catalogue, platforms, values
from ml_engineer.assessment.module import UNKNOWN, Call, Function, Module
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

Kind = Literal["train", "serve", "evaluate", "predict"]


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """An entry point. `unit` is the function it starts in, or None for a module run as a script."""

    kind: Kind
    module: Module
    unit: Function | None
    site: Site  # what makes it an entry of this kind


@dataclass(frozen=True, eq=False, slots=True)
class Route:
    """A registered handler. `framework` is a distribution name, or that of a platform: `lambda`, `azure-function`,
    `cloud-function`, `cloudera`."""

    framework: str
    path: str | None
    methods: tuple[str, ...]
    handler: Function
    site: Site  # where it is registered

    @property
    def module(self) -> Module:
        return self.handler.module


# Resolved names of application objects -> framework.
_APPS = {
    "flask.Flask()": "flask",
    "flask.Blueprint()": "flask",
    "fastapi.FastAPI()": "fastapi",
    "fastapi.APIRouter()": "fastapi",
    "fastapi.routing.APIRouter()": "fastapi",
    "starlette.applications.Starlette()": "starlette",
    "sanic.Sanic()": "sanic",
    "bottle.Bottle()": "bottle",
    "bottle": "bottle",
    "quart.Quart()": "quart",
    "litestar.Litestar()": "litestar",
    "falcon.App()": "falcon",
    "robyn.Robyn()": "robyn",
    "chalice.Chalice()": "chalice",
    "flask_restx.Namespace()": "flask",
    "flask_restx.Api()": "flask",
    "flask_restx.Api().namespace()": "flask",
    "flask_restplus.Namespace()": "flask",
    "flask_restplus.Api()": "flask",
    "flask_restplus.Api().namespace()": "flask",
    "flask_restful.Api()": "flask",
    "maxfw.core.MAXApp()": "flask",
    "flask_openapi3.OpenAPI()": "flask",
    "apiflask.APIFlask()": "flask",
    "modal.App()": "modal",
    "aiohttp.web.RouteTableDef()": "aiohttp",
}
_VERBS = ("get", "post", "put", "delete", "patch", "options", "head", "websocket", "api_route", "route")
# What a router of the REST framework calls of a viewset.
_VIEWSET = (
    "list", "create", "retrieve", "update", "partial_update", "destroy", "perform_create", "perform_update",
    "perform_destroy",
)  # fmt: skip
_DECORATORS = {
    "functions_framework.http": "cloud-function",
    "bentoml.api": "bentoml",
    "bentoml.Service().api": "bentoml",
    "modal.web_endpoint": "modal",
    "modal.fastapi_endpoint": "modal",
    "azure.functions.FunctionApp().route": "azure-function",
    "cdsw.model_metrics": platforms.CLOUDERA,
    "cml.models_v1.cml_model": platforms.CLOUDERA,
}
_SERVICE_BASES = {
    "litserve.LitAPI": ("litserve", "predict"),
    "kserve.Model": ("kserve", "predict"),
    "kserve.model.Model": ("kserve", "predict"),
    "seldon_core.SeldonComponent": ("seldon-core", "predict"),
    "bentoml.Runnable": ("bentoml", "predict"),
    "mlserver.MLModel": ("mlserver", "predict"),
    "tornado.web.RequestHandler": ("tornado", "post"),
    "ts.torch_handler.base_handler.BaseHandler": ("torchserve", "handle"),
    "http.server.BaseHTTPRequestHandler": ("http.server", "do_POST"),
}
# A module without any of these words registers no handler: it need not be parsed to know.
_ROUTE_WORDS = re.compile(
    rb"@[\w.]+\.(route|get|post|put|delete|patch|options|head|websocket|api_route|api|http|web_endpoint|fastapi_endpoint)"
    rb"\b|@(\w+\.)?(deployment|service|api|model_metrics|cml_model)\b|azure\.functions|add_url_rule|add_api(_route)?\b|add_resource|\.add_route\b|router\.add_"
    rb"|\bRoute\(|\b(re_)?path\(|\burl\(|\bweb\.(get|post)\(|def (lambda_)?handler\(|LitAPI|SeldonComponent|MLModel"
    rb"|router\.register\(|kserve|Servicer|RequestHandler|BaseHandler|Runnable"
)
_ROUTE_MARKS = (  # of which one is in each of them: sooner looked for
    b"@", b"add_", b"Route(", b"path(", b"url(", b"web.", b"handler(", b"LitAPI", b"SeldonComponent", b"MLModel",
    b"kserve", b"azure.functions", b"Servicer", b".register(", b"RequestHandler", b"BaseHandler", b"Runnable",
)  # fmt: skip
_ENTRY_WORDS = re.compile(
    rb"\b(fit|fit_generator|partial_fit|train_on_batch|fit_predict|backward|minimize|predict\w*|generate|evaluate"
    rb"|metrics|torchmetrics|cross_val_score|train_\w+|TrainEpoch|create_supervised_trainer)\b|\.(train|cv)\("
)
_MODEL_PACKAGES = (
    "joblib",
    "pickle",
    "cloudpickle",
    "dill",
    "mlflow",
    "numpy",
    "pandas",
    "pyspark",
    "tflite_runtime",
    "openvino",
    "azureml",
    "sagemaker",
    "cntk",
    "caffe",
    "gym",
    "gymnasium",
    "openai",
    "anthropic",
    "vllm",
    "skops",
)
_SERVICER = re.compile(r"_pb2_grpc\.\w+Servicer$|^\w+Servicer$")  # what grpcio's generator makes to be derived from
_SERVERLESS = re.compile(r"^(lambda_handler|handler)$")
_SERVERS = (
    "uvicorn.run",
    "waitress.serve",
    "hypercorn.*.serve",
    "aiohttp.web.run_app",
    "gevent.pywsgi.*.serve_forever",
)
_CLASS = re.compile(rb"class\s+(\w+)\s*\(([^)]*)\)")
_SERVER_WORDS = re.compile(rb"\.run\b|run_app|\bserve\b|serve_forever|import run\b")
MAX_CLIMBED = 400  # modules; in a larger library the function itself is the entry, its callers are its users
# User interfaces: the whole script is the service.
UI_FRAMEWORKS = ("streamlit", "gradio", "dash", "panel", "chainlit", "nicegui")


def find_routes(repo: Repo) -> list[Route]:
    """Every registered handler, by path and line, test files left out."""
    routes: list[Route] = []
    for module in repo.modules:
        data = module.file.data
        if "test" in module.file.roles or not any(mark in data for mark in _ROUTE_MARKS):
            continue
        if not _ROUTE_WORDS.search(data):
            continue
        for function in module.functions.values():
            routes.extend(_decorated(repo, module, function))
            if function.class_name is None and _is_serverless(module, function):
                routes.append(Route("lambda", None, (), function, function.site()))
            elif any(_is_azure_request(module, parameter) for parameter in function.parameters[:1]):
                routes.append(Route("azure-function", None, (), function, function.site()))
        for call in module.calls:
            routes.extend(_registered(repo, call))
        for name in module.classes:
            routes.extend(_service_class(repo, f"{module.dotted}.{name}"))
            routes.extend(_decorated_class(repo, module, name))
    known = {route.handler for route in routes}
    for framework, function, site in platforms.called(repo):
        if function not in known:
            known.add(function)
            routes.append(Route(framework, None, (), function, site))
    return sorted(routes, key=lambda route: (route.module.path, route.site.cell or 0, route.site.line))


def _decorated(repo: Repo, module: Module, function: Function) -> Iterator[Route]:
    for decorator in function.node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = module.resolve(called)
        if name in _DECORATORS:
            yield Route(_DECORATORS[name], None, (), function, module.site(decorator))
            continue
        owner, _, verb = name.rpartition(".")
        if verb not in _VERBS or not isinstance(decorator, ast.Call):
            continue
        owner = values.origin(repo, owner)
        if owner in _APPS:
            call = module.call_of(decorator)
            yield Route(_APPS[owner], _path(call), _methods(call, verb), function, module.site(decorator))


def _decorated_class(repo: Repo, module: Module, name: str) -> Iterator[Route]:
    """Methods of a resource that a decorator registers: `@namespace.route("/predict") class Predict(Resource)`."""
    for decorator in module.classes[name].decorator_list:
        if not isinstance(decorator, ast.Call):
            continue
        owner, _, verb = module.resolve(decorator.func).rpartition(".")
        framework = _APPS.get(values.origin(repo, owner)) if verb == "route" else None
        if framework is None:
            continue
        for method in _VERBS:
            handler = callgraph.method(repo, f"{module.dotted}.{name}", method)
            if handler is not None:
                path = _path(module.call_of(decorator))
                yield Route(framework, path, (method.upper(),), handler, module.site(decorator))


def _path(call: Call) -> str | None:
    node = call.argument(0, "path") or call.keyword("rule")
    value = call.module.literal(node)
    return value if isinstance(value, str) else None


def _methods(call: Call, verb: str) -> tuple[str, ...]:
    if verb not in ("route", "api_route"):
        return (verb.upper(),)
    value = call.module.literal(call.keyword("methods"))
    if value is UNKNOWN or not isinstance(value, list | tuple | set):
        return ("GET",)
    return tuple(sorted(str(item).upper() for item in value))


def _registered(repo: Repo, call: Call) -> Iterator[Route]:
    """Handlers registered by a call: add_url_rule, add_resource, router.add_post, Route(...), path(...)."""
    module = call.module
    owner, _, attribute = call.name.rpartition(".")
    framework = _APPS.get(values.origin(repo, owner)) if attribute.startswith("add_") else None
    if framework and attribute in ("add_url_rule", "add_api_route", "add_route"):
        handler = call.keyword("view_func") or call.argument(2 if attribute == "add_url_rule" else 1, "endpoint")
        for function in _handlers(repo, module, handler):
            yield Route(framework, _path(call), _methods(call, "route"), function, call.site())
    elif framework and attribute in ("add_resource", "add_api"):
        path = call.module.literal(call.node.args[1]) if len(call.node.args) > 1 else UNKNOWN
        for function in _handlers(repo, module, call.node.args[0] if call.node.args else None):
            verb = function.qualname.rpartition(".")[2]
            if verb in _VERBS:
                shown = path if isinstance(path, str) else None
                yield Route(framework, shown, (verb.upper(),), function, call.site())
    elif matches(call.name, "aiohttp.web.Application().router.add_*", "aiohttp.web.get", "aiohttp.web.post"):
        verb = call.name.rpartition(".")[2].removeprefix("add_")
        for function in _handlers(repo, module, call.argument(1, "handler")):
            yield Route("aiohttp", _path(call), (verb.upper(),), function, call.site())
    elif attribute == "register" and matches(owner, "rest_framework.routers.*Router()"):
        view = module.resolve(call.argument(1, "viewset"))
        for method in _VIEWSET:
            found = callgraph.method(repo, view, method) if view in repo.classes else None
            if found is not None:
                yield Route("django", _path(call), (), found, call.site())
    elif matches(
        call.name, "starlette.routing.Route", "django.urls.path", "django.urls.re_path", "django.conf.urls.url"
    ):
        name = "starlette" if call.name.startswith("starlette") else "django"
        for function in _handlers(repo, module, call.argument(1, "endpoint" if name == "starlette" else "view")):
            yield Route(name, _path(call), (), function, call.site())


def _handlers(repo: Repo, module: Module, node: ast.expr | None) -> Iterator[Function]:
    if node is None:
        return
    name = module.resolve(node)
    name = re.sub(r"\.as_view\(\)$", "", name)
    for function in callgraph.callees(repo, name):
        verb = function.qualname.rpartition(".")[2]
        if function.class_name is None or verb in _VERBS or name.endswith(f".{verb}"):
            yield function


def _is_serverless(module: Module, function: Function) -> bool:
    names = [a.arg for a in function.parameters]
    if not _SERVERLESS.match(function.node.name) or len(names) != 2:
        return False
    return names[0].strip("_") == "event" and names[1].strip("_") in ("context", "ctx", "unused", "")


def _is_azure_request(module: Module, parameter: ast.arg) -> bool:
    """Whether Azure Functions hands a request over, where a function.json beside the code registers the function."""
    return parameter.annotation is not None and module.resolve(parameter.annotation) == "azure.functions.HttpRequest"


def _service_class(repo: Repo, class_name: str) -> Iterator[Route]:
    module, node = repo.classes[class_name]
    found = [_SERVICE_BASES[b] for b in callgraph.bases(repo, class_name) if b in _SERVICE_BASES]
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if matches(module.resolve(called), "ray.serve.deployment", "bentoml.service"):
            name = "ray" if module.resolve(called).startswith("ray") else "bentoml"
            found.append((name, "__call__" if name == "ray" else "predict"))
    for framework, verb in found:
        handler = callgraph.method(repo, class_name, verb)
        if handler is not None:
            yield Route(framework, None, (), handler, module.site(node))
    if any(isinstance(base, ast.Name | ast.Attribute) and _SERVICER.search(ast.unparse(base)) for base in node.bases):
        for function in module.functions.values():
            names = [parameter.arg for parameter in function.parameters]
            if f"{module.dotted}.{function.class_name}" == class_name and names[:1] == ["self"] and len(names) == 3:
                if not function.node.name.startswith("_"):
                    yield Route("grpc", None, (), function, function.site())


# --- entries ----------------------------------------------------------------------------------------------------------

# Fitting these prepares data; it trains no model.
_TRANSFORMERS = re.compile(
    r"sklearn\.(preprocessing|feature_extraction|impute|decomposition|compose|feature_selection|random_projection|"
    r"kernel_approximation|manifold)\.|pyspark\.ml\.feature\.|category_encoders\.|imblearn\.(over|under)_sampling\.|(?!surprise\.).*(Scaler|Encoder|"
    r"Vectorizer|Imputer|Tokenizer|Binarizer|Transformer|PCA|SVD|SMOTE|Generator)\(\)\.(set_\w+\(\)\.)?\w+$",
    re.I,
)
_PREPARES = re.compile(
    r"scaler|encod|vectori[sz]er|imput|tokeni[sz]er|pca|binari[sz]er|transformer|datagen|bag_?of_?words|tf_?idf|preproc",
    re.I,
)
# What a function of the repository gives back that is called so, as in `get_preprocessing_pipeline().fit`.
_PREPARATION = re.compile(
    r"\w*(preproc|scaler|vectori[sz]er|imputer|tf_?idf|features?_(pipe|engineer|transform|union))\w*\(\)\.fit\w*$", re.I
)
_FIT = ("*.fit", "*.fit_generator", "*.partial_fit", "*.train_on_batch", "*.fit_predict", "*.fit_resample")
_TRAIN_CALLS = (
    "xgboost.train", "lightgbm.train", "lightgbm.cv", "xgboost.cv", "*Trainer().train", "catboost.train",
    "ray.train.*Trainer().fit", "ray.tune.Tuner().fit", "fasttext.train_supervised",
    "fasttext.train_unsupervised", "*.minimize", "sklearn.model_selection.cross_val_score",
    "segmentation_models_pytorch.*TrainEpoch().run", "ignite.engine.create_supervised_trainer().run",
    "catalyst.*Runner().train", "mmengine.*Runner*.train", "tensorflow.estimator.*().train",
    "tensorflow.estimator.train_and_evaluate",
)  # fmt: skip
_BACKWARD = ("*.backward",)
_NOT_MODELS = re.compile(r"^(matplotlib|seaborn|plotly|scipy|numpy|lmfit|astropy|curve)\b")
_EVALUATE = ("*.evaluate", "sklearn.metrics.*", "torchmetrics.*", "evaluate.load")
_PREDICT = ("*.predict", "*.predict_proba", "*.predict_generator", "*.generate", "*.predict_classes")
_CONSUMERS = ("kafka.KafkaConsumer", "confluent_kafka.*Consumer", "aiokafka.AIOKafkaConsumer", "*.basic_consume")
_NETWORK = ("*.load_state_dict", "torch.load", "torch.jit.load", "*.load_weights")


def is_training_call(call: Call) -> bool:
    """Whether a call trains a model: fit of an estimator, a trainer's train, a backward pass."""
    name = call.name
    manner = _manner_of_training(name)
    if manner == "backward":
        return b".step(" in call.module.file.data or not _explains(call)
    if manner != "fit":
        return manner == "train"
    if name.startswith("?"):  # unknown receiver: go by its own name
        receiver = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
        text = ast.unparse(receiver) if receiver is not None else ""
        if _PREPARES.search(text):
            return False
    elif _PREPARATION.search(name):
        return False
    return bool(call.node.args or call.node.keywords)


@lru_cache(maxsize=4096)
def _manner_of_training(name: str) -> Literal["backward", "train", "fit"] | None:
    """How a call of that name trains, if it does; asked for every call again and again."""
    if matches(name, *_BACKWARD):
        return "backward"
    if matches(name, *_TRAIN_CALLS):
        return None if name.startswith("scipy.") else "train"
    if not matches(name, *_FIT) or name.endswith("fit_resample"):
        return None
    return None if _TRANSFORMERS.match(name) or _NOT_MODELS.match(name) else "fit"


def _explains(call: Call) -> bool:
    """A backward pass that explains or attacks a model instead of training it: Grad-CAM, saliency, adversaries."""
    place = f"{call.module.path} {call.scope.qualname if call.scope else ''}"
    return bool(
        re.search(r"grad_?cam|saliency|explain|attribution|visuali[sz]|attack|adversar|interpret|heatmap", place, re.I)
    )


def find_entries(repo: Repo) -> list[Entry]:
    """Entry points of every kind, test files left out."""
    entries: list[Entry] = [*_serving(repo)]
    if not repo.uses(*catalogue.PACKAGES["framework"], *_MODEL_PACKAGES):
        return entries  # nothing here can train or predict, whatever its functions are called
    sites: dict[Kind, list[Call]] = {"train": [], "evaluate": [], "predict": []}
    for module in repo.modules:
        if "test" in module.file.roles:
            continue
        if (message := _asks_for_messages(module)) is not None:
            sites["predict"].append(message)
        if not _ENTRY_WORDS.search(module.file.data):
            continue
        for call in module.calls:
            if is_training_call(call):
                sites["train"].append(call)
            if matches(call.name, *_EVALUATE):
                sites["evaluate"].append(call)
            if matches(call.name, *_PREDICT) and not call.name.startswith("random"):
                sites["predict"].append(call)
    served = callgraph.closure_of(repo, entries)
    for kind, calls in sites.items():
        entries.extend(_roots(repo, kind, [c for c in calls if not served.covers(c.module, c.node)]))
    return entries


def _asks_for_messages(module: Module) -> Call | None:
    """Where a program reads messages that a network loaded beside it judges: `net(x)` alone says nothing of it."""
    data = module.file.data
    if b"onsume" not in data or not any(word in data for word in (b"load_state_dict", b"torch.", b"load_weights")):
        return None
    if not any(matches(call.name, *_NETWORK) for call in module.calls):
        return None
    return next((call for call in module.calls if matches(call.name, *_CONSUMERS)), None)


def _serving(repo: Repo) -> Iterator[Entry]:
    for route in repo.routes:
        yield Entry("serve", route.module, route.handler, route.site)
        if route.framework == platforms.AZURE_ML:
            yield Entry("serve", route.module, route.module.functions["init"], route.site)
    for module in repo.modules:
        if "test" in module.file.roles or module.is_notebook:
            continue
        started = _starts_server(repo, module)
        if started is not None:
            yield Entry("serve", module, None, started.site())
        used = next((i for i in repo.facts[module.path].imports if i.top in UI_FRAMEWORKS), None)
        if used is not None and _starts_interface(module, used.top):
            yield Entry("serve", module, None, module.site(used.line))


def _starts_server(repo: Repo, module: Module) -> Call | None:
    """The call in a script's main block that starts a web server: what that block does before runs once."""
    if b"__main__" not in module.file.data or not _SERVER_WORDS.search(module.file.data):
        return None
    if module.main_guard is None:
        return None
    for call in module.calls:
        if call.scope is None and matches(call.name, *_SERVERS):
            return call
        if call.scope is None and call.name.endswith(".run"):
            if values.origin(repo, call.name.removesuffix(".run")) in _APPS:
                return call
    return None


def _starts_interface(module: Module, framework: str) -> bool:
    """A Streamlit script draws at import; the others launch an object."""
    if framework == "streamlit":
        return any(call.name.startswith("streamlit.") for call in module.calls)
    return any(matches(call.name, f"{framework}.*") for call in module.calls)


def _roots(repo: Repo, kind: Kind, calls: list[Call]) -> Iterator[Entry]:
    """For each site the scripts that lead to it, or the outermost function where no script does."""
    seen: set[tuple[Module, Function | None]] = set()
    for call in calls:
        for module, unit in _callers(repo, call):
            if (module, unit) not in seen:
                seen.add((module, unit))
                yield Entry(kind, module, unit, call.site())


def _callers(repo: Repo, call: Call) -> list[tuple[Module, Function | None]]:
    """Units from which nothing else leads on, upwards from a call: scripts first, else functions nobody calls."""
    if call.scope is None:
        return [(call.module, None)]
    if len(repo.modules) > MAX_CLIMBED:
        return [(call.module, call.scope)]
    scripts: set[Module] = set()
    tops: set[Function] = set()
    seen: set[Function] = set()
    stack = [call.scope]
    while stack:
        function = stack.pop()
        if function in seen:
            continue
        seen.add(function)
        above = _callers_of(repo, function)
        if not above:
            tops.add(function)
        for unit in above:
            if isinstance(unit, Module):
                scripts.add(unit)
            else:
                stack.append(unit)
    if scripts:
        return [(module, None) for module in sorted(scripts, key=lambda m: m.path)]
    ordered = sorted(tops or {call.scope}, key=lambda f: f.dotted)
    return [(function.module, function) for function in ordered]


def _callers_of(repo: Repo, function: Function) -> set[callgraph.Unit]:
    """The units outside of tests that call a function, kept for the review."""
    known: dict[Function, set[callgraph.Unit]] = repo.kept("callers_of")
    if function not in known:
        found: set[callgraph.Unit] = set()
        words = _names_of(repo, function)
        for module in repo.modules:
            if "test" in module.file.roles or not any(word in module.file.data for word in words):
                continue
            units: list[callgraph.Unit] = [module, *module.functions.values()]
            found.update(u for u in units if function in callgraph.successors(repo, u, started=True))
        known[function] = found
    return known[function]


def _names_of(repo: Repo, function: Function) -> set[bytes]:
    """Words one of which a module has that leads to the function: its name, its class, classes derived from that."""
    words = {function.node.name.encode()}
    if function.class_name is None:
        return words
    names = {function.class_name.rpartition(".")[2].encode()}
    queue = list(names)
    while queue:
        found = _derived(repo).get(queue.pop(), set()) - names
        names |= found
        queue.extend(found)
    return words | names


def _derived(repo: Repo) -> dict[bytes, set[bytes]]:
    """Name of a class -> names of classes derived from it, by the text of the modules; read once."""
    known: dict[bytes, set[bytes]] | None = repo.__dict__.get("_derived_classes")
    if known is None:
        known = {}
        for module in repo.modules:
            for name, bases in _CLASS.findall(module.file.data):
                for base in re.findall(rb"\w+", bases):
                    known.setdefault(base, set()).add(name)
        repo.__dict__["_derived_classes"] = known
    return known
