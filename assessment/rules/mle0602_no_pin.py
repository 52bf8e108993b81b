"""M6-02: training on CUDA from pageable memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_LOADERS = ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader")
_ON_CUDA = re.compile(r"\.cuda\(|[\"']cuda(:\d+)?[\"']|torch\.cuda\.")


def _trains_on_cuda(repo: Repo) -> bool:
    closure = repo.closure("train")
    if next(closure.calls(*_LOADERS), None) is None:
        return False
    return any(_ON_CUDA.search(module.file.text) for module in closure.modules)


@rule(
    id="MLE0602",
    name="no-pin",
    step=6,
    severity=LOW,
    title="Batches are copied to the GPU from pageable memory",
    why="Each copy goes through a staging buffer and cannot overlap with the computation.",
    remedy="Pass pin_memory=True to the loaders and non_blocking=True to the copies.",
    source="PyTorch performance guide",
    applies=_trains_on_cuda,
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    for call in repo.closure("train").calls(*_LOADERS):
        given = call.argument(7, "pin_memory")
        off = given is None and not call.has_unpacked_keywords
        if "test" not in call.module.file.roles and (off or call.module.literal(given) is False):
            sites.append(call.site())
    if sites:
        yield Hit(sites, anchor="pin_memory")
