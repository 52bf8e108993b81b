"""M4-06: the loss expects something else than what the network gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.networks import Tail
    from ml_engineer.assessment.repo import Repo

# Loss -> what it must not be given, and why in words.
_TORCH = {
    "CrossEntropyLoss": ({"softmax", "sigmoid"}, "applies softmax itself, and the network already ends with {tail}"),
    "BCELoss": ({"logits"}, "expects probabilities, and the network ends with a linear layer"),
    "BCEWithLogitsLoss": ({"sigmoid", "softmax"}, "applies sigmoid itself, and the network already ends with {tail}"),
    "NLLLoss": ({"softmax", "logits", "sigmoid"}, "expects log-probabilities, and the network ends with {tail}"),
}
_FUNCTIONAL = {
    "cross_entropy": "CrossEntropyLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "nll_loss": "NLLLoss",
}
_LOSS_NAME = re.compile(r"crit|loss|objective", re.I)
_KERAS_LOSS = re.compile(r"(Sparse|Categorical|Binary|sparse_|categorical_|binary_)\w*crossentropy$", re.I)


@rule(
    id="MLE0406",
    name="loss-mismatch",
    step=4,
    severity=HIGH,
    title="The loss does not fit what the network gives",
    why="Nothing fails: gradients are just small or wrong, the training converges slowly or to something poor.",
    remedy="Give the loss what it expects: logits (from_logits=True in Keras), with softmax only in inference.",
    source="Sonar S7616; PyTorch and Keras documentation of the losses",
    applies=lambda repo: repo.uses("torch", "tensorflow", "keras"),
)
def check(repo: Repo) -> Iterator[Hit]:
    yield from _torch(repo)
    for call in repo.calls("*.compile", tests=False):
        problem = _keras_problem(call)
        if problem is not None:
            text, layer = problem
            yield Hit([call.site(), layer], title=text)


def _torch(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.networks import tail

    found: dict[tuple[str, str, Tail], list[Site]] = {}
    for module in repo.modules:
        if "test" in module.file.roles or not any(item.top == "torch" for item in module.imports):
            continue
        for call in module.calls:
            loss, made = _loss_of(repo, call)
            if loss is None or not call.node.args:
                continue
            ending = tail(repo, module, call.node.args[0])
            if ending is not None and ending in _TORCH[loss][0]:
                found.setdefault((module.path, loss, ending), []).extend([*made, call.site()])
    for (_, loss, ending), sites in found.items():
        words = _TORCH[loss][1].format(tail="logits" if ending == "logits" else ending)
        yield Hit(sites, title=f"{loss} {words}")


def _loss_of(repo: Repo, call: Call) -> tuple[str | None, list[Site]]:
    """Which loss a call computes, through a name, an attribute or a parameter, and where that is made."""
    from ml_engineer.assessment.dataflow import sources

    last = call.name.rpartition(".")[2]
    if call.name.startswith("torch.nn.functional."):
        return _FUNCTIONAL.get(last), []
    known = call.name.startswith("torch.nn.") and last.removesuffix("()") in _TORCH and last.endswith("()")
    if not known:
        if "?" not in call.name or len(call.node.args) < 2 or not _LOSS_NAME.search(ast.unparse(call.node.func)):
            return None, []
    found: dict[str, Site] = {}
    for step in sources(repo, call.module, call.node.func):
        name = step.name.rpartition(".")[2]
        if name in _TORCH and step.name.startswith("torch.nn."):
            found.setdefault(name, step.module.site(step.node))
    if len(found) != 1:
        return None, []
    ((name, site),) = found.items()
    return name, [site]


# --- Keras ------------------------------------------------------------------------------------------------------------


def _keras_problem(call: Call) -> tuple[str, Site] | None:
    from ml_engineer.assessment.learning import receiver

    loss = _keras_loss(call)
    last = _last_layer(call.module, receiver(call), call.node.lineno)
    if loss is None or last is None:
        return None
    name, from_logits = loss
    module = call.module
    kind = module.resolve(last.func).rpartition(".")[2]
    keywords = {k.arg: module.literal(k.value) for k in last.keywords}
    units = module.literal(last.args[0]) if last.args else keywords.get("units")
    activation = keywords.get("activation")
    if kind != "Dense" or not (activation is None or isinstance(activation, str)):
        return None
    if any(k.arg == "activation" for k in last.keywords) and activation is None:
        return None  # given, but by something that cannot be read
    site = module.site(last, note="the last layer")
    if units == 1 and activation == "softmax":
        return "Softmax over a single unit is always 1", site
    if units == 1 and activation == "sigmoid" and name.startswith("categorical"):
        return "Categorical cross-entropy on a single unit is always 0", site
    if from_logits and activation in ("softmax", "sigmoid"):
        return f"The loss expects logits, and the network already ends with {activation}", site
    if not from_logits and activation in (None, "linear"):
        return "The loss expects probabilities, and the network ends with a linear layer", site
    return None


def _keras_loss(call: Call) -> tuple[str, bool] | None:
    """The cross-entropy that a model is compiled with, and whether it is told to expect logits."""
    node = call.module.value(call.argument(1, "loss"))
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _KERAS_LOSS.match(node.value):
        return node.value, False
    if isinstance(node, ast.Call) and _KERAS_LOSS.search(call.module.resolve(node.func)):
        given = next((k.value for k in node.keywords if k.arg == "from_logits"), node.args[0] if node.args else None)
        name = call.module.resolve(node.func).rpartition(".")[2]
        plain = "categorical" if name.startswith("Categorical") else name.lower()
        return plain, call.module.literal(given) is True
    return None


def _last_layer(module: Module, model: ast.expr | None, line: int) -> ast.Call | None:
    """The last layer of a Sequential model: the last `add` before the line, or the last item it is made with."""
    if not isinstance(model, ast.Name):
        return None
    made = module.value(model)
    if not (isinstance(made, ast.Call) and module.resolve(made.func).endswith("Sequential")):
        return None
    added = [
        other.node.args[0]
        for other in module.calls
        if isinstance(other.node.func, ast.Attribute)
        and other.node.func.attr == "add"
        and isinstance(other.node.func.value, ast.Name)
        and other.node.func.value.id == model.id
        and other.node.args
        and made.lineno < other.node.lineno < line
        and other.scope is module.scope_of(model)
    ]
    layers = made.args[0] if made.args else None
    last = added[-1] if added else layers.elts[-1] if isinstance(layers, ast.List) and layers.elts else None
    return last if isinstance(last, ast.Call) else None
