"""M5-03: code fetched from a model hub and run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import HIGH, LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_COMMIT = re.compile(r"[0-9a-f]{40}")


def _uses_hub(repo: Repo) -> bool:
    return repo.uses("transformers", "datasets", "torch", "diffusers", "sentence_transformers", "evaluate", "vllm")


@rule(
    id="MLE0503",
    name="remote-code",
    step=5,
    severity=HIGH,
    title="Code from a model hub is run without a pinned revision",
    why="Who controls the hub repository, now or later, runs code with the rights of this process.",
    remedy="Use a model that needs no remote code, or review it and pin it by commit.",
    source="Hugging Face security notes; torch.hub documentation",
    peers=("devops-engineer",),
    applies=_uses_hub,
)
def check(repo: Repo) -> Iterator[Hit]:
    trusting: list[Site] = []
    pinned: list[Site] = []
    hub: list[Site] = []
    for module in repo.modules:
        if "test" in module.file.roles or "docs" in module.file.roles:
            continue
        if "trust_remote_code" in module.file.text:
            for call in module.calls:
                if module.literal(call.keyword("trust_remote_code")) is True:
                    revision = module.literal(call.keyword("revision") or call.keyword("code_revision"))
                    is_commit = isinstance(revision, str) and _COMMIT.fullmatch(revision)
                    (pinned if is_commit else trusting).append(call.site())
            trusting += _in_dicts(module)
        hub += [call.site() for call in module.calls if call.name == "torch.hub.load" and _is_loose(call)]
    if trusting:
        yield Hit(trusting, title="trust_remote_code=True runs Python from the hub repository", anchor="trusting")
    if hub:  # one habit, however many networks are fetched so
        yield Hit(hub, title="torch.hub.load runs code of a repository without a tag or commit", anchor="torch.hub")
    for sites in per_file(pinned):
        yield Hit(sites, severity=LOW, title="trust_remote_code=True, pinned to a commit")


def _in_dicts(module: Module) -> list[Site]:
    """Options kept in a dict: {"trust_remote_code": True}."""
    found = []
    for node in module.nodes(ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            named = isinstance(key, ast.Constant) and key.value == "trust_remote_code"
            if named and isinstance(value, ast.Constant) and value.value is True:
                found.append(module.site(value))
    return found


def _is_loose(call: Call) -> bool:
    source = call.module.literal(call.keyword("source"))
    name = call.module.literal(call.argument(0, "repo_or_dir"))
    return source != "local" and isinstance(name, str) and "/" in name and ":" not in name and name[0] not in "./~"
