"""What a registered route does for one request: what it reads, which functions it runs, which model it calls.

    for handler in handlers(repo):       one for each handler function that is really registered
        handler.functions                what one request runs, the handler first
        handler.model_calls              calls that make a model answer, nearest first
        handler.reads                    where the request's content is taken out
        handler.schema                   the call, annotation or decorator that checks that content, or None

What runs once, at import or at start-up, is not part of it: only calls inside functions that a request leads to.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ml_engineer.assessment import callgraph, queues, values
from ml_engineer.assessment.entrypoints import Entry, is_training_call
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.module import Call, Function, Module
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.entrypoints import Route
    from ml_engineer.assessment.repo import Repo

# Servers that bring health, metrics and a transport of their own.
PLATFORMS = frozenset("kserve seldon-core bentoml litserve ray triton mlserver torchserve modal".split())
# Those of them that have the model's version in their answers, and a log of requests that a setting switches on.
PROTOCOLS = frozenset("kserve seldon-core triton mlserver torchserve".split())
SERVERLESS = frozenset("lambda azure-function cloud-function chalice cloudera azure-ml".split())
WEB = frozenset(
    "flask fastapi starlette sanic bottle quart litestar falcon robyn aiohttp django tornado http.server grpc "
    "connexion".split()
)

# Servers that are started with a model and no code of one's own: how a command or an image shows them.
_MODEL_SERVERS = {
    "TorchServe": re.compile(r"\btorchserve\b"),
    "Triton": re.compile(r"\btritonserver\b"),
    "TensorFlow Serving": re.compile(r"\btensorflow_model_server\b|\btensorflow/serving\b"),
    "MLflow": re.compile(r"\bmlflow models serve\b|\bmlflow sagemaker\b"),
    "vLLM": re.compile(r"\bvllm serve\b|\bvllm/vllm-openai\b"),
}
_APP_CONSTRUCTORS = {
    "flask.Flask": "flask", "fastapi.FastAPI": "fastapi", "starlette.applications.Starlette": "starlette",
    "sanic.Sanic": "sanic", "bottle.Bottle": "bottle", "quart.Quart": "quart", "litestar.Litestar": "litestar",
    "falcon.App": "falcon", "robyn.Robyn": "robyn", "aiohttp.web.Application": "aiohttp",
    "tornado.web.Application": "tornado", "apiflask.APIFlask": "flask", "flask_openapi3.OpenAPI": "flask",
    "connexion.App": "connexion", "connexion.FlaskApp": "connexion", "http.server.HTTPServer": "http.server",
    "maxfw.core.MAXApp": "flask", "grpc.server": "grpc", "grpc.aio.server": "grpc",
    "django.core.wsgi.get_wsgi_application": "django", "django.core.asgi.get_asgi_application": "django",
}  # fmt: skip

_SCHEMA_CALLS = (
    "jsonschema.validate", "jsonschema.*().validate", "fastjsonschema.*", "pydantic.*.model_validate*",
    "*.model_validate", "*.model_validate_json", "*.parse_obj", "*.parse_raw", "*.validate_python",
    "pydantic.parse_obj_as", "cerberus.Validator().validate", "voluptuous.Schema()*", "pandera.*().validate",
    "*.validate_on_submit", "webargs.*", "*RequestParser().parse_args", "dacite.from_dict", "msgspec.*.decode",
    "msgspec.convert", "cattrs.structure", "pandera.*.validate", "schema.Schema().validate", "great_expectations.*",
    "marshmallow.*", "flask_marshmallow.*", "typeguard.check_type", "*.is_valid",
)  # fmt: skip
_SCHEMA_DECORATORS = re.compile(
    r"flask_pydantic\.|flask_expects_json\.|flask_smorest\.|webargs\.|flask_apispec\.|pydantic\.validate|"
    r"inference_schema\..*input_schema$|spectree\.|flask_parameter_validation\.|sanic_ext\.validate|apiflask\.|.*\.(expect|input|validate|use_kwargs)\b",
)
_SCHEMA_BASES = (
    "pydantic.BaseModel", "pydantic.main.BaseModel", "marshmallow.Schema", "sqlmodel.SQLModel", "msgspec.Struct",
    "flask_wtf.FlaskForm", "rest_framework.serializers.*", "wtforms.Form", "ninja.Schema",
)  # fmt: skip
_FLASK_CONTENT = "json|args|form|files|data|values|get_json|get_data|stream"
_CONTENT = re.compile(
    rf"(flask|quart|bottle)\.request\.({_FLASK_CONTENT}|forms|query|params|body)$|"
    r"(fastapi|starlette\.requests|starlette|fastapi\.requests)\.Request\(\)\.(json|body|form|query_params|stream)$"
)
_CONTENT_NAMES = frozenset(
    "json form args files data body POST FILES GET post read text query forms get_json get_data values stream params "
    "query_params get_body".split()
)
_EXAMPLES = re.compile(r"(^|/)(examples?|samples?|demos?|tutorials?)/", re.I)
# Services that another one is compared with.
_ASIDE = re.compile(r"(^|/)(benchmark(s|ing)?|experiments?|playground|sandbox|scratch|old|archive|legacy)/", re.I)
_PASS_REQUEST = frozenset("django aiohttp sanic starlette azure-function cloud-function robyn tornado".split())
# Annotations that say nothing of the content: a list of numbers or of a schema's rows is typed.
_UNTYPED = re.compile(
    r"(\w+\.)?(list|List|bytes|Mapping|Json|JSON)$|(\w+\.)?Mapping\[|.*\b(Any|object|dict|Dict)\b(?!\.)"
)
_POSTS = re.compile(r"(requests|httpx)(\.\w+\(\))?\.post")
_SCORES = re.compile(
    r"scoring|predict|inference|invocations|model_?(url|endpoint|uri)|endpoint_?ur[il]|/v\d/models/|deployments/", re.I
)
_PREDICTING_NAME = re.compile(
    r"(^|_)(predict|infer|inference|classify|prediction|forward|generate_(text|answer|completion|reply)|chat_completion)(_|$)",
    re.I,
)
# Names of what makes a model ready, or keeps it.
_PREPARING_NAME = re.compile(
    r"(^|_)(load|get|create|build|make|init\w*|setup|update|save|fetch|download|set|read|train|register|select)_\w*model$",
    re.I,
)
_CONSTRUCTORS = ("__init__", "__new__", "__post_init__", "model_post_init")
_CALLED = ("__call__", "forward", "call")
MAX_REACHED = 1_000
_MODEL_NAME = re.compile(r"(^|_)(model|net|network|classifier|regressor|predictor|pipe|pipeline|learner)$", re.I)
# What is done to a model other than asking it.
_HANDLES = re.compile(
    r"_*(create|register|publish|promote|approve|archive|save|store|export|upload|delete|remove|update|deploy|transfer|"
    r"load|download|fetch|get|list|describe|find|train|fit|build|compile|start|trigger)_\w*(model|"
    r"net|network|classifier|regressor|pipe|pipeline|learner)$"
)
_KEPT = re.compile(
    r"(flask|fastapi)\.\w+\(\)\.\w+\.\w+"
)  # what a program keeps on its application: `app.model.classify`
_CONVERSION_ERRORS = frozenset({"ValueError", "TypeError", "KeyError", "json.JSONDecodeError", "JSONDecodeError"})
_REJECTING = re.compile(r"HTTP_4(00|13|15|22)|BAD_REQUEST|UNPROCESSABLE")


@dataclass(frozen=True, eq=False, slots=True)
class App:
    """A WSGI or ASGI application object."""

    framework: str
    call: Call

    @property
    def site(self) -> Site:
        return self.call.site()


@dataclass(frozen=True, eq=False, slots=True)
class Read:
    """Where a handler takes content out of the request. `kind` is the attribute's name, `event` or `parameter`."""

    module: Module
    node: ast.AST
    kind: str


@dataclass(eq=False)
class Handler:
    """A handler function with every route that leads to it."""

    repo: Repo
    function: Function
    routes: list[Route]

    @property
    def framework(self) -> str:
        """Framework of the route; `ray` where a Ray Serve deployment wraps it."""
        class_name = f"{self.module.dotted}.{self.function.class_name}"
        if class_name in self.repo.classes:
            for decorator in self.repo.classes[class_name][1].decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if self.module.resolve(called).startswith("ray.serve."):
                    return "ray"
        return self.routes[0].framework

    @property
    def module(self) -> Module:
        return self.function.module

    @cached_property
    def functions(self) -> list[Function]:
        """What one request runs, the handler first, nearest next."""
        return reached(self.repo, self.function)

    @cached_property
    def calls(self) -> list[Call]:
        """Every call that one request makes, nearest function first."""
        return [call for function in self.functions for call in values.calls_of(function.module, function)]

    @cached_property
    def model_calls(self) -> list[Call]:
        """Calls that make a model answer; failing that, calls of local functions whose name says that they do."""
        found = [call for call in self.calls if values.is_model_call(self.repo, call)]
        if self.framework in SERVERLESS and any(map(is_training_call, self.calls)):
            return []  # a job that trains asks the model only to judge it
        found = found or [call for call in values.calls_in(self.function) if _sounds_like_model(call)]
        found = found or [call for call in self.calls if _asks_elsewhere(self.repo, call)]
        return found or queues.pushes(self.repo, self.calls)

    @cached_property
    def reads(self) -> list[Read]:
        """Where the request's content is taken out, the handler's own places first."""
        return [read for function in self.functions for read in _reads(self, function)]

    @cached_property
    def schema(self) -> str | None:
        """What checks the request's content, in words, or None."""
        return next(_schemas(self), None)

    @cached_property
    def rejects(self) -> bool:
        """Whether code that the request runs checks content by hand: it answers 400, 413, 415 or 422 of its own, turns
        back on what was sent, or raises on what it is given."""
        if any(_is_rejection(node) for function in self.functions for node in walk(function.node)):
            return True
        return _turns_back(self) or any(map(_raises_on_input, self.functions[1:]))


def handlers(repo: Repo) -> list[Handler]:
    """Every handler that is really registered, by path and line."""
    found: list[Handler] | None = repo.__dict__.get("_handlers")
    if found is None:
        by_function: dict[Function, list[Route]] = {}
        main = any(not _ASIDE.search(r.module.path) and not _is_shown_only(repo, r.module) for r in repo.routes)
        for route in repo.routes:
            if _is_shown_only(repo, route.module) or (main and _ASIDE.search(route.module.path)):
                continue
            by_function.setdefault(route.handler, []).append(route)
        found = [Handler(repo, function, routes) for function, routes in by_function.items()]
        repo.__dict__["_handlers"] = found
    return found


def _is_shown_only(repo: Repo, module: Module) -> bool:
    """Whether code shows how a service would look and nothing starts it: notebooks, documents, a library's examples."""
    if module.is_notebook or "docs" in module.file.roles:
        return True
    return _EXAMPLES.search(module.path) is not None and repo.dependencies.is_library


def model_handlers(repo: Repo) -> list[Handler]:
    """Handlers that make a model answer."""
    return [handler for handler in handlers(repo) if handler.model_calls]


def web_handlers(repo: Repo) -> list[Handler]:
    """Handlers that make a model answer on a general web framework or a serverless platform, not a model server."""
    return [handler for handler in model_handlers(repo) if handler.framework not in PLATFORMS]


def answering_handlers(repo: Repo) -> list[Handler]:
    """Handlers that make a model answer, and that alone can say which model it was and keep a record of the answer."""
    return [handler for handler in model_handlers(repo) if handler.framework not in PROTOCOLS]


def open_handlers(repo: Repo) -> list[Handler]:
    """As `web_handlers`, and those of a web application that a model server carries (`ray.serve.ingress`): the server
    brings health and metrics, and what a request may contain is still the handler's own affair."""
    return [h for h in model_handlers(repo) if h.framework not in PLATFORMS or h.routes[0].framework in WEB]


def apps(repo: Repo) -> list[App]:
    """Application objects of web frameworks, test files left out."""
    found: list[App] | None = repo.__dict__.get("_apps")
    if found is None:
        calls = [c for c in repo.calls(*_APP_CONSTRUCTORS, tests=False) if not _is_shown_only(repo, c.module)]
        calls = [c for c in calls if not _ASIDE.search(c.module.path)] or calls
        found = [App(_APP_CONSTRUCTORS[call.name], call) for call in calls]
        repo.__dict__["_apps"] = found
    return found


def served_app(repo: Repo) -> App | None:
    """The application object of the routes that make a model answer."""
    if "_served_app" not in repo.__dict__:
        repo.__dict__["_served_app"] = _find_served_app(repo)
    found: App | None = repo.__dict__["_served_app"]
    return found


def _find_served_app(repo: Repo) -> App | None:
    for handler in web_handlers(repo):
        own = [app for app in apps(repo) if app.framework == handler.framework]
        own.sort(key=lambda app: app.call.module is not handler.module)
        if len(own) > 1 and own[0].call.module is not handler.module:
            own.sort(key=lambda app: not _leads_to(repo, app, handler.module))
        if own:
            return own[0]
    return None


def _leads_to(repo: Repo, app: App, module: Module) -> bool:
    """Whether the module that makes an application imports another one, directly or not."""
    entry = Entry("serve", app.call.module, app.call.scope, app.site)
    return module in callgraph.closure_of(repo, [entry]).modules


def serves_model(repo: Repo) -> bool:
    """Whether a web application of this repository makes a model answer: what health and metrics are asked of."""
    return served_app(repo) is not None


def service_site(repo: Repo) -> Site | None:
    """Where the service that makes a model answer is made: its application, its class or route on a model server, or
    the start of a model server that needs no code.

    None also for serverless functions, whose platform measures and scales them.
    """
    app = served_app(repo)
    if app is not None:
        return app.site
    carried = next((h.routes[0].site for h in model_handlers(repo) if h.framework in PLATFORMS), None)
    return carried or next((site for _, site in model_servers(repo) if not model_handlers(repo)), None)


def model_servers(repo: Repo) -> Iterator[tuple[str, Site]]:
    """Model servers that a start command, an image or a manifest names."""
    texts = [(command.site, " ".join(command.words)) for command in repo.commands if command.origin != "readme"]
    texts += [(d.final.start.site(), d.final.image.text) for d in repo.dockerfiles if d.final is not None]
    texts += [(s.image.site(), s.image.text) for s in repo.compose if s.image is not None]
    texts += [(c.image.site(), c.image.text) for o in repo.kubernetes for c in o.containers if c.image is not None]
    for site, text in texts:
        if text.startswith(("echo ", "pip ", "pip3 ", "sed ", "grep ")) or "test" in repo.files[site.path].roles:
            continue
        for name, pattern in _MODEL_SERVERS.items():
            if pattern.search(text):
                yield name, site


def serving_modules(repo: Repo) -> list[Module]:
    """Modules of which the handlers, or what makes the application they are registered on, reach some code, by path."""
    found = set(repo.closure("serve").modules)
    app = served_app(repo)
    if app is not None:
        found |= callgraph.closure_of(repo, [Entry("serve", app.call.module, app.call.scope, app.site)]).modules
    return sorted(found, key=lambda module: module.path)


# --- what one request runs --------------------------------------------------------------------------------------------


def reached(
    repo: Repo, start: Function, *, enter: Callable[[Call], bool] = lambda call: True, handed_over: bool = True
) -> list[Function]:
    """Functions that a call of `start` runs, nearest first. `enter` says whether a call is followed.

    `handed_over`: functions given as an argument count too (dependencies, executors, callbacks).
    """
    order: list[Function] = []
    queue = deque([start])
    known = {start}
    while queue and len(order) < MAX_REACHED:
        function = queue.popleft()
        order.append(function)
        for call, called, given in _following(repo, function):
            for found in (*called, *given) if handed_over else called:
                if found not in known and enter(call):
                    known.add(found)
                    queue.append(found)
    return order


def _following(repo: Repo, function: Function) -> list[tuple[Call, list[Function], list[Function]]]:
    """For each call of a function what it runs, and what it is handed; worked out once."""
    cache: dict[Function, list[tuple[Call, list[Function], list[Function]]]] = repo.kept("runs")
    if function not in cache:
        cache[function] = []
        for call in values.calls_in(function):
            called = list(run_by(repo, values.origin(repo, call.name))) or _by_its_name(repo, call)
            given: list[Function] = []
            for argument in [*call.node.args, *(k.value for k in call.node.keywords)]:
                if isinstance(argument, ast.Name | ast.Attribute):
                    given += run_by(repo, call.module.resolve(argument))
            if called or given:
                cache[function].append((call, called, given))
    return cache[function]


def _by_its_name(repo: Repo, call: Call) -> list[Function]:
    """The one method of the repository that a call on something unknown can mean: `handlers["store"].get_model()`, or
    `classifier.classify()` where that is a parameter and the method one of a `SpamClassifier`."""
    func = call.node.func
    if not isinstance(func, ast.Attribute):
        return []
    owner = ""
    if isinstance(func.value, ast.Name) and call.scope is not None:
        named = {p.arg for p in call.scope.parameters if p.annotation is None} - {"self", "cls"}
        owner = func.value.id.replace("_", "").lower() if func.value.id in named and len(func.value.id) > 3 else ""
    if not owner and (not isinstance(func.value, ast.Subscript) or "_" not in func.attr):
        return []
    known: dict[str, list[Function]] = repo.kept("methods_by_name")
    if not known:
        for module in repo.modules:
            for function in module.functions.values():
                if function.class_name is not None and "test" not in module.file.roles:
                    known.setdefault(function.node.name, []).append(function)
    found = known.get(func.attr, [])
    return found if len(found) == 1 and (found[0].class_name or "").lower().endswith(owner) else []


def run_by(repo: Repo, name: str) -> Iterator[Function]:
    """Functions that calling a resolved name runs: a class's constructor, an object's `__call__`, else the function."""
    plain = name.replace("()", "")
    if plain in repo.classes:
        for method in _CALLED if name.endswith("()") else _CONSTRUCTORS:
            found = callgraph.method(repo, plain, method)
            if found is not None:
                yield found
        return
    if name.endswith("()"):
        return  # the value that a function has returned, not the function
    for function in callgraph.callees(repo, name):
        if "test" not in function.module.file.roles:
            yield function


def _sounds_like_model(call: Call) -> bool:
    """Whether a call that cannot be resolved is that of a model by its name: `predict_price(x)`, `model(x)`."""
    called = ast.unparse(call.node.func).rpartition(".")[2]
    if call.name.startswith(("logging.", "print", "flask.", "fastapi.")):
        return bool(_KEPT.match(call.name) and (_PREDICTING_NAME.search(called) or _MODEL_NAME.search(called)))
    if _HANDLES.match(called):
        return False
    if _PREPARING_NAME.search(called):
        return False
    return bool(
        _PREDICTING_NAME.search(called) or (_MODEL_NAME.search(called) and (call.node.args or called == "model"))
    )


def _asks_elsewhere(repo: Repo, call: Call) -> bool:
    """Whether a call sends rows to a model that another program serves: `requests.post(SCORING_URL, json=rows)`.

    A page that asks a route of the same repository is no service of its own: that route is judged.
    """
    address = call.argument(0, "url") if _POSTS.fullmatch(call.name) else None
    if address is None or not {"json", "data"} & {k.arg for k in call.node.keywords}:
        return False
    behind = call.module.value(address)
    text = ast.unparse(address) + (f" {ast.unparse(behind)}" if behind is not None else "")
    if not _SCORES.search(text):
        return False
    return not any(route.path and route.path.strip("/") and route.path.rstrip("/") in text for route in repo.routes)


def _is_rejection(node: ast.AST) -> bool:
    """Whether a node names a status that refuses the client's input."""
    if isinstance(node, ast.Constant):
        return type(node.value) is int and node.value in (400, 413, 415, 422)
    return isinstance(node, ast.Attribute) and bool(_REJECTING.match(node.attr))


def _turns_back(handler: Handler) -> bool:
    """Whether the handler leaves early where content is not as it should be, or where it cannot be converted."""
    module, sent = handler.module, {read.node for read in handler.reads}
    names: set[str] = set()

    def is_content(node: ast.AST) -> bool:
        return any(part in sent or (isinstance(part, ast.Name) and part.id in names) for part in walk(node))

    for node in walk(handler.function.node):
        if isinstance(node, ast.Assign) and is_content(node.value):
            names |= {part.id for target in node.targets for part in walk(target) if isinstance(part, ast.Name)}
    names |= {read.node.arg for read in handler.reads if isinstance(read.node, ast.arg)}
    for node in walk(handler.function.node):
        if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return | ast.Raise) and is_content(node.test):
            if not _is_taken(node):
                return True
        elif isinstance(node, ast.ExceptHandler) and node.type is not None:
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(ast.unparse(kind) in _CONVERSION_ERRORS for kind in kinds):
                parent = module.parent(node)
                if isinstance(parent, ast.Try) and any(is_content(statement) for statement in parent.body):
                    return True
    return False


def _is_taken(branch: ast.If) -> bool:
    """Whether a branch goes on with what was sent, as in `if file: return predict(file)`, and refuses nothing."""
    return isinstance(branch.test, ast.Name | ast.Attribute | ast.Subscript | ast.Call)


def _raises_on_input(function: Function) -> bool:
    """Whether a function raises where a parameter of its own, or of one inside it, is not as it should be."""
    if function.node.name in _CONSTRUCTORS:
        return False
    names = {part.arg for part in walk(function.node) if isinstance(part, ast.arg)} - {"self", "cls"}
    return any(
        isinstance(node, ast.If)
        and isinstance(node.body[-1], ast.Raise)
        and any(isinstance(part, ast.Name) and part.id in names for part in walk(node.test))
        for node in walk(function.node)
    )


# --- what is read and what checks it ----------------------------------------------------------------------------------


def _reads(handler: Handler, function: Function) -> Iterator[Read]:
    module = function.module
    own = function is handler.function
    request = _request_parameter(handler) if own else None
    for node in walk(function.node):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            if node.attr in _CONTENT_NAMES and _CONTENT.match(module.resolve(node)):
                yield Read(module, node, node.attr)
            elif request and isinstance(node.value, ast.Name) and node.value.id == request:
                if node.attr in _CONTENT_NAMES:
                    yield Read(module, node, node.attr)
        elif own and handler.framework in ("lambda", "cloudera", "azure-ml"):
            if _takes_event(function, node) or (handler.framework == "cloudera" and _hands_event_on(function, node)):
                yield Read(module, node, "event")
    if own and handler.framework in ("fastapi", "litestar"):
        for parameter in function.parameters:
            if parameter.annotation is not None and _UNTYPED.match(ast.unparse(parameter.annotation)):
                if not _is_file(function, parameter):
                    yield Read(module, parameter, "parameter")


def _is_file(function: Function, parameter: ast.arg) -> bool:
    """Whether FastAPI fills in a parameter from an uploaded file: `bytes = File(...)`."""
    text = ast.unparse(function.node.args)
    return re.search(rf"\b{parameter.arg}\b[^,]*\bFile\(", text) is not None


def _request_parameter(handler: Handler) -> str | None:
    """Name of the handler's own request parameter, in frameworks that pass one without annotation."""
    if handler.framework not in _PASS_REQUEST:
        return None
    names = [parameter.arg for parameter in handler.function.parameters if parameter.arg != "self"]
    return names[0] if names else None


def _takes_event(function: Function, node: ast.AST) -> bool:
    event = function.parameters[0].arg if function.parameters else ""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "json.loads" and node.args:
        return isinstance(node.args[0], ast.Name) and node.args[0].id == event
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Name) and node.value.id == event
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "get"
        and isinstance(node.value, ast.Name)
        and node.value.id == event
    )


def _hands_event_on(function: Function, node: ast.AST) -> bool:
    """Whether the whole of what a function is asked with goes into a call, other than one that only keeps a record."""
    if not isinstance(node, ast.Call) or re.search(r"log|print|track|debug|info", ast.unparse(node.func)):
        return False
    event = function.parameters[0].arg if function.parameters else ""
    return any(isinstance(argument, ast.Name) and argument.id == event for argument in node.args)


def is_schema(repo: Repo, name: str) -> bool:
    """Whether a resolved name is a class that checks what it is given."""
    return name in repo.classes and any(matches(b, *_SCHEMA_BASES) for b in callgraph.bases(repo, name))


def _schemas(handler: Handler) -> Iterator[str]:
    repo = handler.repo
    if handler.framework == "connexion":
        yield "the OpenAPI document that Connexion checks requests against"
    for function in handler.functions:
        for decorator in function.node.decorator_list:
            name = function.module.resolve(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if _SCHEMA_DECORATORS.match(name):
                yield name
    for call in handler.calls:
        name = call.name.replace("()", "")
        if matches(call.name, *_SCHEMA_CALLS) or is_schema(repo, name) or is_schema(repo, name.rpartition(".")[0]):
            yield name


def annotated_schemas(handler: Handler) -> list[str]:
    """Local schema classes among the annotations of the handler's parameters."""
    module = handler.module
    found = []
    for parameter in handler.function.parameters:
        if parameter.annotation is not None:
            for node in walk(parameter.annotation):
                if isinstance(node, ast.Name | ast.Attribute) and is_schema(handler.repo, module.resolve(node)):
                    found.append(module.resolve(node))
    return found
