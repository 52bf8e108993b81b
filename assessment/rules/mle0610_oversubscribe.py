"""M6-10: several workers, each with as many threads as there are cores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_WORKERS = re.compile(
    r"(?:gunicorn|uvicorn|hypercorn)\b.*?(?:-w|--workers)[\"', =]+(\d+)|^\s*workers\s*=\s*(\d+)|"
    r"WEB_CONCURRENCY[=: \"']+(\d+)"
)
_CAPS = re.compile(r"(OMP|MKL|OPENBLAS)_NUM_THREADS|set_num_threads|threadpool_limits|intra_op_num")
_STARTS = ("Dockerfile*", "Procfile", "*.sh", "*compose*.y*ml", "gunicorn*.py", "supervisord.conf", "Makefile")
_THREADED = ("torch", "sklearn", "xgboost", "lightgbm", "onnxruntime", "tensorflow", "numpy", "catboost")


@rule(
    id="MLE0610",
    name="oversubscribe",
    step=6,
    severity=LOW,
    title="Workers and numeric threads fight for the same cores",
    why="Each worker starts a thread for every core: under load they switch more than they compute.",
    remedy="Set OMP_NUM_THREADS (or torch.set_num_threads) to cores divided by workers.",
    source="PyTorch and scikit-learn documentation on parallelism",
    peers=("aiops-specialist",),
    applies=lambda repo: bool(repo.routes) and repo.uses(*_THREADED),
)
def check(repo: Repo) -> Iterator[Hit]:
    starts = repo.glob(*_STARTS)
    modules = [module.file for module in repo.closure("serve").modules]
    if any(_CAPS.search(file.text) for file in [*starts, *modules, *repo.glob("*.y*ml", ".env*")]):
        return
    sites: list[Site] = []
    for file in starts:
        for line, match in file.find(_WORKERS):
            count = next(group for group in match.groups() if group)
            if count.lstrip("0") not in ("", "1") and not file.lines[line - 1].lstrip().startswith("#"):
                sites.append(file.site(line))
    for call in repo.closure("serve").calls("*"):
        if call.module.literal(call.keyword("n_jobs")) == -1:
            sites.append(call.site())
    if sites:
        yield Hit(sites, anchor="threads")
