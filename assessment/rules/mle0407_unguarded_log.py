"""M4-07: a logarithm of a probability that may be zero, in a loss."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_LOGS = (
    "torch.log", "torch.log2", "torch.log10", "tensorflow.math.log", "tensorflow.log", "*keras.backend.log",
    "jax.numpy.log", "keras.ops.log",
)  # fmt: skip
_LOSS = re.compile(r"loss|nll|entropy|likelihood|kl_?div|objective|elbo", re.I)
# Something that keeps the argument above zero, or is positive by its nature.
_GUARD = re.compile(
    r"eps|clamp|clip|1e-|\bexp\b|\.exp|softplus|maximum|\bmax\(|finfo|tiny|\babs|\+ ?1\b|1 ?\+|count|freq|len\(|size|"
    r"var|std|sigma|det|sum\(|smooth|logsumexp|mask|where",
    re.I,
)
_SQUASHED = re.compile(r"softmax|sigmoid")


@rule(
    id="MLE0407",
    name="unguarded-log",
    step=4,
    severity=MEDIUM,
    title="Logarithm of a value that can be zero, in a loss",
    why="One confident wrong prediction makes the loss infinite, and NaN spreads through all weights from there.",
    remedy="Use log_softmax, logsigmoid or a loss on logits; otherwise clamp the argument above a small number.",
    source="Zhang et al., code smells for ML (2022)",
    applies=lambda repo: repo.uses("torch", "tensorflow", "keras", "jax"),
)
def check(repo: Repo) -> Iterator[Hit]:
    by_file: dict[str, list[Site]] = {}
    for call in repo.calls(*_LOGS, tests=False):
        if call.node.args and _is_open(call):
            by_file.setdefault(call.module.path, []).append(call.site())
    for sites in by_file.values():
        yield Hit(sites)


def _is_open(call: Call) -> bool:
    """Whether the argument can be zero as far as its own function shows."""
    argument = call.node.args[0]
    text = _written(call, argument)
    if _GUARD.search(text):
        return False
    if _SQUASHED.search(text):
        return True
    if call.scope is None or not _LOSS.search(call.scope.qualname):
        return False
    parameters = {p.arg for p in call.scope.parameters} - {"self"}
    return any(isinstance(n, ast.Name) and n.id in parameters for n in walk(ast.parse(text, mode="eval")))


def _written(call: Call, node: ast.expr, depth: int = 4) -> str:
    """The expression with names of the same function replaced by what they are bound to."""
    text = ast.unparse(node)
    if depth == 0:
        return text
    for name in [n for n in walk(node) if isinstance(n, ast.Name)]:
        bound = call.module.binding(name)
        if bound is not None and bound.value is not None and not bound.suffix and call.scope is not None:
            if call.module.scope_of(bound.value) is call.scope and bound.value is not node:
                inner = f"({_written(call, bound.value, depth - 1)})"
                text = inner.join(re.split(rf"\b{re.escape(name.id)}\b", text))
    return text
