"""What a network ends with: `logits`, `softmax`, `log_softmax` or `sigmoid`, followed into a module's forward.

self.fc = nn.Linear(8, 3);  forward: return F.softmax(self.fc(x), dim=1)        softmax
model = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid());  model(x).squeeze()       sigmoid
model(x) of an unknown model                                                    None
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Literal

from ml_engineer.assessment import callgraph
from ml_engineer.assessment.dataflow import reaching, returns, sources
from ml_engineer.assessment.module import Function, Module

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

Tail = Literal["logits", "softmax", "log_softmax", "sigmoid"]

_OPERATIONS: dict[str, Tail] = {
    "softmax": "softmax", "Softmax": "softmax", "log_softmax": "log_softmax", "LogSoftmax": "log_softmax",
    "sigmoid": "sigmoid", "Sigmoid": "sigmoid", "logsigmoid": "log_softmax", "LogSigmoid": "log_softmax",
}  # fmt: skip
_LINEAR = re.compile(r"torch\.nn\.(Linear|Conv\dd|Bilinear|LazyLinear|ConvTranspose\dd)\(\)")
_SAME_SHAPE = frozenset({
    "squeeze", "unsqueeze", "view", "reshape", "flatten", "to", "float", "double", "contiguous", "permute", "transpose",
    "cuda", "cpu", "clone", "requires_grad_", "type", "view_as", "reshape_as", "half",
})  # fmt: skip
_SAME_MODEL = re.compile(r"\.(to|cuda|cpu|train|eval|double|float|half|share_memory|apply|forward)\(\)|\.forward$")
_WRAPPED = ("torch.nn.DataParallel()", "torch.nn.parallel.DistributedDataParallel()", "torch.compile()")
MAX_DEPTH = 8


def tail(repo: Repo, module: Module, node: ast.expr, depth: int = 0) -> Tail | None:
    """The operation that the value of an expression certainly ends with; None where it cannot be known."""
    if depth > MAX_DEPTH:
        return None
    match node:
        case ast.Name():
            _, bindings = reaching(module, node)
            found = {
                tail(repo, module, b.value, depth + 1)
                if b.value is not None and not b.suffix and b.target is None
                else None
                for b in bindings
            }
            return found.pop() if len(found) == 1 else None
        case ast.Subscript():
            return tail(repo, module, node.value, depth + 1)
        case ast.Call():
            return _tail_of_call(repo, module, node, depth)
    return None


def _tail_of_call(repo: Repo, module: Module, node: ast.Call, depth: int) -> Tail | None:
    name = module.resolve(node.func)
    operation = _operation(name)
    if operation is not None:
        return operation
    if isinstance(node.func, ast.Attribute) and node.func.attr in _SAME_SHAPE:
        return tail(repo, module, node.func.value, depth + 1)
    if _LINEAR.fullmatch(name):
        return "logits"
    if name == "torch.nn.Sequential()":
        return _tail_of_sequential(repo, module, node.func)
    function = _forward(repo, module, node.func, name)
    if function is None:
        return None
    found = {tail(repo, function.module, value, depth + 1) for value in returns(function)}
    return found.pop() if len(found) == 1 else None


def _operation(name: str) -> Tail | None:
    """`torch.softmax`, `torch.nn.functional.softmax`, `x.softmax`, `nn.Softmax()` called."""
    called = name.removesuffix("()").rpartition(".")[2]
    owner = name.removesuffix("()").rpartition(".")[0]
    if called[:1].isupper() and not name.endswith("()"):
        return None
    return _OPERATIONS.get(called) if owner.startswith(("torch", "?")) or "()" in owner else None


def _tail_of_sequential(repo: Repo, module: Module, node: ast.expr) -> Tail | None:
    """By the last layer that the container is made with."""
    for step in sources(repo, module, node):
        if step.name == "torch.nn.Sequential" and isinstance(step.node, ast.Call):
            last = step.node.args[-1] if step.node.args else None
            if isinstance(last, ast.Call):
                name = step.module.resolve(last.func) + "()"
                return "logits" if _LINEAR.fullmatch(name) else _operation(name)
            return None
    return None


def _forward(repo: Repo, module: Module, node: ast.expr, name: str) -> Function | None:
    """The function that calling a model runs: forward of its class, or the local function itself."""
    plain = _SAME_MODEL.sub("", name)
    if plain.endswith("()") and plain.removesuffix("()") in repo.classes:
        return callgraph.method(repo, plain.removesuffix("()"), "forward")
    if name in repo.functions:
        return repo.functions[name]
    if "?" not in name and plain not in _WRAPPED:
        return None
    # A model that came through a parameter or a wrapper: any class of the repository that it is made of.
    made = {step.name for step in sources(repo, module, node) if step.name in repo.classes}
    models = [callgraph.method(repo, name, "forward") for name in sorted(made)]
    forwards = [function for function in models if function is not None]
    return forwards[0] if len(forwards) == 1 else None
