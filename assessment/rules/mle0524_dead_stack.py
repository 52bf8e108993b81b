"""M5-24: serving stacks that are no longer maintained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo


@dataclass(frozen=True, slots=True)
class _Stack:
    """How an unmaintained stack shows, what became of it, and what to take instead."""

    packages: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    text: str = ""  # in Dockerfiles, scripts, CI and manifests
    fate: str = ""
    instead: str = ""


_STACKS = {
    "TorchServe": _Stack(
        ("ts",), (), r"\btorch-?serve\b|torch-model-archiver|pytorch/torchserve", "archived in August 2025",
        "Triton, LitServe, BentoML or a FastAPI service",
    ),
    "the SavedModel builder of TensorFlow 1": _Stack(
        (), ("*.saved_model.builder.SavedModelBuilder", "*.saved_model.simple_save",
             "*.estimator.export.build_raw_serving_input_receiver_fn", "*.export_savedmodel"), "",
        "gone with TensorFlow 1", "tf.saved_model.save or model.export of TensorFlow 2",
    ),
    "Seldon Core 1": _Stack(
        ("seldon_core",), (), r"machinelearning\.seldon\.io/v1(alpha\d)?\b|seldonio/|seldon-core-microservice",
        "out of support, its successor under another licence", "KServe, or Seldon Core 2",
    ),
    "MLEM": _Stack(("mlem",), (), r"\bmlem\s+(init|deploy|serve|build)\b", "archived", "MLflow, BentoML or DVC"),
    "Cortex": _Stack((), (), r"\bcortex\s+(deploy|cluster)\b", "archived", "KServe or Ray Serve"),
    "Azure ML SDK 1": _Stack(
        ("azureml",), (), r"\baz\s+ml\s+(service|computetarget|folder)\b",
        "deprecated, support ended in June 2026",
        "azure-ai-ml, the SDK 2",
    ),
    "AI Platform of Google Cloud": _Stack(
        (), (), r"\bgcloud\s+(beta\s+)?(ai-platform|ml-engine)\b", "switched off in favour of Vertex AI", "Vertex AI",
    ),
    "Clipper": _Stack(("clipper_admin",), (), "", "archived", "Ray Serve or BentoML"),
    "the multi-model server": _Stack(
        (), (), r"\bmulti-model-server\b", "archived", "a container of one's own, or Triton",
    ),
    "nvidia-docker 1": _Stack((), (), r"\bnvidia-docker\s+run\b", "replaced", "docker run --gpus all"),
}  # fmt: skip


@rule(
    id="MLE0524",
    name="dead-stack",
    step=5,
    severity=MEDIUM,
    title="The deployment rests on software that nobody maintains",
    why="No security fixes, no support for new versions of Python or the framework: every upgrade gets harder.",
    remedy="Plan the move to a maintained server while the old one still works.",
    source="the projects' own notices",
    applies=lambda repo: bool(repo.modules or repo.dockerfiles),
)
def check(repo: Repo) -> Iterator[Hit]:
    scripts = _scripts(repo)
    for name, stack in _STACKS.items():
        sites = [*_imported(repo, stack), *(c.site() for c in _called(repo, stack))]
        sites.extend(_written(repo, stack, scripts))
        if sites:
            yield Hit(
                list(dict.fromkeys(sites)),
                title=f"The deployment uses {name}: {stack.fate}",
                remedy=f"Plan the move to {stack.instead}, while the old one still works.",
                anchor=name,
            )


def _called(repo: Repo, stack: _Stack) -> Iterator[Call]:
    return repo.calls(*stack.calls, tests=False) if stack.calls else iter(())


def _imported(repo: Repo, stack: _Stack) -> Iterator[Site]:
    for package in stack.packages:
        for module, line in repo.imported.get(package, []):
            names = [item.target for item in repo.facts[module.path].imports if item.line == line]
            if package == "azureml" and not any(name.startswith(("azureml.core", "azureml.train")) for name in names):
                continue
            if package == "ts" and not any(name.startswith("ts.torch_handler") for name in names):
                continue
            yield module.site(line)


def _scripts(repo: Repo) -> list[tuple[Site, str]]:
    """Lines that build or run something: CI, Dockerfiles, shell scripts, tasks."""
    found = [
        (command.site, " ".join(command.words))
        for command in repo.commands
        if command.origin != "readme" and command.program not in ("echo", "printf")
    ]
    for docker in repo.dockerfiles:
        found.extend((stage.start.site(), stage.image.text) for stage in docker.stages)
    found.extend((c.image.site(), c.image.text) for o in repo.kubernetes for c in o.containers if c.image is not None)
    for item in repo.kubernetes:
        version = item.node.get("apiVersion")
        if version is not None:
            found.append((version.site(), version.text))
    return found


def _written(repo: Repo, stack: _Stack, scripts: list[tuple[Site, str]]) -> Iterator[Site]:
    pattern = re.compile(stack.text) if stack.text else None
    for site, text in scripts:
        if pattern is not None and pattern.search(text) and "test" not in repo.files[site.path].roles:
            yield site
