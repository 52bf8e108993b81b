"""M5-27: a service, and nothing that says how it is packaged and run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

DEFINITIONS = (
    "Procfile", "Procfile.*", "app.yaml", "app.yml", "app.json", "serverless.yml", "serverless.yaml", "serverless.ts",
    "template.yaml", "template.yml", "samconfig.toml", "fly.toml", "render.yaml", "railway.json", "railway.toml",
    "vercel.json", "now.json", "netlify.toml", "bentofile.yaml", "*.service", "manifest.yml", "cog.yaml",
    "host.json", "function.json", "zappa_settings.json", "apprunner.yaml", "captain-definition", "nixpacks.toml",
    "*.tf", "Pulumi.yaml", "cdk.json", "supervisord.conf", "*.nomad", "ecosystem.config.js", "uwsgi.ini", "wsgi.ini",
    ".ebextensions/*", ".elasticbeanstalk/*", "appspec.yml", "*.pyz", "MLproject", ".platform/**", "flake.nix",
    "project.toml", "score.py", "singularity*", "*.def", ".chalice/config.json", "conda-project.yml",
    ".project-metadata.yaml", "cdsw-build.sh",
)  # fmt: skip
_SPACE = re.compile(r"^sdk:\s*(gradio|streamlit|docker)\b", re.M)
_STACK = re.compile(r"\bAWS::(Serverless::Function|Lambda::Function|SageMaker::Endpoint|ECS::)")  # of CloudFormation
_PLATFORM = frozenset("modal chalice bentoml kserve seldon-core ray".split())


@rule(
    id="MLE0527",
    name="no-deployment",
    step=5,
    severity=MEDIUM,
    title="The service has no container, manifest or service definition",
    why="How it runs in production is in somebody's head: it can be neither rebuilt, nor moved, nor reviewed.",
    remedy="Add a Dockerfile that starts the service under a production server, and a manifest for where it runs.",
    source="Microsoft MLOps maturity level 3",
    applies=lambda repo: _service(repo) is not None,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.ci import deployments

    if repo.dockerfiles or repo.compose or repo.kubernetes or repo.glob(*DEFINITIONS):
        return
    if any(file.name.lower().startswith("dockerfile") for file in repo.files.values()):
        return
    if repo.uses("aws_cdk") or any(_STACK.search(file.text) for file in repo.glob("*.y*ml", "*.json")):
        return
    if any(_SPACE.search(file.text[:600]) for file in repo.glob("README.md")):
        return
    if any(True for workflow in repo.workflows for _ in deployments(repo, workflow)):
        return
    need = _service(repo)
    if need is not None:
        yield Hit([repo.missing(need, ["Dockerfile", "docker-compose.yml", "Procfile", "k8s manifests", "*.tf"])])


def _service(repo: Repo) -> Site | None:
    """The application object, else the first route, of what this repository serves."""
    from ml_engineer.assessment.serving import apps

    entries = [e for e in repo.entries if e.kind == "serve" and not e.module.is_notebook]
    if not entries or any(route.framework in _PLATFORM for route in repo.routes):
        return None
    own = [app for app in apps(repo) if not app.call.module.is_notebook]
    return own[0].site if own else entries[0].site
