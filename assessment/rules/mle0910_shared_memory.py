"""M9-10: loader workers in a container with 64 MB of shared memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_SHARED = re.compile(
    r"shm[-_]size|--ipc[= ]host|ipc:\s*[\"']?(host|shareable)|medium:\s*[\"']?Memory|/dev/shm|sharing_strategy"
)


@rule(
    id="MLE0910",
    name="shared-memory",
    step=9,
    severity=LOW,
    title="Loader workers run in a container without more shared memory",
    why="Workers hand batches over in /dev/shm, which is 64 MB in a container: training dies with a bus error.",
    remedy="Set shm_size (compose), --shm-size (docker run), or an emptyDir of medium Memory (Kubernetes).",
    source="PyTorch documentation: multiprocessing; PyTorch README on Docker",
    applies=lambda repo: bool(_workers(repo)) and bool(_runs_containers(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    texts = [*repo.glob("*.yml", "*.yaml", "*.sh", "*.md", "Makefile", "justfile"), *(m.file for m in repo.modules)]
    if any(_SHARED.search(file.text) for file in texts if file.size < 300_000):
        return
    patterns = ["shm_size", "--shm-size", "--ipc=host", "medium: Memory"]
    yield Hit([repo.missing(_workers(repo)[0].site(), patterns, _runs_containers(repo))], anchor="shm")


def _workers(repo: Repo) -> list[Call]:
    """Torch loaders with worker processes, outside notebooks."""
    found = []
    for call in repo.calls("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader", tests=False):
        workers = call.module.literal(call.keyword("num_workers"))
        if isinstance(workers, int) and workers > 0 and not call.module.is_notebook:
            found.append(call)
    return found


def _runs_containers(repo: Repo) -> list[str]:
    """Files that say how a container of this repository is run."""
    built = [service.file.path for service in repo.compose if service.build_context is not None]
    pods = [item.file.path for item in repo.kubernetes if item.containers]
    return sorted({*built, *pods}) if repo.dockerfiles else []
