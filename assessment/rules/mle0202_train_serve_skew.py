"""M2-02: what training does to the data before the fit, and an inference entry point of the same artefact does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.skew import Preparation, Prepared


# Transformers that learn nothing from the rows that they are fitted on.
_STATELESS = r"\w+\.(PolynomialFeatures|Normalizer|Binarizer|FunctionTransformer|HashingVectorizer|FeatureHasher)\b"
_TRANSFORMERS = r"sklearn\.(preprocessing|impute|decomposition|feature_extraction|feature_selection|compose)\b.*"
_FITTED = re.compile(rf"(?!sklearn\.{_STATELESS}){_TRANSFORMERS}\(\)\.(fit|fit_transform)")
# What a handler that trains or evaluates anew does too.
_LEARNS = re.compile(r".*\.(fit|fit_generator|partial_fit|backward|train_test_split)")
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
