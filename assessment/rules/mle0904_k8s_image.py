"""M9-04: manifests name images that move."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.kubernetes import Container
    from ml_engineer.assessment.repo import Repo

_PLACEHOLDER = re.compile(r"UNKNOWN|[$<>{}%]|__\w+__|\b(IMAGE|TAG|VERSION|REPLACE\w*|PLACEHOLDER)\b")
_DEVELOPMENT = re.compile(r"(^|/)(dev|development|local|minikube|kind|sandbox)(/|[._-])", re.I)


@rule(
    id="MLE0904",
    name="k8s-image",
    step=9,
    severity=MEDIUM,
    title="A manifest names an image that moves",
    why="Two pods of one deployment can run different code, and a rollback brings back nothing.",
    remedy="Name the image by digest, or at least by a tag that is never reused, and let the pipeline write it.",
    source="kube-linter latest-tag; Kubernetes images documentation",
    applies=lambda repo: any(c.image is not None for o in repo.kubernetes for c in o.containers),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.docker import parse_image

    overridden = _kustomized(repo)
    mutable: list[Site] = []
    for item in repo.kubernetes:
        if _DEVELOPMENT.search(item.file.path):
            continue
        for container in item.containers:
            if container.image is None or not container.image.text or _PLACEHOLDER.search(container.image.text):
                continue
            image = parse_image(container.image.text.rstrip(":"))
            if image.name in overridden or image.digest:
                continue
            if image.tag in ("", "latest"):
                yield Hit(
                    _sites(container),
                    title=f"{item.kind} {item.name} runs {image.name} "
                    + ("by latest" if image.tag else "without a tag"),
                )
            else:
                mutable.extend(_sites(container)[:1])
    if mutable:
        yield Hit(
            list(dict.fromkeys(mutable)),
            severity=LOW,
            title="Manifests name images by tag, without a digest",
            why="A tag can be pushed again: what runs is not certain to be what was tested.",
            anchor="digest",
        )


def _sites(container: Container) -> list[Site]:
    image = container.image
    return list(dict.fromkeys([container.image_site, *([image.site()] if image is not None else [])]))


def _kustomized(repo: Repo) -> set[str]:
    """Images whose tag or digest a kustomization sets."""
    found = set()
    for file in repo.glob("kustomization.yaml", "kustomization.yml"):
        for document in repo.yaml(file).documents:
            listed = document.get("images")
            for item in listed.items if listed is not None else []:
                name = item.get("name")
                if name is not None and (item.get("newTag") or item.get("digest")):
                    found.add(name.text)
    return found
