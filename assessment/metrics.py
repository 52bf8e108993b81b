"""Metrics of Prometheus: which names the code emits, and which names dashboards and alert rules ask for.

    emitted(repo)      names that the code exposes, or None where some name cannot be known
    asked(repo)        (metric, place) for every metric named by a dashboard or a rule
    is_foreign(name)   a metric that exporters, servers or the cluster bring, not this code

A name given through a parameter or an environment variable is followed to its callers, its default, and the value that
manifests set.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.module import Call, Function, Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rule import Site

# Constructor -> suffixes of the series that it exposes.
_SUFFIXES = {
    "Counter": ("", "_total", "_created"),
    "Gauge": ("",),
    "Histogram": ("", "_bucket", "_sum", "_count", "_created"),
    "Summary": ("", "_sum", "_count", "_created"),
    "Info": ("_info",),
    "Enum": ("",),
}
_ALL = ("", "_total", "_bucket", "_sum", "_count", "_created")
_INSTRUMENTATOR = "prometheus_fastapi_instrumentator"
_INSTRUMENTATOR_METRICS = {
    "requests": "http_requests_total",
    "request_size": "http_request_size_bytes",
    "response_size": "http_response_size_bytes",
    "combined_size": "http_combined_size_bytes",
    "latency": "http_request_duration_seconds",
}
_INSTRUMENTATOR_DEFAULTS = (*_INSTRUMENTATOR_METRICS.values(), "http_request_duration_highr_seconds")
# Libraries that expose series of their own: the pattern of the names.
_LIBRARIES = {
    "prometheus_flask_exporter": r"flask_\w+",
    "starlette_exporter": r"starlette_\w+|\w+_requests?_\w+",
    "starlette_prometheus": r"starlette_\w+",
    "django_prometheus": r"django_\w+",
    "aioprometheus": r"\w+",
    "ray": r"ray_\w+|\w+",
    "bentoml": r"bentoml_\w+",
    "mlserver": r"\w*(model|rest|grpc)_\w+",
    "seldon_core": r"seldon_\w+",
    "vllm": r"vllm\w*",
    "celery": r"celery_\w+|flower_\w+",
    "evidently": r"evidently\w*",
    "locust": r"locust_\w+",
}
_UNKNOWABLE = ("opentelemetry", "statsd", "datadog", "aws_embedded_metrics", "opencensus", "sanic_prometheus")
_FOREIGN = re.compile(
    r"^(up|scrape_\w+|ALERTS\w*|absent|time|vector|process_\w+|python_\w+|go_\w+|promhttp_\w+|prometheus_\w+|net_\w+|"
    r"kube_\w+|container_\w+|node_\w+|machine_\w+|kubelet_\w+|apiserver_\w+|istio_\w+|nginx_\w+|traefik_\w+|envoy_\w+|"
    r"grafana_\w+|alertmanager_\w+|redis_\w+|pg_\w+|mysql_\w+|mongodb_\w+|kafka_\w+|jvm_\w+|probe_\w+|DCGM_\w+|nv_\w+|"
    r"ts_\w+|ray_\w+|vllm\w*|seldon_\w+|bentoml_\w+|triton_\w+|airflow_\w+|celery_\w+|rabbitmq_\w+|elasticsearch_\w+|"
    r"blackbox_\w+|windows_\w+|cadvisor_\w+|coredns_\w+|etcd_\w+|haproxy_\w+|minio_\w+|locust_\w+|nvidia_\w+|"
    r"revision_\w+|knative_\w+|argo\w*|flask_exporter_info|cluster:\S+|namespace\w*:\S+|instance:\S+|job:\S+)$"
)
_NOT_METRICS = frozenset(
    "and or unless by without on ignoring group_left group_right bool offset inf nan Inf NaN le start end atan2".split()
)
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", re.I)
_TOKEN = re.compile(r"(?<![\w:.$])[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()(?![\w:])")


@dataclass
class Emitted:
    """Names that the code exposes: exact ones and patterns of libraries. `sites` are where metrics are made."""

    names: set[str] = field(default_factory=set)
    patterns: list[re.Pattern[str]] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)

    def has(self, name: str) -> bool:
        return name in self.names or any(pattern.fullmatch(name) for pattern in self.patterns)


def emitted(repo: Repo) -> Emitted | None:
    """What the code exposes, or None where some of it cannot be known."""
    if repo.uses(*_UNKNOWABLE):
        return None
    found = Emitted()
    found.patterns = [re.compile(pattern) for package, pattern in _LIBRARIES.items() if repo.uses(package)]
    for call in repo.calls("prometheus_client.*", "prometheus_client.*.*", tests=False):
        kind = call.name.rpartition(".")[2]
        if kind not in _SUFFIXES:
            continue
        names = _full_names(repo, call, call.argument(0, "name"))
        if names is None:
            return None
        found.sites.append(call.site())
        for name in names:
            base = name.removesuffix("_total") if kind == "Counter" else name
            found.names.update(f"{base}{suffix}" for suffix in _SUFFIXES[kind])
    return found if _instrumentator(repo, found) else None


def _instrumentator(repo: Repo, found: Emitted) -> bool:
    """Add what prometheus-fastapi-instrumentator exposes. False where it cannot be known."""
    own = list(repo.calls(f"{_INSTRUMENTATOR}.metrics.*", tests=False))
    started = list(repo.calls(f"{_INSTRUMENTATOR}.Instrumentator", f"{_INSTRUMENTATOR}.*.Instrumentator", tests=False))
    found.sites.extend(call.site() for call in started)
    for call in started:
        name = call.module.literal(call.keyword("inprogress_name"))
        found.names.add(name if isinstance(name, str) else "http_requests_inprogress")
    default = [call for call in own if call.name.endswith(".default")]
    for call in own:
        short = call.name.rpartition(".")[2]
        if short not in _INSTRUMENTATOR_METRICS:
            continue
        names = _full_names(repo, call, call.keyword("metric_name"), _INSTRUMENTATOR_METRICS[short], "metric_")
        if names is None:
            return False
        for name in names:
            found.names.update(f"{name.removesuffix('_total')}{suffix}" for suffix in _ALL)
    if started and (default or not own):
        for name in _INSTRUMENTATOR_DEFAULTS:
            found.names.update(f"{name.removesuffix('_total')}{suffix}" for suffix in _ALL)
    return True


def _full_names(
    repo: Repo, call: Call, name: ast.expr | None, default: str | None = None, prefix: str = ""
) -> set[str] | None:
    """namespace_subsystem_name in every combination that the arguments can take."""
    if call.has_unpacked_keywords:
        return None
    parts = []
    for node, missing in (
        (call.keyword(f"{prefix}namespace"), ""),
        (call.keyword(f"{prefix}subsystem"), ""),
        (name, default),
    ):
        values = {missing} if node is None and missing is not None else _texts(repo, call.module, node)
        if not values:
            return None
        parts.append(values)
    return {
        "_".join(p for p in (space, system, own) if p) for space in parts[0] for system in parts[1] for own in parts[2]
    }


def _texts(repo: Repo, module: Module, node: ast.expr | None, depth: int = 0) -> set[str]:
    """Every text that an expression can stand for; empty where that is not known."""
    value = module.value(node)
    if value is None or depth > 4:
        return set()
    literal = module.literal(value)
    if isinstance(literal, str):
        return {literal}
    if isinstance(value, ast.Call):
        return _environment(repo, module, value)
    if isinstance(value, ast.Name):
        return _parameter(repo, module, value, depth)
    return set()


def _environment(repo: Repo, module: Module, node: ast.Call) -> set[str]:
    """The value of an environment variable: what manifests set it to, else the default in the code."""
    if module.resolve(node.func) not in ("os.environ.get", "os.getenv") or not node.args:
        return set()
    name = module.literal(node.args[0])
    default = module.literal(node.args[1]) if len(node.args) > 1 else None
    given = [c.env[name].text for o in repo.kubernetes for c in o.containers if isinstance(name, str) and name in c.env]
    given += [
        stage.env[name] for d in repo.dockerfiles for stage in d.stages if isinstance(name, str) and name in stage.env
    ]
    for service in repo.compose:
        if isinstance(name, str) and name in service.environment:
            given.append(service.environment[name].text.removeprefix(f"{name}="))
    if given:
        return set(given)
    return {default} if isinstance(default, str) else set()


def _parameter(repo: Repo, module: Module, name: ast.Name, depth: int) -> set[str]:
    """What callers give for a parameter, and its default."""
    from ml_engineer.assessment.dataflow import argument_for, callers

    function = module.scope_of(name)
    if function is None or name.id not in [parameter.arg for parameter in function.parameters]:
        return set()
    found: set[str] = set()
    for call in callers(repo, function):
        given = argument_for(function, call, name.id)
        if given is None:
            texts = _texts(repo, module, _default(function, name.id), depth + 1)
        else:
            texts = _texts(repo, call.module, given, depth + 1)
        if not texts:
            return set()
        found |= texts
    return found


def _default(function: Function, name: str) -> ast.expr | None:
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(zip(reversed([a.arg for a in positional]), reversed(arguments.defaults), strict=False))
    named = {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None}
    return named.get(name) or defaults.get(name)


# --- what is asked for ------------------------------------------------------------------------------------------------


def is_foreign(name: str) -> bool:
    """Whether a metric comes from an exporter, a server or the cluster."""
    return _FOREIGN.match(name) is not None


def names_in(expression: str) -> set[str]:
    """Metrics that a PromQL expression names."""
    text = _QUOTED.sub('""', expression)
    text = re.sub(r"\{[^{}]*\}", "", re.sub(r"\$\{\w+\}|\$\w+", "0", text))
    text = _GROUPING.sub("", re.sub(r"\[[^\]]*\]", "", text))
    return {token for token in _TOKEN.findall(text) if token not in _NOT_METRICS and not token.startswith("__")}


def asked(repo: Repo) -> list[tuple[str, Site]]:
    """Every metric that a dashboard or an alert rule names, with its place. Recording rules are answered."""
    recorded: set[str] = set()
    found: list[tuple[str, Site]] = []
    for file, expression, line, record in _expressions(repo):
        if record:
            recorded.add(record)
        found.extend((name, file.site(line)) for name in sorted(names_in(expression)))
    return [(name, site) for name, site in found if name not in recorded]


def alert_rules(repo: Repo) -> list[Site]:
    """Alert rules of Prometheus files and of PrometheusRule objects."""
    return [site for file in _rule_files(repo) for site in _alerts(repo, file)]


def _rule_files(repo: Repo) -> list[File]:
    candidates = repo.glob("*.yml", "*.yaml", "*.rules")
    return [
        f
        for f in candidates
        if "test" not in f.roles and re.search(r"^[ \t]*(?:-[ \t]*)?(alert|record):", f.text, re.M)
    ]


def _alerts(repo: Repo, file: File) -> Iterator[Site]:
    for document in repo.yaml(file).documents:
        for key, node in document.walk():
            if key == "alert" and node.kind == "scalar":
                yield node.site()


def _expressions(repo: Repo) -> Iterator[tuple[File, str, int, str]]:
    """File, expression, line, and the name that a recording rule gives to it."""
    for file in _rule_files(repo):
        for document in repo.yaml(file).documents:
            for _, node in document.walk():
                expression, record = node.get("expr"), node.get("record")
                if expression is not None and expression.kind == "scalar":
                    line = expression.lines()[0][0] if expression.lines() else expression.line
                    yield file, expression.text, line, record.text if record is not None else ""
    for file in repo.glob("*.json"):
        if "test" not in file.roles and file.size < 1_000_000 and '"panels"' in file.text and '"expr"' in file.text:
            for line, text in _dashboard(file):
                yield file, text, line, ""


def _dashboard(file: File) -> Iterator[tuple[int, str]]:
    """Expressions of a Grafana dashboard with their lines."""
    for number, match in file.find(r'"expr"\s*:\s*("(?:[^"\\]|\\.)*")'):
        try:
            expression = json.loads(match[1])
        except ValueError:
            continue
        if isinstance(expression, str) and expression:
            yield number, expression
