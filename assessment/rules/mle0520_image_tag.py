"""M5-20: base images that move, are past their end, or carry a build kit; nightly packages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Dockerfile, Stage
    from ml_engineer.assessment.repo import Repo

RECENT_DAYS = 180  # shortly after its end a release is a task for the next weeks, not yet a hole
_DEVEL = re.compile(r"(^|-)devel(-|$)")
_COMPILES = re.compile(
    r"nvcc|TORCH_CUDA_ARCH_LIST|flash[-_]attn|apex|deepspeed|setup\.py|cmake|\bmake\b|ninja|xformers|cupy|pycuda|"
    r"detectron2|mmcv|build-essential|--no-build-isolation|CUDA_HOME",
    re.I,
)
_NIGHTLY = re.compile(r"whl/nightly|\b(tf|torch|tensorflow)-nightly\b|pip3?[^&|;]*\binstall\b[^&|;]*\s--pre\b")


@rule(
    id="MLE0520",
    name="image-base",
    step=5,
    severity=MEDIUM,
    title="The base image is not fixed",
    why="The next build takes whatever the tag names by then: it can break or change results without any commit.",
    remedy="Name a supported, slim release and pin it by digest; build with a devel image and copy into a runtime one.",
    source="hadolint DL3006, DL3007; end-of-life dates of the projects",
    applies=lambda repo: any(_subject(docker) for docker in repo.dockerfiles),
)
def check(repo: Repo) -> Iterator[Hit]:
    for docker in repo.dockerfiles:
        if _subject(docker):
            yield from _base_image(docker)
            yield from _nightly(docker)


def _subject(docker: Dockerfile) -> bool:
    return docker.final is not None and "test" not in docker.file.roles


def _base_image(docker: Dockerfile) -> Iterator[Hit]:
    from ml_engineer.assessment.endoflife import ended

    assert docker.final is not None, "asked by _subject"
    stage = _outermost(docker.final)
    image, site = stage.image, stage.start.site()
    if not image.known or image.text == "scratch":
        return
    past = ended(image)
    if past is not None:
        yield Hit(
            [site],
            severity=HIGH if past.days > RECENT_DAYS else MEDIUM,
            title=f"The base image is past its end: {past.what} got its last fixes on {past.since}",
            why="Known holes in it stay open, and its package archives and wheels disappear one by one.",
            remedy="Move to a release that still gets fixes, and rebuild and test the image on it.",
            anchor=f"{past.what} {past.since}",  # several images upon one release are one decision
        )
    elif not image.digest and image.tag in ("", "latest"):
        how = "has no tag" if not image.tag else "is tagged latest"
        yield Hit([site], title=f"The base image {image.name} {how}")
    if _DEVEL.search(image.tag) and not any(_COMPILES.search(i.script) for i in docker.final.inherited("RUN", "ENV")):
        yield Hit(
            [site],
            title="The shipped image is a CUDA development image",
            why="Compilers and headers that nothing here uses add gigabytes to every pull and more to attack.",
            remedy="Take the runtime variant of the same tag; compile in a builder stage if anything must be compiled.",
            anchor=f"{docker.path}\0devel",
        )


def _nightly(docker: Dockerfile) -> Iterator[Hit]:
    sites: list[Site] = []
    for stage in docker.stages:
        for run in stage.of("RUN"):
            sites.extend(run.file.site(number) for number, line in run.lines if _NIGHTLY.search(line))
    if sites:
        yield Hit(
            sites,
            title="The image installs nightly or pre-release packages",
            why="A nightly build is another one tomorrow and is deleted after some weeks: the image cannot be rebuilt.",
            remedy="Install a released version, pinned.",
            anchor=f"{docker.path}\0nightly",
        )


def _outermost(stage: Stage) -> Stage:
    while stage.parent is not None:
        stage = stage.parent
    return stage
