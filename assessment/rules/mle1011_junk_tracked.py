"""M10-11: what tools leave behind is tracked by git."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_JUNK = re.compile(
    r"(^|/)(\.ipynb_checkpoints|__pycache__|mlruns|catboost_info|lightning_logs|\.pytest_cache|\.mypy_cache|"
    r"\.ruff_cache|[\w.-]+\.egg-info|\.DS_Store|Thumbs\.db)(/|$)|(^|/)wandb/(run-|latest-run|debug)|"
    r"(^|/)events\.out\.tfevents|(^|/)nohup\.out$|\.pyc$|(^|/)logs?/.*\.log$|(^|/)[\w.-]+\.log$",
    re.I,
)


@rule(
    id="MLE1011",
    name="junk-tracked",
    step=10,
    severity=LOW,
    title="Files that tools leave behind are tracked",
    why="They hide real changes, and may carry data or paths of one machine.",
    remedy="Remove them from git and name them in .gitignore.",
    source="observed in public repositories",
)
def check(repo: Repo) -> Iterator[Hit]:
    found: dict[str, list[str]] = {}
    for file in repo.files.values():
        match = _JUNK.search(file.path)
        if match and file.tracked is not False and not file.roles & {"vendored", "template", "test"}:
            found.setdefault(match[0].strip("/").split("/")[0], []).append(file.path)
    if found:
        sites = [
            Site(p, 1, 1, "", 0 if p.endswith(".ipynb") else None, p) for paths in found.values() for p in paths[:5]
        ]
        names = ", ".join(sorted(found)[:3])
        yield Hit(sites, title=f"Files that tools leave behind are tracked ({names})", anchor="junk")
