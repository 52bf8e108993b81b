"""M5-15: who may call the service, and from which page: open CORS with credentials, predictions without a login."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import holds
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
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
    r"forwardauth|cognito|iap:|AuthorizationPolicy",
    re.I,
)

_GATEWAY_EVENT = re.compile(
    r"^\s*-?\s*(httpApi|http):|Type:\s*(Http)?Api\b|AWS::Serverless::(Http)?Api|aws_apigateway(v2)?_api"
)


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
    applies=lambda repo: bool(repo.routes) or repo.uses("gradio"),
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
    pages = [c for c in repo.calls("gradio.*.launch", tests=False) if c.keyword("auth") is None]
    if not handlers and not pages:
        return
    modules = serving_modules(repo)
    spoken = [module.file for module in modules if holds(module.file.text, _AUTH_WORDS)]
    if any(_AUTH.search(line) for file in spoken for line in file.lines if not _is_prose(line)):
        return
    if any(
        holds(file.text, _GATEWAY_WORDS) and _GATEWAYS.search(file.text)
        for file in repo.glob("*.conf", "*.y*ml", "*.tf", "Caddyfile", "*.json")
    ):
        return
    for page in pages:
        port = next(_published_ports(repo, page.module.path), None)
        if port is not None:
            looked_for = ("auth=", "gateway with authentication")
            yield Hit(
                [repo.missing(page.site(), looked_for, [page.module.path]), port],
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


def _is_prose(line: str) -> bool:
    return line.lstrip().startswith("#")


def _published(repo: Repo, handler: Handler) -> Iterator[Site]:
    """Where the handler's service is opened to the outside: an API gateway, a service type, a published port."""
    from ml_engineer.assessment.serving import SERVERLESS

    if handler.framework in SERVERLESS:
        for file in repo.glob("serverless.y*ml", "template.y*ml", "*.tf", "samconfig.toml"):
            yield from (file.site(line, note="the gateway in front of it") for line, _ in file.find(_GATEWAY_EVENT))
        return
    for thing in repo.kubernetes:
        kind = thing.node.get("spec", "type")
        if thing.kind == "Service" and kind is not None and kind.text in ("LoadBalancer", "NodePort"):
            yield kind.site(note="published here")
        elif thing.kind in ("Ingress", "Gateway", "HTTPRoute", "VirtualService", "Route"):
            yield thing.site()
    yield from _published_ports(repo, handler.module.path)
    for file in repo.glob("Procfile", "app.yaml", "render.yaml", "fly.toml", "app.json", "vercel.json"):
        if handler.module.path.startswith(f"{file.folder}/".lstrip("/")):
            yield file.site(1, note="a public platform")


def _published_ports(repo: Repo, path: str) -> Iterator[Site]:
    """Ports that Compose opens on all interfaces for the service that is built from where a file stands."""
    for service in repo.compose:
        context = service.build_context
        if context is None or not (context in ("", ".") or path.startswith(f"{context}/")):
            continue
        for port in service.ports:
            if port.published is not None and port.host not in ("127.0.0.1", "localhost", "::1"):
                yield port.node.site(note="published here")
