"""In which mode torch models answer: evaluation or training, with gradients or without.

`forwards(repo)` lists where a torch model answers outside of training: below a serving entry, or in a script that
loads weights and never goes backward. `in_eval_mode` and `without_gradient` judge such a call over all the code that
its entry reaches, helper functions included.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment import callgraph, values
from ml_engineer.assessment.callgraph import Closure
from ml_engineer.assessment.dataflow import sources
from ml_engineer.assessment.entrypoints import Entry
from ml_engineer.assessment.module import Call, Function, Module
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_LOADS = ("torch.load", "torch.jit.load", "*.load_state_dict", "*.load_from_checkpoint", "torch.hub.load")
_TRAINS = ("*.backward", "torch.optim.*", "*.fit", "*Trainer().train")
# Models that come in evaluation mode, or whose mode is part of the file.
_READY = re.compile(
    r"(.*\.from_pretrained|torch\.jit\.load|transformers\.(pipelines\.)?pipeline|ultralytics\.YOLO)\(\)"
)
_NO_GRADIENT = re.compile(r"torch\.(autograd\.(grad_mode\.)?)?(no_grad|inference_mode)(\(\))?$")
_SWITCHES = ("torch.set_grad_enabled", "torch.autograd.set_grad_enabled", "torch.autograd.grad_mode.set_grad_enabled")
_MODAL_LAYER = re.compile(r"dropout|batch_?norm|from_pretrained|torchvision|models\.|timm|\bTransformer|resnet", re.I)
_MAX_CALLERS = 4


@dataclass(frozen=True, eq=False, slots=True)
class Forward:
    """A call that makes a torch model answer, with all the code that its entry reaches."""

    call: Call
    closure: Closure
    serving: bool


def forwards(repo: Repo) -> list[Forward]:
    """Where torch models answer outside of training, serving entries first. Computed once for a repository."""
    known: list[Forward] | None = repo.__dict__.get("_forwards")
    if known is None:
        known = repo.__dict__["_forwards"] = _forwards(repo)
    return known


def answers_of_scripts(repo: Repo) -> list[Call]:
    """Calls by which scripts that load weights and train nothing make a torch model answer."""
    if not repo.uses("torch"):
        return []
    return [forward.call for forward in forwards(repo) if not forward.serving]


def _forwards(repo: Repo) -> list[Forward]:
    found: list[Forward] = []
    served = repo.closure("serve")
    done: set[ast.Call] = set()
    for module in repo.modules:
        if "test" in module.file.roles or module.is_notebook or not _mentions_torch(module):
            continue
        for call in module.calls:
            if served.covers(module, call.node) and _is_outer_forward(repo, call):
                found.append(Forward(call, served, serving=True))
                done.add(call.node)
    for module in repo.modules:
        if "test" in module.file.roles or not _is_inference_script(module):
            continue
        entry = Entry("predict", module, None, module.site(1))
        units = [Entry("predict", module, function, entry.site) for function in module.functions.values()]
        closure = callgraph.closure_of(repo, [entry, *units])
        for call in module.calls:
            if call.node not in done and _is_outer_forward(repo, call):
                found.append(Forward(call, closure, serving=False))
    return found


def _mentions_torch(module: Module) -> bool:
    return any(item.top in ("torch", "torchvision", "pytorch_lightning", "lightning") for item in module.imports) or (
        "model" in module.file.text.lower()
    )


def _is_inference_script(module: Module) -> bool:
    """Whether a module loads weights and trains nothing."""
    if module.is_notebook or "torch" not in module.file.text:
        return False
    names = module.call_names
    return any(matches(n, *_LOADS) for n in names) and not any(matches(n, *_TRAINS) for n in names)


def _is_outer_forward(repo: Repo, call: Call) -> bool:
    """A model's answer to the outside; what a module calls inside its own forward is no such call."""
    if not call.node.args and not call.node.keywords:
        return False
    scope = call.scope
    if scope is not None and scope.class_name:
        if values.is_torch_class(repo, f"{scope.module.dotted}.{scope.class_name}"):
            return False
    return not call.name.startswith("super()") and bool(values.model_behind(repo, call))


def in_eval_mode(repo: Repo, forward: Forward) -> bool:
    """Whether some code of the entry switches to evaluation, or the model needs no switching."""
    value = values.value_of(repo, values.model_behind(repo, forward.call))
    if _READY.match(value):
        return True
    for module in forward.closure.modules:
        for call in module.calls:
            if call.name.endswith(".eval") and not call.node.args:
                return True
            if call.name.endswith(".train") and call.node.args and module.literal(call.node.args[0]) is False:
                return True
    return False


def mode_matters(repo: Repo, forward: Forward) -> bool:
    """Whether the model has layers that act otherwise in training; unknown models are taken to have some."""
    value = values.value_of(repo, values.model_behind(repo, forward.call)).removesuffix("()")
    if value not in repo.classes:
        return True
    module, node = repo.classes[value]
    return bool(_MODAL_LAYER.search(ast.get_source_segment(module.file.text, node) or module.file.text))


def without_gradient(repo: Repo, forward: Forward) -> bool:
    """Whether the call stands under no_grad or inference_mode, in its own function or in every caller."""
    value = values.value_of(repo, values.model_behind(repo, forward.call))
    if re.match(r"transformers\.(pipelines\.)?pipeline|ultralytics\.", value):
        return True
    if value == "torch.hub.load()" and _is_of_ultralytics(repo, forward.call):
        return True
    for module in forward.closure.modules:
        if any(_freezes(call) for call in module.calls):
            return True
    return _covered(repo, forward.call, _MAX_CALLERS)


def _is_of_ultralytics(repo: Repo, call: Call) -> bool:
    """Whether a model of the hub is one that switches gradients off itself."""
    for step in sources(repo, call.module, call.node.func):
        if step.name == "torch.hub.load" and isinstance(step.node, ast.Call) and step.node.args:
            return str(step.module.literal(step.node.args[0])).startswith("ultralytics/")
    return False


def _freezes(call: Call) -> bool:
    """Whether a call switches gradients off for the whole program or for all of a model."""
    if call.name in _SWITCHES:
        return call.scope is None
    if call.name.endswith(".requires_grad_"):
        return bool(call.node.args) and call.module.literal(call.node.args[0]) is False
    return call.name.endswith(".freeze") and not call.node.args


def _covered(repo: Repo, call: Call, depth: int) -> bool:
    module = call.module
    for ancestor in module.ancestors(call.node):
        if isinstance(ancestor, ast.With | ast.AsyncWith):
            if any(_switches_off(module, item.context_expr) for item in ancestor.items):
                return True
        elif isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef):
            if any(_switches_off(module, decorator) for decorator in ancestor.decorator_list):
                return True
    if call.scope is None or depth == 0:
        return False
    if any(c.name in _SWITCHES and c.node.lineno < call.node.lineno for c in values.calls_of(module, call.scope)):
        return True
    callers = _callers(repo, call.scope)
    return bool(callers) and all(_covered(repo, caller, depth - 1) for caller in callers)


def _switches_off(module: Module, node: ast.expr) -> bool:
    name = module.resolve(node)
    if _NO_GRADIENT.match(name):
        return True
    if isinstance(node, ast.Call) and module.resolve(node.func) in _SWITCHES and node.args:
        return module.literal(node.args[0]) is False
    return False


def _callers(repo: Repo, function: Function) -> list[Call]:
    from ml_engineer.assessment.dataflow import callers

    return callers(repo, function)
