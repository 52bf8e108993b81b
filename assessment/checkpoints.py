"""Whether trainings save what they have learned, can go on from there, and whether anything uses the model."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from ml_engineer.assessment.callgraph import Closure
from ml_engineer.assessment.entrypoints import Entry
from ml_engineer.assessment.learning import LOADERS, SAVERS, entry_closure, is_reinforcement, train_entries
from ml_engineer.assessment.loops import outermost_loop
from ml_engineer.assessment.module import Call, Module

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

SHORT_TORCH = 3  # epochs up to which a run by hand is short
SHORT_KERAS = 19
_SAVING_WORD = re.compile(
    r"save|checkpoint|ckpt|dump|export|persist|serialize|log_model|upload|store_model|register", re.I
)
_RESUME = re.compile(
    r"resume|load_checkpoint|ckpt_path|initial_epoch|restore|load_state_dict|load_weights|warm_start", re.I
)


def long_trainings(repo: Repo) -> list[tuple[Entry, Closure]]:
    """Training entries that run many epochs, with what they reach. Trainers that save by themselves are left out."""
    found: list[tuple[Entry, Closure]] | None = repo.__dict__.get("_long_trainings")
    if found is None:
        entries = [(entry, entry_closure(repo, entry)) for entry in train_entries(repo)]
        found = [(e, c) for e, c in entries if _is_long(c) and not is_reinforcement(repo, c.modules)]
        repo.__dict__["_long_trainings"] = found
    return found


def _is_long(closure: Closure) -> bool:
    for call in closure.calls("*.backward", "*.fit", "*.fit_generator"):
        module = call.module
        if call.name.endswith("backward"):
            outer = outermost_loop(module, call.node)
            turns = _turns(module, outer) if outer is not None else None
            if turns is None or turns > SHORT_TORCH:
                return True
        elif call.keyword("epochs") is not None or call.keyword("nb_epoch") is not None:
            epochs = module.literal(call.keyword("epochs") or call.keyword("nb_epoch"))
            if isinstance(epochs, int) and epochs > SHORT_KERAS:
                return True
    return False


def _turns(module: Module, loop: ast.AST) -> int | None:
    """How often a `for _ in range(n)` runs, where n is written down."""
    match loop:
        case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=[*_, last])):
            value = module.literal(last)
            return value if isinstance(value, int) else None
    return None


def first_save(closure: Closure) -> Call | None:
    return next(closure.calls(*SAVERS), None)


def saves(closure: Closure) -> bool:
    """Whether a model is saved: a known call, or a function of the repository that is named after it."""
    if first_save(closure) is not None:
        return True
    return any(
        _SAVING_WORD.search(call.name.rpartition(".")[2])
        and not call.name.startswith(("matplotlib", "numpy", "PIL", "cv2"))
        for module in closure.modules
        for call in module.calls
        if closure.covers(module, call.node)
    )


def resumes(closure: Closure) -> bool:
    """Whether a saved state is loaded, or an option says so."""
    from ml_engineer.assessment.learning import words

    return next(closure.calls(*LOADERS), None) is not None or any(
        _RESUME.search(word) for module in closure.modules for word in words(module)
    )


def uses_a_model(repo: Repo) -> bool:
    """Whether the service of the repository loads a model or predicts with one."""
    return next(repo.closure("serve").calls(*LOADERS, "*.predict", "*.predict_proba"), None) is not None
