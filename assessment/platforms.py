"""Platforms that call functions of the repository by name, and the packages that they bring with them.

    called(repo)      (framework, function, place) for each function that a platform's own file names
    brought(repo)     distributions that nobody declares, because the platform's image or cluster holds them

Lambda (CloudFormation, SAM, Serverless, CDK, Terraform, images), Google's functions, Connexion, Azure's and
Cloudera's workspaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.once import once

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.module import Function
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rule import Site

CLOUDERA = "cloudera"
AZURE_ML = "azure-ml"
# Files that describe what Amazon runs: a template, whatever its name.
_AMAZON = re.compile(rb"AWS::(Lambda|Serverless)::Function|\baws_lambda|aws-lambda|aws_lambda_function|serverless")
_TAKES_EVENT = re.compile(rb"def \w+\(\s*_?(event|evt)\b")
_LAMBDA_HANDLER = re.compile(r"\b[Hh]andler[\"']?\s*[:=]\s*[\"']?(?P<module>[\w./-]+)\.(?P<function>\w+)[\"']?")
_IMAGE_HANDLER = re.compile(r"^\s*(CMD|ENTRYPOINT)\s*\[\s*[\"'](?P<module>[\w./-]+)\.(?P<function>\w+)[\"']\s*\]")
_ENTRY_POINT = re.compile(r"--(?:entry-point|target)[=\s\"',-]+(?P<function>\w+)")
_DEPLOYED = re.compile(r"\bfunctions\s+deploy\s+(?P<function>[A-Za-z_]\w*)(?![\w-])(?![^\n]*--entry-point)")
_OPERATION = re.compile(r"^\s*[\"']?operationId[\"']?\s*:\s*[\"']?(?P<module>[\w./]+)\.(?P<function>\w+)")
_TARGET_FILE = re.compile(r"\b(?:target_?file_?path|file_path)[\"']?\s*[:=]\s*[\"']?(?P<path>[\w./ -]+\.py)", re.I)
_TARGET_FUNCTION = re.compile(r"\b(?:target_?function_?name|function_name)[\"']?\s*[:=]\s*[\"']?(?P<name>\w+)", re.I)
_SCORING = re.compile(r"\b(?:scoring_script|entry_?[sS]cript)[\\\"']*\s*[:=]\s*[\\\"']*(?P<path>[\w./-]+\.py)")
_NEAR = 6  # lines between the path of a model's file and the name of its function

_CLOUDERA_MARKS = (".project-metadata.yaml", "cdsw-build.sh")
_CLOUDERA_BRINGS = frozenset(
    "pyspark ipython requests simplejson numpy pandas pandas-datareader py4j matplotlib seaborn cython six".split()
)
_CLUSTER = re.compile(rb"\bspark-submit\b|\bgcloud dataproc\b|\bawsglue\b|Databricks notebook source|\bdbutils\.")


def called(repo: Repo) -> Iterator[tuple[str, Function, Site]]:
    """Functions that answer requests because a file of a platform names them, with the place that does."""
    yield from _lambda(repo)
    yield from _google(repo)
    yield from _connexion(repo)
    yield from _azure_ml(repo)
    if is_cloudera(repo):
        yield from _cloudera(repo)


def is_cloudera(repo: Repo) -> bool:
    """Whether the repository is a project of Cloudera's workbench."""
    return bool(repo.glob(*_CLOUDERA_MARKS)) or repo.uses("cdsw", "cmlapi", "cmlbootstrap")


@once
def brought(repo: Repo) -> frozenset[str]:
    """Distributions that the platform brings which the repository is made for."""
    found: set[str] = set(_CLOUDERA_BRINGS) if is_cloudera(repo) else set()
    if repo.uses("pyspark") and any(_CLUSTER.search(file.data) for file in _launchers(repo)):
        found.add("pyspark")
    if any(route.framework == "lambda" for route in repo.routes):
        found |= {"boto3", "botocore"}
    return frozenset(found)


def _launchers(repo: Repo) -> list[File]:
    return repo.glob("*.sh", "*.md", "Makefile", "Dockerfile*", "*.y*ml", "*.py")


def _lambda(repo: Repo) -> Iterator[tuple[str, Function, Site]]:
    if not any(_TAKES_EVENT.search(module.file.data) for module in repo.modules):
        return
    for file in repo.glob("*.y*ml", "*.json", "*.template", "*.tf", "cdk/**", "*stack*", "infra*/**", "serverless.ts"):
        if file.size < 300_000 and b"andler" in file.data and _AMAZON.search(file.data):
            yield from _of_module(repo, file, _LAMBDA_HANDLER)
    for file in repo.glob("Dockerfile*", "*.dockerfile"):
        if re.search(rb"(?i)lambda", file.data):
            yield from _of_module(repo, file, _IMAGE_HANDLER)


def _of_module(repo: Repo, file: File, named: re.Pattern[str]) -> Iterator[tuple[str, Function, Site]]:
    """Functions that lines of a file name as `module.function`, and that take an event and its context."""
    for line, match in file.find(named):
        for function in _functions(repo, match["function"], re.split(r"[./]", match["module"])[-1]):
            if len(function.parameters) == 2:
                yield "lambda", function, file.site(line)


def _google(repo: Repo) -> Iterator[tuple[str, Function, Site]]:
    if not any(module.file.name == "main.py" and b"request" in module.file.data for module in repo.modules):
        return
    for file in repo.glob("*.sh", "*.md", "Makefile", "*.y*ml", "Dockerfile*", "Procfile"):
        if b"functions" not in file.data or file.size > 300_000:
            continue
        for pattern in (_ENTRY_POINT, _DEPLOYED):
            for line, match in file.find(pattern):
                for function in _functions(repo, match["function"], "main"):
                    if len(function.parameters) == 1:
                        yield "cloud-function", function, file.site(line)


def _connexion(repo: Repo) -> Iterator[tuple[str, Function, Site]]:
    if not repo.uses("connexion"):
        return
    for file in repo.glob("*.y*ml", "*.json"):
        if b"operationId" in file.data:
            for line, match in file.find(_OPERATION):
                for function in _functions(repo, match["function"], re.split(r"[./]", match["module"])[-1]):
                    yield "connexion", function, file.site(line)


def _azure_ml(repo: Repo) -> Iterator[tuple[str, Function, Site]]:
    """`run` of the scripts that a deployment of Azure's workspace names, and that load their model in `init`."""
    scripts = [m for m in repo.modules if b"def init()" in m.file.data and {"init", "run"} <= m.functions.keys()]
    if not scripts:
        return
    for file in repo.glob("*.y*ml", "*.py", "*.ipynb", "*.json", "*.sh"):
        if b"cript" in file.data and file.size < 300_000:
            for line, match in file.find(_SCORING):
                for module in scripts:
                    if module.file.name == match["path"].rpartition("/")[2]:
                        yield AZURE_ML, module.functions["run"], file.site(line)


def _cloudera(repo: Repo) -> Iterator[tuple[str, Function, Site]]:
    for file in repo.glob(".project-metadata.yaml", "*.py"):
        if b"unction" not in file.data:
            continue
        names = list(file.find(_TARGET_FUNCTION))
        for line, match in file.find(_TARGET_FILE) if names else ():
            near = min(names, key=lambda found: abs(found[0] - line))
            if abs(near[0] - line) > _NEAR:
                continue
            module = repo.by_path.get(match["path"].strip().removeprefix("./"))
            function = module.functions.get(near[1]["name"]) if module is not None else None
            if function is not None:
                yield CLOUDERA, function, file.site(line)


def _functions(repo: Repo, name: str, stem: str) -> Iterator[Function]:
    """Top-level functions of that name in modules whose file has that name, test files left out."""
    for module in repo.modules:
        if module.file.name == f"{stem}.py" and "test" not in module.file.roles:
            function = module.functions.get(name)
            if function is not None:
                yield function
