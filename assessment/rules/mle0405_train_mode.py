"""M4-05, first part: the model is put into evaluation mode in the epoch loop, and stays there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.entrypoints import is_training_call
from ml_engineer.assessment.rule import HIGH, LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Function, Module
    from ml_engineer.assessment.repo import Repo

# Networks that are not trained here.
_FROZEN = re.compile(
    r"teacher|vgg|frozen|ema|target|ref(erence)?_|perceptual|lpips|loss|extractor|discriminator|sampler|inception_v3",
    re.I,
)
_LOADS = ("torch.load", "jit.load", ".load_from_checkpoint", ".from_pretrained")


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.loops import torch_loops

    return bool(torch_loops(repo))


@rule(
    id="MLE0405",
    name="train-mode-lost",
    step=4,
    severity=HIGH,
    title="The model stays in evaluation mode after the first validation",
    why="From the second epoch on dropout is off and batch statistics are frozen: the rest of training is another.",
    remedy="Call model.train() at the start of every epoch, before the training batches.",
    source="Zhang et al., code smells for ML (2022); Sonar S6982",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.loops import (
        called_from,
        has_mode_layers,
        mode_calls,
        outermost_loop,
        region,
        torch_loops,
    )

    reported = set()
    for loop in torch_loops(repo):
        if not is_training_call(loop.backward):  # the pass explains a model
            continue
        places = [(loop.module, outermost_loop(loop.module, loop.backward.node))]
        places += [(call.module, outermost_loop(call.module, call.node)) for call in called_from(repo, loop.scope)]
        for module, epochs in places:
            if epochs is None or epochs in reported:
                continue
            reported.add(epochs)
            evals, trains = mode_calls(region(repo, module, epochs, depth=3))
            evals = [(where, node) for where, node in evals if not _FROZEN.search(ast.unparse(node.func))]
            evals = [(where, node) for where, node in evals if not _is_own_copy(where, node, loop.scope)]
            if evals and not trains:
                where, node = evals[0]
                severity = HIGH if has_mode_layers(repo) else LOW
                yield Hit([where.site(node), loop.backward.site("trained here in the next epoch")], severity=severity)


def _is_own_copy(module: Module, call: ast.Call, trains: Function | None) -> bool:
    """Whether a function of its own loads the model that it puts into evaluation mode: not the one being trained."""
    scope, owner = module.scope_of(call), call.func.value if isinstance(call.func, ast.Attribute) else None
    if scope is None or scope is trains or not isinstance(owner, ast.Name):
        return False
    first = next(iter(module.bindings_of(owner.id, scope)), None)
    made = first.value if first is not None else None
    return isinstance(made, ast.Call) and module.resolve(made.func).endswith(_LOADS)
