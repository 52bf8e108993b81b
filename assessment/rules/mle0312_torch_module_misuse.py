"""M3-12: torch modules run by `.forward()`, and module classes that never call their base's `__init__`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import values
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.reachable import imports_any
from ml_engineer.assessment.rule import HIGH, LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo


_PACKAGES = ("torch", "pytorch_lightning", "lightning", "torchvision", "transformers")


def _uses_torch(repo: Repo) -> bool:
    return repo.uses(*_PACKAGES)


@rule(
    id="MLE0312",
    name="torch-module-misuse",
    step=3,
    severity=LOW,
    title="Model is run by `.forward()` instead of being called",
    why="Calling forward directly skips hooks, and with them profilers, quantisation, FSDP and other wrappers.",
    remedy="Call the module itself: `model(x)`.",
    source="smells paper; Sonar S6978",
    applies=_uses_torch,
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.modules:
        if "test" in module.file.roles or not _may_use(repo, module):
            continue
        direct = [
            call.site()
            for call in module.calls
            if call.name.endswith(".forward") and _is_direct(repo, module, call.node)
        ]
        if direct:
            yield Hit(direct, anchor=module.path)
        for name, node in module.classes.items():
            site = _uninitialised(repo, module, name, node)
            if site is not None:
                yield Hit(
                    [site],
                    severity=HIGH,
                    title=f"`{name}` is a torch module but never calls its base's `__init__`",
                    why="Assigning the first layer or parameter raises AttributeError before anything is trained.",
                    remedy="Call `super().__init__()` first in `__init__`.",
                )


def _may_use(repo: Repo, module: Module) -> bool:
    """Whether torch is imported, or a model of this repository may be, and `forward` or `Module` is written."""
    return imports_any(repo, module, *_PACKAGES) or b".forward(" in module.file.data


def _is_direct(repo: Repo, module: Module, node: ast.Call) -> bool:
    """Whether the receiver is surely an instance of a torch module."""
    if not isinstance(node.func, ast.Attribute) or ast.unparse(node.func.value).startswith("super("):
        return False
    owner = module.resolve(node.func.value)
    return owner.endswith("()") and values.is_torch_model(repo, owner)


def _uninitialised(repo: Repo, module: Module, name: str, node: ast.ClassDef) -> Site | None:
    """Its `__init__`, where that sets attributes but never runs the base's."""
    if not any(module.resolve(base) in ("torch.nn.Module", "torch.nn.modules.module.Module") for base in node.bases):
        return None
    function = module.functions.get(f"{name}.__init__")
    if function is None or len(node.bases) != 1 or not _sets_layers(module, function.node):
        return None
    for inner in walk(function.node):
        if isinstance(inner, ast.Attribute) and inner.attr == "__init__":
            return None
        if isinstance(inner, ast.Call) and ast.unparse(inner.func).endswith(("__init__", "super", "_setup")):
            return None
    return function.site()


def _sets_layers(module: Module, node: ast.AST) -> bool:
    """Whether a layer or parameter is assigned to `self`: what the base's missing set-up makes fail."""
    return any(
        isinstance(inner, ast.Assign)
        and any(
            isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name) and t.value.id == "self"
            for t in inner.targets
        )
        and module.resolve(inner.value).startswith("torch.nn.")
        for inner in walk(node)
    )
