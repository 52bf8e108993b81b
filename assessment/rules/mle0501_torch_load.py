"""M5-01: torch.load that unpickles, by its argument or by the torch that the repository asks for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

SAFE_SINCE = "2.6"  # weights_only is True from here on unless it is set


@rule(
    id="MLE0501",
    name="torch-load",
    step=5,
    severity=HIGH,
    title="torch.load unpickles the file",
    why="A checkpoint is a pickle: loading one that was tampered with runs its code.",
    remedy="Pass weights_only=True and load a state_dict, or ship the weights as safetensors; require torch 2.6.",
    source="bandit B614; PyTorch 2.6 release notes",
    peers=("devops-engineer",),
    applies=lambda repo: repo.uses("torch"),
)
def check(repo: Repo) -> Iterator[Hit]:
    explicit: list[Site] = []
    by_default: list[Site] = []
    unknown_version: list[Site] = []
    for call in repo.calls("torch.load", tests=False):
        weights_only = call.keyword("weights_only")
        if weights_only is not None:
            if call.module.literal(weights_only) is False and not _is_own(call):
                explicit.append(call.site())
        elif not call.has_unpacked_keywords:
            severity = _by_version(repo, call)
            if severity == HIGH:
                by_default.append(call.site())
            elif severity == MEDIUM:
                unknown_version.append(call.site())
    for sites in per_file(explicit):
        yield Hit(sites, title="torch.load unpickles the file (weights_only=False)", anchor=f"explicit {sites[0].path}")
    if by_default:  # one cause, the bound of torch: raising it mends every load
        title = f"torch.load unpickles the file: a torch before {SAFE_SINCE} may be installed"
        library = repo.dependencies.is_library  # it must admit old versions; what is installed afresh is the newest
        forced = any(repo.dependencies.may_be_at_least("torch", SAFE_SINCE, near=s.path) is False for s in by_default)
        severity = MEDIUM if library and not forced else HIGH
        yield Hit(by_default, severity=severity, title=title, anchor="default")
    if unknown_version:
        title = f"torch.load unpickles the file unless torch is {SAFE_SINCE} or later, which nothing asks for"
        yield Hit(unknown_version, severity=MEDIUM, title=title, anchor="unknown version")


def _is_own(call: Call) -> bool:
    """Whether the same function has just written the file: nobody else can have put anything into it."""
    source = call.argument(0, "f")
    saves = [c for c in call.module.calls if c.name == "torch.save" and c.scope is call.scope]
    texts = {ast.unparse(path) for c in saves if (path := c.argument(1, "f")) is not None}
    return source is not None and ast.unparse(source) in texts


def _by_version(repo: Repo, call: Call) -> str | None:
    """How bad the default is: by the declarations of torch that are closest to the file."""
    declared = [d for d in repo.dependencies.of("torch", near=call.module.path) if d.kind != "notebook"]
    older = repo.dependencies.may_be_below("torch", SAFE_SINCE, near=call.module.path)
    if not declared or not any(d.bounded for d in declared):
        return MEDIUM
    return HIGH if older else None
