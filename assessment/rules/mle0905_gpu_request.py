"""M9-05: an image built for GPUs runs where no GPU is asked for, or the reverse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.compose import Service
    from ml_engineer.assessment.docker import Dockerfile
    from ml_engineer.assessment.kubernetes import Object
    from ml_engineer.assessment.repo import Repo

_CUDA_IMAGE = re.compile(r"cuda|(^|[-/:.])gpu($|[-.])|nvcr\.io/nvidia", re.I)
_CPU_ONLY = re.compile(r"whl/cpu\b|torch[=~><\d.]*\+cpu|tensorflow-cpu|onnxruntime(?!-gpu)\b.*--no-gpu")
_GPU_KEY = re.compile(
    r"^(nvidia\.com/(gpu|mig-.*)|amd\.com/gpu|gpu\.intel\.com/.*|aliyun\.com/gpu.*|habana\.ai/gaudi)$"
)


@rule(
    id="MLE0905",
    name="gpu-request",
    step=9,
    severity=MEDIUM,
    title="The image is built for a GPU and the workload asks for none",
    why="Without the request the pod sees no GPU: the model falls back to the CPU or stops at the first CUDA call.",
    remedy="Ask for `nvidia.com/gpu: 1` in the limits, or ship a smaller CPU image if the CPU is fast enough.",
    source="Kubernetes documentation: schedule GPUs",
    applies=lambda repo: bool(_images(repo)) and bool(repo.kubernetes or repo.compose),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.kubernetes import own_containers

    images = _images(repo)
    workloads = [item for item in repo.kubernetes if own_containers(item)]
    if images and all(_CUDA_IMAGE.search(d.final.image.text) for d in images if d.final) and _uses_gpu(repo):
        if workloads and not any(_asks(item) for item in repo.kubernetes):
            sites = [own_containers(item)[0].site() for item in workloads]
            yield Hit([*sites, *_froms(images)], confidence="medium" if len(workloads) > 1 else "high", anchor="k8s")
    if images and workloads and all(_cpu_only(docker) for docker in images):
        asked = [site for item in workloads for site in _asks(item)]
        if asked:
            yield Hit(
                [*asked, *_froms(images)],
                title="The workload asks for a GPU and the image can only use the CPU",
                why="A GPU is paid for and held back from others while it does nothing.",
                remedy="Take the request out, or install the CUDA build of the framework.",
                anchor="cpu image",
            )
    yield from _compose(repo)


def _images(repo: Repo) -> list[Dockerfile]:
    return [d for d in repo.dockerfiles if d.final is not None and "test" not in d.file.roles]


def _froms(images: list[Dockerfile]) -> list[Site]:
    return [docker.final.start.site() for docker in images if docker.final is not None]


def _uses_gpu(repo: Repo) -> bool:
    """Whether the code, or the framework that it imports, would use a GPU."""
    return repo.uses("torch", "tensorflow", "jax", "cupy", "cudf", "vllm", "transformers", "onnxruntime", "paddle")


def _asks(item: Object) -> list[Site]:
    found = [
        node.site()
        for container in item.containers
        for key in ("limits", "requests")
        if (listed := container.node.get("resources", key)) is not None
        for name, node in listed.entries.items()
        if _GPU_KEY.match(name) and node.text not in ("0", "")
    ]
    if found or item.pod is None:
        return found
    if item.templated and any(c.unknown or c.node.get("resources") is not None for c in item.containers):
        return [item.site()]  # the values may ask for one
    runtime = item.pod.get("runtimeClassName")
    return [runtime.site()] if runtime is not None and "nvidia" in runtime.text else []


def _cpu_only(docker: Dockerfile) -> bool:
    if docker.final is None or _CUDA_IMAGE.search(docker.final.image.text):
        return False
    return any(_CPU_ONLY.search(instruction.script) for instruction in docker.instructions)


def _compose(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.listening import dockerfile_of

    for service in repo.compose:
        docker = dockerfile_of(repo, service)
        if docker is None or docker.final is None or not _CUDA_IMAGE.search(docker.final.image.text):
            continue
        if not _reserves(service) and _uses_gpu(repo):
            yield Hit([service.site(), docker.final.start.site()], title=f"Compose service {service.name} gets no GPU")


def _reserves(service: Service) -> bool:
    node = service.node
    if node.get("gpus") is not None or node.get("devices") is not None:
        return True
    runtime = node.get("runtime")
    return node.get("deploy", "resources", "reservations", "devices") is not None or (
        runtime is not None and runtime.text == "nvidia"
    )
