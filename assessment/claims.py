"""What can be said of every field of the report from what is present or absent.

`build(repo)` gives a claim for each field, by the step that owns it. A claim is `present` with the place that shows it,
`absent` with the place that needs it and what was looked for, or `unknown` where the repository cannot tell. Nothing is
proposed or measured here: that takes a model, a person or a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ml_engineer.assessment import catalogue, profile
from ml_engineer.assessment.engine import evidence_of
from ml_engineer.assessment.profile import Known, from_uses, join
from ml_engineer.assessment.rule import Missing, Site
from ml_engineer.report.schema import (
    PIPELINE_COLUMNS,
    PIPELINE_STAGES,
    SECTION_FIELDS,
    Claim,
    ClaimState,
    pipeline_claim_name,
)

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

MAX_EVIDENCE = 4
_METRIC_FILES = ("metrics.json", "metrics/*.json", "**/metrics.json", "scores.json", "reports/*.json", "**/eval*.json")
_REGISTRY = ("*.register_model", "*.create_model_version", "*.set_registered_model_alias", "*.push_to_hub",
             "*.log_artifact", "bentoml.*.save_model", "*.create_registered_model")  # fmt: skip
_METRIC_CALLS = ("sklearn.metrics.*", "torchmetrics.*", "*.evaluate", "evaluate.load")
_DRIFT_CALLS = ("scipy.stats.ks_2samp", "scipy.stats.wasserstein_distance", "scipy.spatial.distance.jensenshannon")

_CI_NAMES = {
    "github": "GitHub Actions",
    "gitlab": "GitLab CI",
    "azure": "Azure Pipelines",
    "circleci": "CircleCI",
    "travis": "Travis CI",
    "jenkins": "Jenkins",
    "bitbucket": "Bitbucket Pipelines",
    "cloudbuild": "Cloud Build",
}
Field = Callable[["Repo"], Claim]


def build(repo: Repo) -> dict[int, dict[str, Claim]]:
    """Claims by step and field name; every field that the report has is among them."""
    claims: dict[int, dict[str, Claim]] = {step: {} for step in range(1, 11)}
    for _, fields in SECTION_FIELDS.values():
        for name, step in fields.items():
            claims[step][name] = _FIELDS[name](repo)
    for stage in PIPELINE_STAGES:
        for column in PIPELINE_COLUMNS:
            name = pipeline_claim_name(stage, column)
            claims[4][name] = _FIELDS[name](repo)
    return claims


# --- how claims are made ----------------------------------------------------------------------------------------------


def present(repo: Repo, known: Known) -> Claim:
    evidence = [evidence_of(repo, site) for site in dict.fromkeys(known.sites)][:MAX_EVIDENCE]
    return Claim(text=known.value, state=ClaimState.PRESENT, evidence=evidence)


def absent(repo: Repo, text: str, need: Site | None, patterns: Iterable[str], files: Iterable[str] = ()) -> Claim:
    """Something that is needed at `need` and is not there; unknown where nothing in the repository needs it."""
    if need is None:
        return Claim(text=f"{text} (nothing in this repository asks for it yet)", state=ClaimState.UNKNOWN)
    missing = Missing(need, tuple(patterns), tuple(files) or (f"{len(repo.files)} files of the repository",))
    return Claim(text=text, state=ClaimState.ABSENT, evidence=[evidence_of(repo, missing)])


def serving_site(repo: Repo) -> Site | None:
    """What needs serving fields: the first route, preferably one that predicts, else the first interface."""
    routes = sorted(
        repo.routes, key=lambda r: (not re.search("predict|infer|score|classif", r.path or ""), r.module.path)
    )
    if routes:
        return routes[0].site
    return next((entry.site for entry in repo.entries if entry.kind == "serve"), None)


def training_site(repo: Repo) -> Site | None:
    """What needs training fields: the first training call, in a program rather than in a notebook."""
    found = sorted((e for e in repo.entries if e.kind == "train"), key=lambda e: e.module.is_notebook)
    return found[0].site if found else None


def model_site(repo: Repo) -> Site | None:
    """What needs a model at all: training, serving or batch prediction."""
    return training_site(repo) or serving_site(repo) or next((e.site for e in repo.entries), None)


def _uses(category: str, text: str, need: Callable[[Repo], Site | None]) -> Field:
    """A field that is answered by the tools of one category of the catalogue."""

    def field(repo: Repo) -> Claim:
        known = from_uses(catalogue.found(repo, category))
        if known is not None:
            return present(repo, known)
        return absent(repo, text, need(repo), catalogue.names(category))

    return field


def _first(
    *choices: Callable[[Repo], Known | None], text: str, need: Callable[[Repo], Site | None], looked: tuple[str, ...]
) -> Field:
    """A field that is answered by the first of several readings, or said to be absent."""

    def field(repo: Repo) -> Claim:
        for choice in choices:
            known = choice(repo)
            if known is not None:
                return present(repo, known)
        return absent(repo, text, need(repo), looked)

    return field


# --- readings ---------------------------------------------------------------------------------------------------------


def _infrastructure(repo: Repo) -> Known | None:
    found: list[Known] = []
    workloads = [o for o in repo.kubernetes if o.containers]
    if workloads:
        found.append(Known(f"Kubernetes ({', '.join(sorted({o.kind for o in workloads}))})", (workloads[0].site(),)))
    if repo.compose:
        found.append(Known("Docker Compose", (repo.compose[0].site(),)))
    for docker in repo.dockerfiles[:3]:
        if docker.final is not None:
            found.append(Known(f"Docker ({docker.final.image.text})", (docker.final.start.site(),)))
    for pattern, name in (
        ("serverless.y*ml", "Serverless Framework"), ("Procfile", "Procfile platform"), ("app.yaml", "App Engine"),
        ("fly.toml", "Fly.io"), ("render.yaml", "Render"), ("*.tf", "Terraform"), ("vercel.json", "Vercel"),
    ):  # fmt: skip
        hits = [f for f in repo.glob(pattern) if f.lines]
        if hits:
            found.append(Known(name, (hits[0].site(1),)))
    return join(found)


def _routes(repo: Repo) -> Known | None:
    return join(
        [Known(f"{'/'.join(r.methods)} {r.path or r.handler.qualname}".strip(), (r.site,)) for r in repo.routes]
    )


def _integration(repo: Repo) -> Known | None:
    found: list[Known] = []
    pages = next(iter(repo.calls("flask.render_template", "*.TemplateResponse", tests=False)), None)
    if pages is not None:
        found.append(Known("serves its own HTML pages", (pages.site(),)))
    cors = next(iter(repo.calls("flask_cors.CORS", "*.add_middleware", tests=False)), None)
    if cors is not None and ("CORS" in cors.name or "CORS" in cors.site().quote):
        found.append(Known("called from browsers (CORS)", (cors.site(),)))
    page = profile.interface(repo)
    if page is not None:
        found.append(Known("an interactive page for people", (page.site,)))
    ingress = next((o for o in repo.kubernetes if o.kind in ("Ingress", "VirtualService", "HTTPRoute")), None)
    if ingress is not None:
        found.append(Known(f"published through a Kubernetes {ingress.kind}", (ingress.site(),)))
    return join(found)


def _http_api(repo: Repo) -> Known | None:
    """An API without a client of its own: integration is by HTTP and nothing more is known."""
    route = next(iter(repo.routes), None)
    return Known("over HTTP only; no client, schema file or page in this repository", (route.site,)) if route else None


def rollback(repo: Repo) -> Known | None:
    for item in repo.kubernetes:
        if item.kind in ("Rollout", "Canary"):
            return Known(f"{item.kind} with automatic rollback", (item.site(),))
        strategy = item.node.get("spec", "strategy", "type")
        if item.kind == "Deployment" and strategy is not None and strategy.text == "RollingUpdate":
            return Known("Kubernetes rolling update (kubectl rollout undo)", (strategy.site(),))
    alias = next(
        iter(repo.calls("*.set_registered_model_alias", "*.transition_model_version_stage", tests=False)), None
    )
    return Known("model registry alias", (alias.site(),)) if alias is not None else None


def variants(repo: Repo) -> Known | None:
    for item in repo.kubernetes:
        for path, node in item.node.walk():
            if path.endswith(("canaryTrafficPercent", "canary-weight", "traffic")) or "canary" in path:
                return Known("traffic split between versions", (node.site(),))
    return from_uses(catalogue.found(repo, "flags"))


def _latency(repo: Repo) -> Known | None:
    found = [Known(f"load test with {use.name}", (use.site,)) for use in catalogue.found(repo, "load")]
    histogram = next(iter(repo.calls("prometheus_client.Histogram", "prometheus_client.Summary", tests=False)), None)
    if histogram is not None:
        found.append(Known("observed in a Prometheus histogram", (histogram.site(),)))
    instrumented = [u for u in catalogue.found(repo, "metrics") if "instrumentator" in u.name or "exporter" in u.name]
    found.extend(Known(f"observed by the {use.name}", (use.site,)) for use in instrumented)
    return join(found)


def _throughput(repo: Repo) -> Known | None:
    return join([Known(f"load test with {use.name}", (use.site,)) for use in catalogue.found(repo, "load")])


def _resources(repo: Repo) -> Known | None:
    found: list[Known] = []
    for item in repo.kubernetes:
        for container in item.containers:
            limits = container.node.get("resources", "limits") or container.node.get("resources", "requests")
            if limits is not None:
                text = ", ".join(f"{key} {node.text}" for key, node in limits.entries.items())
                found.append(Known(f"{container.name}: {text}", (limits.site(),)))
    for service in repo.compose:
        limits = service.node.get("deploy", "resources", "limits") or service.node.get("mem_limit")
        if limits is not None:
            found.append(Known(f"{service.name}: limits set", (limits.site(),)))
    return join(found, limit=3)


def _stored_metrics(repo: Repo) -> Known | None:
    stored = [f for f in repo.glob(*_METRIC_FILES) if f.lines]
    return join([Known(f"kept in {f.path}", (f.site(1),)) for f in stored], limit=3)


def _computed_metrics(repo: Repo) -> Known | None:
    found: dict[str, Site] = {}
    for call in repo.calls(*_METRIC_CALLS, tests=False):
        if "()" not in call.name or call.name.endswith(".evaluate"):
            found.setdefault(call.name.rpartition(".")[2], call.site())
    if not found:
        return None
    names = ", ".join(list(found)[:4])
    return Known(f"computed ({names}); no value is kept in the repository", tuple(found.values()))


def _hand_written_metric(repo: Repo) -> Known | None:
    pattern = re.compile(r"\b(accuracy|val_acc|test_acc|recall|precision|f1|rmse|auc)\b\s*[=+]", re.I)
    closure = repo.closure("train", "evaluate")
    for module in sorted(closure.modules, key=lambda m: m.path):
        for number, line in enumerate(module.source.lines, 1):
            if pattern.search(line) and not line.lstrip().startswith("#"):
                return Known("computed by the code itself; no value is kept in the repository", (module.site(number),))
    return None


def _held_out_by_hand(repo: Repo) -> Known | None:
    """A part for validation that training code makes without a library's splitter."""
    part = r"val(id(ation)?)?|dev"
    kind = r"data_?loader|loader|data_?set|set|data|dl|ds|iter"
    pattern = re.compile(rf"\b(({part})_?({kind})|({kind})_?({part}))s?\b\s*(,|=|in\b|\))", re.I)
    for module in sorted(repo.closure("train").modules, key=lambda m: m.path):
        for number, line in enumerate(module.source.lines, 1):
            if pattern.search(line) and not line.lstrip().startswith("#"):
                return Known("a part held out by the code itself", (module.site(number),))
    return None


def _environment(repo: Repo) -> Known | None:
    found: list[Known] = []
    managed = [u for u in catalogue.found(repo, "pipeline") if u.name in ("SageMaker", "Azure ML")]
    found.extend(Known(use.name, (use.site,)) for use in managed)
    conda = [f for f in repo.dependencies.conda_files if f.lines]
    found.extend(Known(f"conda ({f.path})", (f.site(1),)) for f in conda[:1])
    gpu = next(iter(repo.closure("train").calls("*.cuda", "torch.device", "*.to")), None)
    if gpu is not None and re.search("cuda|device", gpu.site().quote):
        found.append(
            Known("GPU where there is one" if "is_available" in gpu.module.file.text else "GPU", (gpu.site(),))
        )
    pinned = [f for f in repo.dependencies.requirements_files if f.lines]
    found.extend(Known(f"pip ({f.path})", (f.site(1),)) for f in pinned[:1])
    return join(found)


def _automation(repo: Repo) -> Known | None:
    uses = catalogue.found(repo, "pipeline")
    found = [Known(use.name, (use.site,)) for use in uses]
    for file in repo.glob("Makefile", "justfile", "Taskfile.y*ml"):
        hits = file.find(r"^\s+.*\b(python|dvc|mlflow|papermill)\b.*\b\w*(train|data|prepare|pipeline|process)")
        if hits:
            found.append(Known(f"{file.name} target, started by hand", (file.site(hits[0][0]),)))
    return join(found)


def scheduled(repo: Repo) -> Known | None:
    for workflow in repo.workflows:
        schedule = workflow.triggers.get("schedule")
        if schedule is not None and any(
            re.search("train|retrain|dvc repro|pipeline", s.script) for s in workflow.steps
        ):
            return Known(f"scheduled in CI ({workflow.file.path})", (schedule.site(),))
    return _automation(repo)


def _validation_method(repo: Repo) -> Known | None:
    found: dict[str, Site] = {}
    for call in repo.calls(
        "sklearn.model_selection.*", "*.train_test_split", "torch.utils.data.random_split", "*.randomSplit", tests=False
    ):
        name = call.name.rpartition(".")[2]
        if "()" not in call.name or name in ("train_test_split", "randomSplit"):
            found.setdefault(name, call.site())
    return join([Known(name, (site,)) for name, site in found.items()], limit=4)


def _ci(repo: Repo) -> Known | None:
    return join(
        [Known(f"{_CI_NAMES.get(w.system, w.system)} ({w.file.path})", (w.site(),)) for w in repo.workflows], limit=3
    )


def _tested_in_ci(repo: Repo) -> Known | None:
    for workflow in repo.workflows:
        for step in workflow.steps:
            if re.search(r"\bpytest\b|\btox\b|\bnox\b|make test|unittest", step.script):
                return Known("tests run in CI", (step.site(),))
    return None


def _registry(repo: Repo) -> Known | None:
    found: dict[str, Site] = {}
    for call in repo.calls(*_REGISTRY, tests=False):
        if call.name.startswith(("mlflow", "bentoml")) or call.name.endswith(("register_model", "push_to_hub")):
            found.setdefault(call.name.removeprefix("?."), call.site())
    for call in repo.calls("mlflow.*.log_model", "mlflow.*.save_model", tests=False):
        if call.keyword("registered_model_name") is not None:
            found.setdefault("MLflow Model Registry", call.site())
    return join([Known(name, (site,)) for name, site in found.items()], limit=3)


def _dvc_models(repo: Repo) -> Known | None:
    tracked = [f for f in repo.glob("*.dvc") if any(s in f.name for s in profile.MODEL_SUFFIXES)]
    return join([Known(f"DVC ({f.path})", (f.site(1),)) for f in tracked], limit=3)


def drift(repo: Repo) -> Known | None:
    uses = [u for u in catalogue.found(repo, "drift") if not u.site.path.endswith(".ipynb")]
    if uses:
        return from_uses(uses)
    call = next(iter(repo.calls(*_DRIFT_CALLS, tests=False)), None)
    return Known(call.name.rpartition(".")[2], (call.site(),)) if call is not None else None


def data_quality(repo: Repo) -> Known | None:
    uses = catalogue.found(repo, "validation")
    if uses:
        return from_uses(uses)
    served = repo.closure("serve")
    for module in sorted(served.modules, key=lambda m: m.path):
        for name, node in module.classes.items():
            if any(module.resolve(base) in ("pydantic.BaseModel", "marshmallow.Schema") for base in node.bases):
                return Known(f"requests are validated by {name}", (module.site(node),))
    return None


def _health(repo: Repo) -> Known | None:
    found: list[Known] = []
    for item in repo.kubernetes:
        for container in item.containers:
            found.extend(Known(f"{probe.kind} of {container.name}", (probe.site(),)) for probe in container.probes[:1])
    for docker in repo.dockerfiles:
        if docker.final is not None:
            found.extend(Known("Docker HEALTHCHECK", (i.site(),)) for i in docker.final.of("HEALTHCHECK"))
    for route in repo.routes:
        if re.search(r"health|ready|live|ping|heartbeat|status", route.path or "", re.I):
            found.append(Known(f"route {route.path}", (route.site,)))
    return join(found, limit=4)


def quality_metric(repo: Repo) -> Known | None:
    """Quality watched in production: a drift tool's performance report, or a metric of it in the serving path."""
    for use in catalogue.found(repo, "drift"):
        if use.name in ("NannyML", "Evidently") and not use.site.path.endswith(".ipynb"):
            return Known(use.name, (use.site,))
    return None


def _feedback(repo: Repo) -> Known | None:
    for route in repo.routes:
        if re.search(r"feedback|label|ground.?truth|correct", route.path or "", re.I):
            return Known(f"labels come back through {route.path}", (route.site,))
    return None


_FIELDS: dict[str, Field] = {
    "Model Type": _first(
        lambda repo: join(profile.model_types(repo)),
        text="no model of a known kind",
        need=model_site,
        looked=("estimators, losses and metrics of the known frameworks",),
    ),
    "Deployment Pattern": _first(
        lambda repo: join(profile.deployment_patterns(repo)),
        text="not deployed: trained only",
        need=training_site,
        looked=("registered routes", "serverless handlers", "interfaces", "batch prediction scripts"),
    ),
    "Infrastructure": _first(
        _infrastructure,
        text="none described",
        need=model_site,
        looked=("Dockerfile*", "Kubernetes manifests", "docker-compose*", "serverless.yml", "Procfile", "*.tf"),
    ),
    "Serving Framework": _first(
        profile.serving_framework, text="none", need=training_site, looked=catalogue.names("serving")
    ),
    "Latency": _first(
        _latency,
        text="no requirement stated and nothing measured",
        need=serving_site,
        looked=(*catalogue.names("load"), "prometheus_client.Histogram"),
    ),
    "Throughput": _first(
        _throughput,
        text="no requirement stated and nothing measured",
        need=serving_site,
        looked=catalogue.names("load"),
    ),
    "Resource Usage": _first(
        _resources,
        text="no limits set and nothing measured",
        need=model_site,
        looked=("resources.limits and requests in manifests", "deploy.resources in compose files"),
    ),
    "Accuracy": _first(
        _stored_metrics,
        _computed_metrics,
        _hand_written_metric,
        text="not computed",
        need=model_site,
        looked=(*_METRIC_FILES, *_METRIC_CALLS),
    ),
    "Training Environment": _first(
        _environment,
        text="not described",
        need=training_site,
        looked=("conda files", "requirements files", "Dockerfile", "managed training services"),
    ),
    "Model Registry": _first(_registry, _dvc_models, text="none", need=model_site, looked=(*_REGISTRY, "*.dvc")),
    "Feature Store": _uses("features", "none", training_site),
    "Monitoring Stack": _uses("metrics", "none", serving_site),
    "API Endpoints": _first(
        _routes, text="none", need=training_site, looked=("registered routes of the known frameworks",)
    ),
    "Data Sources": _first(
        lambda repo: join(profile.data_sources(repo), limit=4),
        text="no read of data was found",
        need=training_site,
        looked=("read_*, load_dataset, torchvision.datasets and database connections",),
    ),
    "Application Integration": _first(
        _integration, _http_api, text="none", need=training_site, looked=("routes", "pages", "CORS", "Ingress")
    ),
    "Feedback Loops": _first(
        _feedback, text="none: outcomes never come back", need=serving_site, looked=("routes for feedback or labels",)
    ),
    "CI/CD Pipeline": _first(
        _ci,
        text="none",
        need=model_site,
        looked=(
            ".github/workflows/*",
            ".gitlab-ci.yml",
            "azure-pipelines*.yml",
            ".circleci/*",
            "Jenkinsfile",
            ".travis.yml",
        ),
    ),
    "Experiment Tracking": _uses("tracking", "none", training_site),
    "A/B Testing": _first(
        variants, text="none", need=serving_site, looked=("canary or traffic in manifests", *catalogue.names("flags"))
    ),
    "Rollback Strategy": _first(
        rollback,
        text="none: there is no earlier version to go back to",
        need=serving_site,
        looked=("Rollout, Canary, RollingUpdate in manifests", "model registry aliases"),
    ),
    "Model Drift": _first(
        drift, text="not watched", need=serving_site, looked=(*catalogue.names("drift"), *_DRIFT_CALLS)
    ),
    "Performance Degradation": _first(
        quality_metric, text="not watched", need=serving_site, looked=("performance reports of drift tools",)
    ),
    "Infrastructure Health": _first(
        _health,
        text="not watched",
        need=serving_site,
        looked=("readiness, liveness and startup probes", "HEALTHCHECK", "health routes"),
    ),
    "Data Quality": _first(
        data_quality,
        text="inputs are not validated",
        need=lambda repo: serving_site(repo) or training_site(repo),
        looked=(*catalogue.names("validation"), "pydantic and marshmallow models on the serving path"),
    ),
    "Data Prep / Tool/Framework": _uses("data", "none", training_site),
    "Data Prep / Automation": _first(
        _automation, text="by hand", need=training_site, looked=catalogue.names("pipeline")
    ),
    "Data Prep / Monitoring": _uses("validation", "none: data is not checked before training", training_site),
    "Training / Tool/Framework": _uses("framework", "none", training_site),
    "Training / Automation": _first(
        scheduled, text="by hand", need=training_site, looked=(*catalogue.names("pipeline"), "schedules in CI")
    ),
    "Training / Monitoring": _uses("tracking", "none: runs are not recorded", training_site),
    "Validation / Tool/Framework": _first(
        _validation_method,
        _computed_metrics,
        _hand_written_metric,
        _held_out_by_hand,
        text="none: no hold-out and no metric",
        need=training_site,
        looked=("sklearn.model_selection.*", "random_split", *_METRIC_CALLS),
    ),
    "Validation / Automation": _first(
        _tested_in_ci, text="by hand", need=training_site, looked=("pytest, tox, nox, make test in CI steps",)
    ),
    "Validation / Monitoring": _first(
        _stored_metrics, text="none: no metric is kept to compare with", need=training_site, looked=_METRIC_FILES
    ),
}
