"""M5-15: who may call the service, and from which page: open CORS with credentials, predictions without a login."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import holds
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.compose import Service
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.serving import Handler

_AUTH = re.compile(
    r"authoriz|authentic|\bauth_|api[_-]?key|x-api-key|bearer|oauth|\bjwt\b|login_required|permission_classes|"
    r"verify_token|access_token|basic_?auth|security\.|current_user|\bHMAC\b|API_TOKEN",
    re.I,
)
# Of these words one stands in every match.
_AUTH_WORDS = (
    "authoriz", "authentic", "auth_", "api_key", "api-key", "apikey", "bearer", "oauth", "jwt", "login_required",
    "permission_classes", "verify_token", "access_token", "basicauth", "basic_auth", "security.", "current_user",
    "hmac", "api_token",
)  # fmt: skip
_GATEWAY_WORDS = ("auth", "jwt", "api_key", "apikey", "cognito", "iap:")
_GATEWAYS = re.compile(
    r"auth_basic|auth_request|auth-url|auth-type|oauth2-proxy|authorizer|jwt|api_?key_?required: *true|basicauth|"
    r"forwardauth|cognito|iap:|AuthorizationPolicy|AuthorizationType\W+(AWS_IAM|CUSTOM)|aws_iam",
    re.I,
)

_LOCKS = re.compile(r"(^|[-.])lock\.(json|ya?ml)$", re.I)  # whose hashes spell any word
_OFF = re.compile(r"(?i)auth\w*[\"']?\s*[:=]\s*[\"']?(false|off|none|no)\b")  # as in a data source of Grafana

_KEYS = re.compile(r"api[-_]key|token[-_]auth|auth[-_]token|basic[-_]auth|--htpasswd", re.I)
_LOCAL = ("127.0.0.1", "localhost", "::1")
_PROXIES = re.compile(r"nginx|traefik|caddy|haproxy|envoy|openresty", re.I)
_GATEWAY_EVENT = re.compile(
    r"^\s*-?\s*(httpApi|http):|Type:\s*(Http)?Api\b|AWS::Serverless::(Http)?Api|aws_apigateway(v2)?_api|"
    r"Auth(orization)?Type\W{1,4}NONE\b|\b(Lambda)?RestApi\(|\bHttpApi\("
)
_STACKS = ("aws::serverless::", "aws::apigateway", "aws::lambda::url", "aws_apigateway", "aws-apigateway", "lambda_")
_AN_EVENT = re.compile(r"(^|/)events?/|event[^/]*\.json$", re.I)  # as a gateway hands it on, to try a function with
_ANONYMOUS = re.compile(r"\"authLevel\"\s*:\s*\"anonymous\"", re.I)  # of Azure Functions
_ADAPTERS = ("mangum", "aws_wsgi", "serverless_wsgi", "apig_wsgi", "awsgi")  # a web application as a function of Lambda
_UNASKED = re.compile(r"--allow-unauthenticated\b|\ballUsers\b")


def _answers(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import model_servers

    return bool(repo.routes) or repo.uses("gradio", "streamlit") or any(True for _ in model_servers(repo))


@rule(
    id="MLE0515",
    name="open-surface",
    step=5,
    severity=MEDIUM,
    title="The service is open to callers it does not know",
    why="Anyone who reaches it can use the model, copy it by asking often enough, and run up the bill.",
    remedy="Put authentication in front of it (a dependency, or the gateway) and allow only known origins.",
    source="OWASP API security; CORS specification",
    peers=("devops-engineer",),
    applies=_answers,
)
def check(repo: Repo) -> Iterator[Hit]:
    for call in repo.calls("*.add_middleware", "flask_cors.CORS", "*.cors.CORSMiddleware", "*.Middleware", tests=False):
        if _is_open_with_credentials(call):
            yield Hit(
                [call.module.site(call.keyword("allow_origins") or call.keyword("origins") or call.node)],
                title="CORS allows every origin together with credentials",
                why="Any web page a signed-in user visits can call the service in that user's name.",
                remedy="List the origins that may call it, or leave credentials off.",
            )
    yield from _unknown_callers(repo)


def _is_open_with_credentials(call: Call) -> bool:
    module = call.module
    if call.name == "flask_cors.CORS":
        origins = module.literal(call.keyword("origins"))
        no_list = call.keyword("origins") is None and call.keyword("resources") is None
        everyone = no_list or origins == "*" or origins == ["*"]
        return everyone and module.literal(call.keyword("supports_credentials")) is True
    named = [module.resolve(argument) for argument in call.node.args[:1]]
    if not (call.name.endswith("CORSMiddleware") or any(name.endswith("CORSMiddleware") for name in named)):
        return False
    origins = module.literal(call.keyword("allow_origins"))
    everyone = isinstance(origins, list | tuple) and "*" in origins
    return everyone and module.literal(call.keyword("allow_credentials")) is True


def _unknown_callers(repo: Repo) -> Iterator[Hit]:
    """Predictions without authentication, where a manifest publishes the port."""
    from ml_engineer.assessment.serving import serving_modules, web_handlers

    handlers = web_handlers(repo)
    pages = [(c.module, c.site()) for c in repo.calls("gradio.*.launch", tests=False) if c.keyword("auth") is None]
    pages += _streamlit_pages(repo)
    if not handlers and not pages:
        yield from _bare_servers(repo)
        return
    modules = serving_modules(repo)
    spoken = [module.file for module in modules if holds(module.file.text, _AUTH_WORDS)]
    if any(_AUTH.search(line) for file in spoken for line in file.lines if not _is_prose(line)):
        return
    fronts = repo.glob("*.conf", "*.y*ml", "*.tf", "Caddyfile", "*.json")
    if any(_asks(file) for file in fronts if "test" not in file.roles and not _AN_EVENT.search(file.path)):
        return
    for module, site in pages:
        published = next(_opened(repo, module.path), None)
        if published is not None and not (holds(module.file.text, _AUTH_WORDS) and _AUTH.search(module.file.text)):
            looked_for = ("auth=, a login", "gateway with authentication")
            yield Hit(
                [repo.missing(site, looked_for, [module.path]), published],
                title="Anyone who reaches the published port can ask the model",
                anchor="no-auth",
            )
            return
    for handler in handlers:
        published = next(_published(repo, handler), None)
        if published is not None:
            patterns = ("authorization header, API key, token, login_required", "gateway with authentication")
            yield Hit(
                [repo.missing(handler.routes[0].site, patterns, modules), published],
                title="Anyone who reaches the published port can ask the model",
                anchor="no-auth",
            )
            return


def _streamlit_pages(repo: Repo) -> list[tuple[Module, Site]]:
    """Scripts of Streamlit that a model answers in."""
    from ml_engineer.assessment.learning import entry_closure
    from ml_engineer.assessment.values import is_model_call

    found = []
    for entry in repo.entries:
        if entry.kind == "serve" and entry.unit is None and any(i.top == "streamlit" for i in entry.module.imports):
            modules = entry_closure(repo, entry).modules
            if any(is_model_call(repo, call) for module in modules for call in module.calls):
                found.append((entry.module, entry.site))
    return found


def _bare_servers(repo: Repo) -> Iterator[Hit]:
    """A model server without code of one's own, where a manifest publishes its port and nothing asks for a key."""
    from ml_engineer.assessment.serving import model_servers

    for name, site in model_servers(repo):
        file = repo.files[site.path]
        if _KEYS.search(file.text) or any(_asks(f) for f in repo.glob("*.conf", "*.y*ml", "*.tf")):
            continue
        published = next(_opened(repo, f"{file.folder}/x".lstrip("/")), None)
        own = [s for s in repo.compose if s.file is file and s.image is not None and s.image.site() == site]
        ports = [port for service in own for port in service.ports if port.published is not None]
        if ports:
            published = next((p.node.site(note="published here") for p in ports if p.host not in _LOCAL), None)
        if published is not None:
            yield Hit(
                [repo.missing(site, ("an API key or token", "gateway with authentication"), [file]), published],
                title=f"Anyone who reaches the published port of {name} can ask the model",
                anchor="no-auth",
            )
            return


def _asks(file: File) -> bool:
    """Whether a file of settings makes a gateway ask who calls."""
    if _LOCKS.search(file.name) or not holds(file.text, _GATEWAY_WORDS):
        return False
    return any(not _OFF.search(match.string) for _, match in file.find(_GATEWAYS))


def _is_prose(line: str) -> bool:
    return line.lstrip().startswith("#")


# Services beside the model's own: what stores and what watches.
_STORES = re.compile(
    r"postgres|mysql|mongo|maria|redis|(^|-)(db|database)($|-)|prometheus|grafana|minio|mlflow|kafka", re.I
)


def _published(repo: Repo, handler: Handler) -> Iterator[Site]:
    """Where the handler's service is opened to the outside: an API gateway, a service type, a published port."""
    from ml_engineer.assessment.serving import SERVERLESS

    if handler.framework in SERVERLESS or repo.uses(*_ADAPTERS):
        templates = [file for file in repo.glob("*.y*ml", "*.py", "*.ts") if holds(file.text, _STACKS)]
        for file in [*repo.glob("serverless.y*ml", "template.y*ml", "*.tf", "samconfig.toml"), *templates]:
            yield from (file.site(line, note="the gateway in front of it") for line, _ in file.find(_GATEWAY_EVENT))
        for file in repo.glob("function.json"):
            if file.folder == handler.module.file.folder:
                yield from (file.site(line, note="asks for no key") for line, _ in file.find(_ANONYMOUS))
        return
    yield from _opened(repo, handler.module.path)


def _opened(repo: Repo, path: str) -> Iterator[Site]:
    """Where what stands in a file is opened to the outside by a manifest, a port or a public platform."""
    for thing in repo.kubernetes:
        kind = thing.node.get("spec", "type")
        if thing.kind == "Service" and kind is not None and kind.text in ("LoadBalancer", "NodePort"):
            if not _STORES.search(thing.name or ""):
                yield kind.site(note="published here")
        elif thing.kind in ("Ingress", "Gateway", "HTTPRoute", "VirtualService", "Route"):
            yield thing.site()
    yield from _published_ports(repo, path)
    for file in [*repo.glob("*.y*ml", "*.sh", "Makefile", "*.tf"), *repo.glob("*.md")]:  # Google's Cloud Run
        if b"allow-unauthenticated" in file.data or b"allUsers" in file.data:
            yield from (file.site(line, note="published here") for line, _ in file.find(_UNASKED))
    for file in repo.glob(
        "Procfile", "app.yaml", "render.yaml", "fly.toml", "app.json", "vercel.json", "heroku.yml", "railway.*"
    ):
        if path.startswith(f"{file.folder}/".lstrip("/")):
            yield file.site(1, note="a public platform")


def _is_built_around(service: Service, path: str) -> bool:
    """Whether a service is built from a folder that holds a file."""
    if service.build_context is None:
        return False
    folder = posixpath.normpath(posixpath.join(service.file.folder, service.build_context))
    return folder == "." or path.startswith(f"{folder}/")


def _published_ports(repo: Repo, path: str) -> Iterator[Site]:
    """Ports that Compose opens on all interfaces for the service that is built from where a file stands, or for the
    proxy in front of it."""
    holding = [s for s in repo.compose if _is_built_around(s, path)]
    behind = {service.file for service in holding}
    for service in repo.compose:
        named = f"{service.name} {service.image.text if service.image is not None else ''}"
        if service not in holding and not (service.file in behind and _PROXIES.search(named)):
            continue
        for port in service.ports:
            if port.published is not None and port.host not in _LOCAL:
                yield port.node.site(note="published here")
