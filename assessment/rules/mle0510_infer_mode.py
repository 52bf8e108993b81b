"""M5-10: a torch model answers in training mode, or with gradients."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import HIGH, LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


_DROPOUT = "torch.nn.functional.*dropout*"


def _answers_with_torch(repo: Repo) -> bool:
    from ml_engineer.assessment.torchmode import forwards

    return repo.uses("torch", "torchvision") and (bool(forwards(repo)) or bool(_unswitched(repo)))


def _unswitched(repo: Repo) -> list[Site]:
    """Dropout by a function in a network's `forward`, where nothing tells it the mode: its default is to drop."""
    return [
        call.site()
        for call in repo.calls(_DROPOUT, tests=False)
        if call.scope is not None
        and "(" not in call.name  # a method of what it gives
        and call.scope.node.name == "forward"
        and call.argument(2, "training") is None
        and not call.has_unpacked_keywords
        and not any(
            isinstance(n, ast.If) and "training" in ast.unparse(n.test) for n in call.module.ancestors(call.node)
        )
    ]


@rule(
    id="MLE0510",
    name="infer-mode",
    step=5,
    severity=HIGH,
    title="The model answers without eval()",
    why="Dropout stays random and batch normalisation uses the batch at hand: the same input gives other outputs.",
    remedy="Call model.eval() once after loading, and predict inside torch.inference_mode().",
    source="PyTorch documentation; Sonar S6982",
    applies=_answers_with_torch,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment import torchmode

    training: list[Site] = []
    harmless: list[Site] = []
    gradients: list[Site] = []
    for forward in torchmode.forwards(repo):
        if not torchmode.in_eval_mode(repo, forward):
            (training if torchmode.mode_matters(repo, forward) else harmless).append(forward.call.site())
        if not torchmode.without_gradient(repo, forward):
            gradients.append(forward.call.site())
    for sites in per_file(_unswitched(repo)):
        yield Hit(
            sites,
            title="Dropout stays on when the model answers",
            why="The function drops unless it is told not to, and eval() does not reach it: the same input gives other "
            "outputs, in validation too.",
            remedy="Pass `training=self.training`, or make it a layer (`nn.Dropout`).",
            anchor=f"dropout {sites[0].path}",
        )
    for sites in per_file(training):
        yield Hit(sites, anchor=f"eval {sites[0].path}")
    for sites in per_file(harmless):
        yield Hit(sites, severity=LOW, confidence="medium", anchor=f"eval {sites[0].path}")
    for sites in per_file(gradients):
        yield Hit(
            sites,
            severity=MEDIUM,
            title="The model answers while gradients are recorded",
            why="Each forward pass keeps the graph for a backward pass that never comes: more memory and time.",
            remedy="Predict inside `with torch.inference_mode():`.",
            anchor=f"gradients {sites[0].path}",
        )
