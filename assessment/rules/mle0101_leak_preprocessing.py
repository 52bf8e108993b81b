"""M1-01: a transformer is fitted on all rows, and what it gives is split afterwards."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, LOW, MEDIUM, ConfidenceName, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.dataflow import Step
    from ml_engineer.assessment.handfits import Manner
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.splits import Split

_FITTED = re.compile(
    r".*(Scaler|Imputer|PCA|SVD|NMF|Vectorizer|TransformedTargetRegressor|Transformer|Discretizer|SelectKBest|"
    r"SelectPercentile|SelectFromModel|RFE|RFECV|VarianceThreshold|FactorAnalysis|FastICA|LinearDiscriminantAnalysis|"
    r"TargetEncoder|WOEEncoder|LeaveOneOutEncoder|MEstimateEncoder|CatBoostEncoder|IterativeImputer|Nystroem)\(\)"
)
_CATEGORIES = re.compile(r".*(OneHot|Ordinal|Label|Binary|Hashing|Count)\w*(Encoder|Binarizer)\(\)|.*LabelEncoder\(\)")
_COMPOSED = re.compile(
    r"sklearn\.(pipeline|compose)\.(Pipeline|make_pipeline|FeatureUnion|make_union|make_column_transformer)\(\)"
)
_OF_COLUMNS = re.compile(r".*(ColumnTransformer|make_column_transformer)\(\)\.fit(_transform)?$")
_JOINS = ("pandas.concat", "numpy.concatenate", "numpy.vstack", "numpy.r_", "scipy.sparse.vstack", "polars.concat")
# These learn nothing from the rows they are fitted on.
_STATELESS = re.compile(r".*(FunctionTransformer|HashingVectorizer|Normalizer|PolynomialFeatures|Binarizer)\(\)")


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.splits import find_splits

    return bool(find_splits(repo)) or next(repo.calls(*_JOINS, tests=False), None) is not None


@rule(
    id="MLE0101",
    name="leak-preprocessing",
    step=1,
    severity=HIGH,
    title="Preprocessing is fitted before the split",
    why="The transformer has seen the test rows, so the score on them is better than the model will be in use.",
    remedy="Split first, then fit the transformer on the training rows only; a Pipeline does so in every fold too.",
    source="Yang et al., data leakage in notebooks (ASE 2022); Zhang et al., code smells for ML (2022)",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.handfits import learned_by_hand
    from ml_engineer.assessment.published import is_for_callers
    from ml_engineer.assessment.splits import find_splits, half

    reported: set[ast.expr] = set()
    told: set[frozenset[tuple[str, int]]] = set()
    by_hand: dict[Call, tuple[Manner, Split]] = {}
    for split in find_splits(repo):
        if split.kind == "datasets" or not split.inputs or is_for_callers(repo, split.scope):
            continue
        features = split.inputs if split.kind == "hand" else split.inputs[:1]
        steps = [list(_behind(repo, split, value)) for value in features]
        called_train = (
            split.kind in ("cross-validation", "folds", "split") and half(repo, split.module, features[0]) == "train"
        )
        divided = any(step.name.endswith("train_test_split") for behind in steps for step in behind)
        for call, manner in (found for behind in steps for found in learned_by_hand(repo, behind)):
            if not called_train or (manner == "columns" and not divided):  # no split has kept other rows apart
                by_hand.setdefault(call, (manner, split))
        if called_train and not _is_all_there_is(repo, split, features[0]):
            continue
        fitted = [found for behind in steps for found in _fitted_before(repo, split, behind)]
        fresh = [found for found in fitted if found[0].node not in reported]
        reported.update(found[0].node for found in fresh)
        for strong in (True, False):
            chosen = [found for found in fresh if found[1] is strong]
            place = frozenset((call.module.file.sha256, call.node.lineno) for call, _ in chosen)
            if not chosen or place in told:
                continue  # a byte-equal copy of a file is not told once more
            told.add(place)
            sites = [call.site() for call, _ in sorted(chosen, key=lambda f: (f[0].module.path, f[0].node.lineno))]
            last = split.site("what was fitted on all rows is divided here")
            confidence: ConfidenceName = "high" if split.shuffled or split.kind != "hand" else "medium"
            if strong:
                shown = repo.dependencies.only_shows(split.module.path)
                yield Hit([*sites, last], severity=MEDIUM if shown else HIGH, confidence=confidence)
            else:
                yield Hit(
                    [*sites, last],
                    severity=LOW,
                    title="Categories are encoded before the split",
                    why="The encoder knows categories that only the test rows have; new ones in use will surprise it.",
                )
    yield from _of_hands(by_hand)
    both = [found for found in _fitted_on_both(repo) if found[0].node not in reported]
    for parted in (True, False):
        sites = [call.site() for call, how in both if how is parted]
        if sites:
            yield Hit(
                sites,
                severity=HIGH if parted else MEDIUM,
                title="Preprocessing is fitted on training and held-out rows together",
                anchor=f"both {parted}",
            )


def _of_hands(by_hand: dict[Call, tuple[Manner, Split]]) -> Iterator[Hit]:
    """What was learned without a transformer: columns chosen by the target weigh more than values for gaps."""
    for manner, severity, title in (
        ("columns", HIGH, "Columns are chosen by their correlation with the target before the split"),
        ("gaps", MEDIUM, "Gaps are filled with figures of all rows before the split"),
    ):
        by_path: dict[str, list[tuple[Call, Split]]] = {}
        for call, (how, split) in by_hand.items():
            if how == manner:
                by_path.setdefault(call.module.path, []).append((call, split))
        for path, found in by_path.items():
            last = found[0][1].site("what was learned from all rows is divided here")
            sites = sorted((call.site() for call, _ in found), key=lambda site: site.line)
            yield Hit([*sites, last], severity=severity, title=title, anchor=f"{manner} {path}")


def _fitted_on_both(repo: Repo) -> Iterator[tuple[Call, bool]]:
    """Fits on the training rows and the held-out ones put together, and whether a split had kept those apart: else
    they are a table of their own, such as the one of a competition."""
    from ml_engineer.assessment.dataflow import sources

    if next(repo.calls(*_JOINS, tests=False), None) is None:
        return
    for call in repo.calls("*.fit", "*.fit_transform", tests=False):
        owner = call.name.rpartition(".")[0]
        data = call.argument(0, "X") or call.argument(0, "raw_documents")
        if data is None or not _FITTED.match(owner) or _STATELESS.match(owner):
            continue
        for step in sources(repo, call.module, data, lambda step: not step.name.endswith("train_test_split")):
            parted = _parted(repo, step)
            if parted is not None:
                yield call, parted
                break


def _parted(repo: Repo, step: Step) -> bool | None:
    """Whether a split made the halves that a call puts together; None where it does not put halves together."""
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.repo import matches
    from ml_engineer.assessment.splits import half, is_held_out_fold

    if not isinstance(step.node, ast.Call) or not step.node.args or not matches(step.name, *_JOINS):
        return None
    parts = step.module.value(step.node.args[0])
    rows = (
        [part for part in parts.elts if half(repo, step.module, part)]
        if isinstance(parts, ast.List | ast.Tuple)
        else []
    )
    halves = {half(repo, step.module, part) for part in rows}
    if "train" not in halves or not halves & {"test", "valid"}:
        return None
    return any(
        is_held_out_fold(repo, step.module, part)
        or any(behind.name.endswith("train_test_split") for behind in sources(repo, step.module, part))
        for part in rows
    )


def _fitted_before(repo: Repo, split: Split, behind: list[Step]) -> Iterator[tuple[Call, bool]]:
    """Fits whose output goes into the split, and whether they learn more than names of categories."""
    from ml_engineer.assessment.splits import half

    for step in behind:
        fit = _fit_of(repo, step)
        if fit is None:
            continue
        data = fit.argument(0, "X")
        if data is not None and half(repo, fit.module, data) in ("train", "test"):
            if fit.module is not split.module or not _is_all_there_is(repo, split, data):
                continue
        owner = fit.name.rpartition(".")[0]
        if _STATELESS.match(owner):
            continue
        if _CATEGORIES.match(owner) or _only_encodes(repo, fit):
            yield fit, False
        elif _FITTED.match(owner) or (_COMPOSED.match(owner) and _holds_a_learner(repo, fit)):
            yield fit, True


def _only_encodes(repo: Repo, fit: Call) -> bool:
    """Whether a transformer of columns holds encoders of categories, and nothing that learns numbers."""
    from ml_engineer.assessment.dataflow import sources

    if not isinstance(fit.node.func, ast.Attribute) or not _OF_COLUMNS.match(fit.name):
        return False
    parts: set[str] = set()
    for step in sources(repo, fit.module, fit.node.func.value):
        if isinstance(step.node, ast.Call) and not step.name.endswith(("ColumnTransformer", "make_column_transformer")):
            if not _fills_in_a_word(step.module.call_of(step.node)):
                parts.add(f"{step.name}()")
    return any(map(_CATEGORIES.match, parts)) and not any(map(_FITTED.match, parts))


def _fills_in_a_word(call: Call) -> bool:
    """Whether an imputer learns no number: it puts in a constant, or the category that is most frequent."""
    strategy = call.module.literal(call.keyword("strategy"))
    return call.name.endswith("SimpleImputer") and strategy in ("constant", "most_frequent")


def _holds_a_learner(repo: Repo, fit: Call) -> bool:
    """Whether a pipeline or another composition holds a transformer that learns from the rows."""
    from ml_engineer.assessment.dataflow import sources

    owner = fit.node.func.value if isinstance(fit.node.func, ast.Attribute) else None
    names = (f"{step.name}()" for step in sources(repo, fit.module, owner) if step.name)
    return any(_FITTED.match(name) and not _STATELESS.match(name) for name in names)


def _behind(repo: Repo, split: Split, value: ast.expr) -> Iterator[Step]:
    """What goes into a split, also where a program that runs before wrote it to a file."""
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.handovers import handed_over

    def through(step: Step) -> bool:
        return not step.name.endswith("train_test_split")

    for step in sources(repo, split.module, value, through):
        yield step
        for module, table in handed_over(repo, step):
            yield from sources(repo, module, table, through)


def _is_all_there_is(repo: Repo, split: Split, data: ast.expr) -> bool:
    """Whether a table is only called `train`: it is read as it is from a file, and folds are the only splits."""
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.splits import find_splits

    if any(other.kind not in ("cross-validation", "folds") for other in find_splits(repo)):
        return False
    return any(step.name.startswith("pandas.read_") for step in sources(repo, split.module, data))


def _fit_of(repo: Repo, step: Step) -> Call | None:
    """The call that fits the transformer behind `….fit_transform(X)`, `….fit(X).transform(X)` or `….transform(X)`."""
    if not isinstance(step.node, ast.Call) or not isinstance(step.node.func, ast.Attribute):
        return None
    call = step.module.call_of(step.node)
    if call.name.endswith(".fit_transform"):
        return call
    if not call.name.endswith(".transform"):
        return None
    owner = step.module.value(step.node.func.value)
    if isinstance(owner, ast.Call) and step.module.resolve(owner.func).endswith("().fit"):
        return step.module.call_of(owner)
    receiver = step.node.func.value
    fits = [
        other
        for other in step.module.calls
        if other.name.endswith(".fit")
        and isinstance(other.node.func, ast.Attribute)
        and ast.dump(other.node.func.value) == ast.dump(receiver)
        and other.scope is call.scope
        and other.node.lineno <= call.node.lineno
    ]
    return fits[-1] if fits else None
