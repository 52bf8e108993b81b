"""M2-02: what training does to the data before the fit, and an inference entry point of the same artefact does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.skew import Preparation, Prepared


# Transformers that learn nothing from the rows that they are fitted on.
_STATELESS = r"\w+\.(PolynomialFeatures|Normalizer|Binarizer|FunctionTransformer|HashingVectorizer|FeatureHasher)\b"
_TRANSFORMERS = r"sklearn\.(preprocessing|impute|decomposition|feature_extraction|feature_selection|compose)\b.*"
_FITTED = re.compile(rf"(?!sklearn\.{_STATELESS}){_TRANSFORMERS}\(\)\.(fit|fit_transform)")
# What a handler that trains or evaluates anew does too.
_LEARNS = re.compile(r".*\.(fit|fit_generator|partial_fit|backward|train_test_split)")
_FIGURES = ("mean", "median", "mode")
_REQUEST = re.compile(r"(flask|quart)\.request\b")
_READS = re.compile(r".*\b(read_\w+|load\w*|fetch_\w+)")


def _compares(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import handlers
    from ml_engineer.assessment.skew import pairs

    return next(pairs(repo), None) is not None or bool(handlers(repo))


@rule(
    id="MLE0202",
    name="train-serve-skew",
    step=2,
    severity=HIGH,
    title="Training prepares the data in another way than inference",
    why="The model is asked about values of a kind that it never saw, and answers wrongly without any error.",
    remedy="Put the preparation into one Pipeline or one function that both sides use, saved with the model.",
    source="ML Test Score Monitoring-3",
    applies=_compares,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.skew import pairs, prepared

    yield from _fitted_on_requests(repo)
    yield from _filled_from_requests(repo)
    found: dict[str, tuple[str, list[Site]]] = {}
    for pair in pairs(repo):
        training, inference = prepared(repo, pair.training), prepared(repo, pair.inference)
        if not inference.sites:
            continue
        for step, what in _differences(training, inference):
            _, sites = found.setdefault(f"{step.kind}\0{step.site.path}", (what, [step.site]))
            sites += [site for site in inference.sites[:2] if site not in sites]
    for anchor, (what, sites) in found.items():
        yield Hit(sites, confidence="medium", title=what, anchor=anchor)


def _fitted_on_requests(repo: Repo) -> Iterator[Hit]:
    """Transformers that a handler fits on what it was just sent, where it trains nothing."""
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.serving import handlers

    sites: dict[Site, None] = {}
    for handler in handlers(repo):
        fits = [call for call in handler.calls if _FITTED.fullmatch(call.name)]
        if (
            not fits
            or not handler.model_calls
            or any(_LEARNS.fullmatch(c.name) and not _FITTED.fullmatch(c.name) for c in handler.calls)
        ):
            continue
        for call in fits:
            data = call.argument(0, "X")
            if data is not None and not any(
                _READS.fullmatch(step.name) for step in sources(repo, call.module, data) if step.name
            ):
                sites[call.site()] = None
    if sites:
        yield Hit(
            list(sites),
            title="The service fits its transformer on the request itself",
            why="The values are scaled by themselves, not by the training data: the model sees other numbers, a single "
            "row even becomes all zeros.",
            remedy="Save the fitted transformer with the model, best in one Pipeline, and only transform here.",
            anchor="fitted on requests",
        )


def _filled_from_requests(repo: Repo) -> Iterator[Hit]:
    """Gaps that a handler fills with a figure of the very rows it was sent: `df["a"].fillna(df["a"].median())`."""
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.serving import handlers

    sites: dict[Site, None] = {}
    for handler in handlers(repo):
        if not handler.model_calls or any(_LEARNS.fullmatch(call.name) for call in handler.calls):
            continue
        for call in handler.calls:
            filled = _filled_with_itself(call)
            if filled is None:
                continue
            steps = [
                step.module.resolve(step.node) if isinstance(step.node, ast.Attribute) else step.name
                for step in sources(repo, call.module, filled)
            ]
            if any(_REQUEST.match(name) for name in steps) and not any(_READS.fullmatch(name) for name in steps):
                sites[call.site()] = None
    if sites:
        yield Hit(
            list(sites),
            severity=MEDIUM,
            confidence="medium",
            title="The service fills gaps with figures of the request itself",
            why="Training used figures of its rows: here a gap gets another value, and in a single row it stays.",
            remedy="Save the figures of training with the model (SimpleImputer in one Pipeline), and use them here.",
            anchor="filled from requests",
        )


def _filled_with_itself(call: Call) -> ast.expr | None:
    """The column that a call fills with its own mean, median or mode."""
    if not isinstance(call.node.func, ast.Attribute) or call.node.func.attr != "fillna" or not call.node.args:
        return None
    owner = call.node.func.value
    figures = (n.func for n in ast.walk(call.node.args[0]) if isinstance(n, ast.Call))
    own = any(
        isinstance(f, ast.Attribute) and f.attr in _FIGURES and ast.unparse(f.value) == ast.unparse(owner)
        for f in figures
    )
    return owner if own else None


def _differences(training: Preparation, inference: Preparation) -> Iterator[tuple[Prepared, str]]:
    """Steps of training that are missing in inference, or done with other numbers."""
    ours, theirs = training.steps, inference.steps
    for kind, step in ours.items():
        other = theirs.get(kind)
        if kind.startswith("numpy.") and other is None:
            yield step, f"Training applies {kind} to the features, inference does not"
        elif kind == "transformer" and other is None and step.literals:
            yield step, f"Training fits the model on what {step.literals} gives, inference does not transform"
        elif kind == "rescale" and other is None and not {"own", "pipeline"} & {*ours, *theirs}:
            yield step, "Training divides pixel values by 255, inference does not"
        elif kind == "Normalize" and "pipeline" in theirs:
            if other is None:
                yield step, "Training normalises pictures, inference does not"
            elif other.literals != step.literals:
                yield step, "Training normalises pictures with other numbers than inference"
