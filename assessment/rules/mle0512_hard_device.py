"""M5-12: a program needs a GPU whether there is one or not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_GUARD = re.compile(r"cuda|gpu|device|available|distributed|local_rank|world_size|\bddp\b", re.I)
_CUDA = re.compile(r"cuda(:\d+)?")
_EVALUATES = re.compile(r"test|eval|valid|bench", re.I)


@rule(
    id="MLE0512",
    name="hard-device",
    step=5,
    severity=MEDIUM,
    title="The program needs a GPU",
    why="On a host without CUDA, or with fewer devices than the training machine, loading fails at start-up.",
    remedy="Take the device from the configuration, with the CPU as fallback, and pass map_location to torch.load.",
    source="observed in public services; PyTorch documentation",
    applies=lambda repo: repo.uses("torch") and bool(repo.entries),
)
def check(repo: Repo) -> Iterator[Hit]:
    closure = repo.closure("serve", "predict", "train", "evaluate")
    served = repo.closure("serve")
    hard: list[Site] = []
    unmapped: list[Site] = []
    answering = {call.module for call in repo.calls("torch.load", tests=False)}
    for module in sorted(closure.modules | answering, key=lambda m: m.path):
        if "test" in module.file.roles or module.is_notebook:
            continue
        for call in module.calls:
            site = _device_site(repo, call) if closure.covers(module, call.node) else None
            if site is not None:
                hard.append(site)
            if _is_unmapped(call) and (served.covers(module, call.node) or _only_predicts(repo, call)):
                unmapped.append(call.site())
    for sites in per_file(dict.fromkeys(hard)):
        yield Hit(sites, title="The device is fixed to CUDA")
    for sites in per_file(unmapped):
        yield Hit(sites, title="torch.load has no map_location where the model answers", anchor=f"map {sites[0].path}")


def _only_predicts(repo: Repo, call: Call) -> bool:
    """Whether a load stands in a program that answers with a finished model, and in none that trains or evaluates."""
    from ml_engineer.assessment.torchmode import forwards

    if repo.closure("train", "evaluate").covers(call.module, call.node) or _EVALUATES.search(call.module.file.name):
        return False
    return repo.closure("predict").covers(call.module, call.node) or any(
        forward.call.module is call.module for forward in forwards(repo)
    )


def _is_unmapped(call: Call) -> bool:
    """Whether a load leaves the tensors on the device that they were saved from, on a host that may lack it."""
    if call.name != "torch.load" or call.argument(1, "map_location") is not None or call.has_unpacked_keywords:
        return False
    branches = (node for node in call.module.ancestors(call.node) if isinstance(node, ast.If | ast.IfExp))
    return not any("cuda" in ast.unparse(branch.test) for branch in branches)


def _device_site(repo: Repo, call: Call) -> Site | None:
    """Where the literal stands that puts a value on CUDA without asking whether there is one."""
    module = call.module
    if _is_guarded(module, call.node) or module.enclosing(call.node, ast.arguments) is not None:
        return None  # the default of a parameter: the caller decides
    if call.name.endswith(".cuda") and not call.name.startswith("torch.cuda") and not call.node.args:
        return call.site() if isinstance(call.node.func, ast.Attribute) else None
    given = [call.keyword("device"), call.keyword("map_location")]
    if call.name.endswith(".to") or call.name == "torch.device":
        given.append(call.argument(0, "device"))
    for node in given:
        found = _literal_site(repo, module, node)
        if found is not None:
            return found
    return None


def _literal_site(repo: Repo, module: Module, node: ast.expr | None) -> Site | None:
    from ml_engineer.assessment.values import definition

    if node is None:
        return None
    found = definition(repo, module, node)
    if found is None:
        return None
    where, value = found
    if isinstance(value, ast.Call) and where.resolve(value.func) == "torch.device" and value.args:
        value = value.args[0]
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str) and _CUDA.fullmatch(value.value)):
        return None
    if where.enclosing(value, ast.arguments) is not None:
        return None
    if "exec" in where.call_names:  # settings that a configuration file or the command line may still replace
        return None
    if _is_guarded(where, value) or any(len(where.bindings_of(name, None)) > 1 for name in _targets(where, value)):
        return None
    return where.site(where.statement_of(value))


def _targets(module: Module, value: ast.expr) -> list[str]:
    """Names that a statement binds: where one is bound twice, the other value may be the CPU."""
    statement = module.statement_of(value)
    return [t.id for t in statement.targets if isinstance(t, ast.Name)] if isinstance(statement, ast.Assign) else []


def _is_guarded(module: Module, node: ast.AST) -> bool:
    for ancestor in module.ancestors(node):
        if isinstance(ancestor, ast.If | ast.IfExp) and _GUARD.search(ast.unparse(ancestor.test)):
            return True
        if isinstance(ancestor, ast.Try):
            return True
    return False
