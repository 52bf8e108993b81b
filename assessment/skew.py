"""What is done to the data between its source and the model, in training and in an inference entry point.

    for pair in pairs(repo):            a training and an inference entry that share an artefact
        prepared(repo, pair.training)   steps before the fit, by kind: {"numpy.log1p": Step, "rescale": Step, …}

Kinds of steps: element-wise functions of NumPy, fitted transformers, pixel values divided by 255, and what the used
torchvision pipelines do besides augmenting.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_engineer.assessment import values
from ml_engineer.assessment.callgraph import Closure
from ml_engineer.assessment.dataflow import Step, sources
from ml_engineer.assessment.entrypoints import Entry, is_training_call
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.learning import entry_closure, fit_data, train_entries
from ml_engineer.assessment.module import Call, Module
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_ARTEFACT = re.compile(
    r"[\w.-]+\.(pkl|pickle|joblib|sav|dill|pth?|ckpt|bin|h5|hdf5|keras|onnx|pb|tflite|safetensors|model|cbm|ubj|pk)$"
)
_FUNCTIONS = re.compile(r"numpy\.(log|log1p|log2|log10|sqrt|cbrt|exp|expm1|square|arcsinh)$")
_FITTED = re.compile(r"\.([A-Z]\w*(?:Scaler|Normalizer|Vectorizer|Imputer|PCA|ColumnTransformer))\(\)\.fit_transform$")
_PREPARES = re.compile(
    r"(preprocess|prepare|scal|normali[sz]|standardi[sz]|transform|featuri[sz]e)\w*$", re.I
)  # by its name
_COMPOSE = (
    "torchvision.transforms.Compose",
    "torchvision.transforms.v2.Compose",
    "torchvision.transforms.transforms.Compose",
)
_NORMALISING = re.compile(r"torchvision\.transforms\.(?:v2\.|transforms\.)?(Normalize)$")
_LOOKAHEAD = 60  # expressions behind a transform argument that are looked at


@dataclass(frozen=True, slots=True)
class Prepared:
    """One step of preparation: what is done, with which literals, and where."""

    kind: str
    literals: str
    site: Site


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """A training entry and an inference entry that loads what this training saves."""

    training: Entry
    inference: Entry


@dataclass(eq=False)
class Preparation:
    """Every step by kind, and whether the walk saw where the data comes from."""

    steps: dict[str, Prepared] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)  # where the model is fitted or asked


def pairs(repo: Repo) -> Iterator[Pair]:
    """Training and inference entries that share an artefact by its file name."""
    trainings = [entry for entry in train_entries(repo) if not entry.module.is_notebook]
    asking = [e for e in repo.entries if e.kind in ("serve", "predict") and not e.module.is_notebook]
    known = {(entry.module, entry.unit) for entry in trainings}
    for inference in asking:
        if (inference.module, inference.unit) in known or _trains(repo, inference):
            continue
        loaded = _file_names(entry_closure(repo, inference))
        for training in trainings:
            if loaded & (_file_names(entry_closure(repo, training)) | _configured(repo)):
                yield Pair(training, inference)
                break


def _trains(repo: Repo, entry: Entry) -> bool:
    closure = entry_closure(repo, entry)
    return any(is_training_call(c) and closure.covers(m, c.node) for m in closure.modules for c in m.calls)


def _file_names(closure: Closure) -> set[str]:
    """Names of artefact files that are written in the closure's modules."""
    found: set[str] = set()
    for module in closure.modules:
        names: set[str] | None = module.__dict__.get("_artefact_names")
        if names is None:
            texts = (n.value for n in module.nodes(ast.Constant) if isinstance(n.value, str))
            names = {
                text.replace("\\", "/").rpartition("/")[2]
                for text in texts
                if len(text) < 200 and _ARTEFACT.search(text)
            }
            module.__dict__["_artefact_names"] = names
        found |= names
    return found


def _configured(repo: Repo) -> set[str]:
    """Names of artefact files that the project's configuration names."""
    found: set[str] | None = repo.__dict__.get("_configured_artefacts")
    if found is None:
        files = [f for f in repo.glob("*.yaml", "*.yml", "*.toml", "*.ini", "*.cfg") if f.size < 100_000]
        words = {word for file in files for word in re.findall(r"[\w./-]+", file.text)}
        found = {word.rpartition("/")[2] for word in words if _ARTEFACT.search(word)}
        repo.__dict__["_configured_artefacts"] = found
    return found


# --- steps ------------------------------------------------------------------------------------------------------------


def prepared(repo: Repo, entry: Entry) -> Preparation:
    """What is done to the data before the entry's model is fitted (for a training) or asked. Computed once."""
    known: dict[Entry, Preparation] = repo.kept("prepared")
    if entry not in known:
        known[entry] = _prepared(repo, entry)
    return known[entry]


def _prepared(repo: Repo, entry: Entry) -> Preparation:
    closure = entry_closure(repo, entry)
    found = Preparation()
    pictures = repo.uses("torchvision")
    for module in sorted(closure.modules, key=lambda m: (not _is_heart(m, entry), m.path)):
        for call in module.calls:
            if not closure.covers(module, call.node):
                continue
            if entry.kind == "train" and is_training_call(call):
                _collect(repo, call.module, fit_data(call)[0], _targets(repo, call), found)
                found.sites.append(call.site())
            elif entry.kind != "train" and values.is_model_call(repo, call):
                given = call.node.args[0] if call.node.args else None
                _collect(repo, call.module, given, set(), found)
                found.sites.append(call.site())
            _rescaling(call, found)
            if pictures:
                _pipelines(repo, call, found)
    return found


def _is_heart(module: Module, entry: Entry) -> bool:
    """Whether the module is where the entry does its work: its own, or for a training one that fits."""
    return module is entry.module or (entry.kind == "train" and any(is_training_call(call) for call in module.calls))


def _targets(repo: Repo, call: Call) -> set[str]:
    """The column that the target of a fit is taken from: the nearest one that is named."""
    for step in itertools.islice(sources(repo, call.module, fit_data(call)[1]), _LOOKAHEAD):
        if isinstance(step.node, ast.Subscript) and isinstance(step.node.slice, ast.Constant):
            return {str(step.node.slice.value)}
        if isinstance(step.node, ast.Attribute) and not isinstance(step.module.parent(step.node), ast.Call):
            return {step.node.attr}
    return set()


def _collect(repo: Repo, module: Module, data: ast.expr | None, targets: set[str], found: Preparation) -> None:
    """Steps on the way of the data that a model is given."""
    for step in sources(repo, module, data):
        site = step.module.site(step.node)
        if isinstance(step.node, ast.Call):
            name = step.name
            fitted = _FITTED.search(name)
            if _FUNCTIONS.match(name) and not _is_target(step, targets):
                found.steps.setdefault(name, Prepared(name, "", site))
            elif fitted:
                found.steps.setdefault("transformer", Prepared("transformer", fitted[1], site))
            elif name.endswith((".transform", ".fit_transform")) or _PREPARES.search(name):
                found.steps.setdefault("transformer", Prepared("transformer", "", site))
        elif isinstance(step.node, ast.BinOp) and isinstance(step.node.op, ast.Div) and _is_255(step.node.right):
            found.steps.setdefault("rescale", Prepared("rescale", "255", site))


def _is_target(step: Step, targets: set[str]) -> bool:
    """Whether a function is applied to the column that is predicted."""
    names = {str(n.value) for n in walk(step.node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    names |= {n.id for n in walk(step.node) if isinstance(n, ast.Name)}
    return bool(names & targets)


def _is_255(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (255, 255.0)


def _rescaling(call: Call, found: Preparation) -> None:
    """`rescale=1/255` of a Keras generator, also in the options that are handed to it; layers that do the same."""
    for keyword in call.node.keywords:
        if keyword.arg == "rescale" and isinstance(keyword.value, ast.BinOp) and _is_255(keyword.value.right):
            found.steps.setdefault("rescale", Prepared("rescale", "255", call.module.site(keyword.value)))
    if call.name.endswith((".preprocess_input", ".Rescaling", ".Normalization")):
        found.steps.setdefault("own", Prepared("own", call.name, call.site()))


def _pipelines(repo: Repo, call: Call, found: Preparation) -> None:
    """What the torchvision pipelines do that a call uses: the called one, or one given as an argument."""
    given: list[ast.expr] = [call.node.func] if isinstance(call.node.func, ast.Name | ast.Attribute) else []
    given += [k.value for k in call.node.keywords if k.arg in ("transform", "transforms", "tf")]
    for node in given:
        pipeline = _pipeline(repo, call.module, node)
        if pipeline is None:
            continue
        module, composed = pipeline
        found.steps.setdefault("pipeline", Prepared("pipeline", "", module.site(composed)))
        for inner in walk(composed):
            match = _NORMALISING.match(module.resolve(inner.func)) if isinstance(inner, ast.Call) else None
            if match and isinstance(inner, ast.Call):
                literals = ", ".join(ast.unparse(a) for a in [*inner.args, *(k.value for k in inner.keywords)])
                found.steps.setdefault(match[1], Prepared(match[1], literals, module.site(inner)))


def _pipeline(repo: Repo, module: Module, node: ast.expr) -> tuple[Module, ast.Call] | None:
    resolved = module.resolve(node)
    if not resolved.startswith(("torchvision.transforms.", "?")) and "Compose" not in values.origin(repo, resolved):
        return None
    for step in itertools.islice(sources(repo, module, node, lambda s: not matches(s.name, *_COMPOSE)), _LOOKAHEAD):
        if isinstance(step.node, ast.Call) and matches(step.name, *_COMPOSE):
            return step.module, step.node
    return None
