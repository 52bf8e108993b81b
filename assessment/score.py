"""How ready a repository is: the ML Test Score, readiness by step, and a line on maturity.

The rubric is that of Breck et al. 2017: 28 tests in four sections, 1 point where a test is automated, half a point
where it is done by hand and written down, and the final score is the smallest of the four sums. What a repository
cannot show (`not observable`) is no failure and earns nothing. Readiness of a step is the weighted share of the rules
that have something to say there and find nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ml_engineer.assessment import catalogue, claims
from ml_engineer.assessment.engine import Outcome, evidence_of
from ml_engineer.assessment.rule import Site
from ml_engineer.report.schema import (
    STEP_NAMES,
    Finding,
    Score,
    ScoredTest,
    StepScore,
    TestState,
)

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

Section = Literal["Data", "Model", "Infrastructure", "Monitoring"]
SECTIONS: tuple[Section, ...] = ("Data", "Model", "Infrastructure", "Monitoring")
_POINTS = {TestState.AUTOMATED: 1.0, TestState.MANUAL: 0.5, TestState.NOT_OBSERVED: 0.0, TestState.NOT_OBSERVABLE: 0.0}
_WEIGHT = {"critical": 8, "high": 5, "medium": 3, "low": 1, "info": 0}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a test of the rubric came out, and the place that shows it."""

    state: TestState
    reason: str
    site: Site | None = None


Test = Callable[["Repo"], Verdict]


def build(repo: Repo, outcomes: Sequence[Outcome], findings: Sequence[Finding]) -> Score:
    """Score of a repository, given how the rules ended and which findings stand after suppression."""
    tests = [_scored(repo, section, number, title, test) for section, number, title, test in _tests()]
    sums = {section: sum(t.points for t in tests if t.section == section) for section in SECTIONS}
    observable: dict[str, int] = {
        section: sum(t.section == section and t.state is not TestState.NOT_OBSERVABLE for t in tests)
        for section in SECTIONS
    }
    total = min(sums.values())
    return Score(
        ml_test_score=total,
        sections={section: sums[section] for section in SECTIONS},
        observable=observable,
        tests=tests,
        steps=[_step_score(step, outcomes, findings) for step in STEP_NAMES],
        maturity=_maturity(total, tests),
    )


def _scored(repo: Repo, section: Section, number: int, title: str, test: Test) -> ScoredTest:
    verdict = test(repo)
    return ScoredTest(
        id=f"{section}-{number}",
        section=section,
        title=title,
        state=verdict.state,
        points=_POINTS[verdict.state],
        reason=verdict.reason,
        evidence=[evidence_of(repo, verdict.site)] if verdict.site is not None else [],
    )


def _step_score(step: int, outcomes: Sequence[Outcome], findings: Sequence[Finding]) -> StepScore:
    standing = {finding.fingerprint for finding in findings}
    total = lost = applicable = failed = 0
    for outcome in outcomes:
        if outcome.rule.step != step or not outcome.applies or outcome.error:
            continue
        found = [_WEIGHT[f.severity.value] for f in outcome.findings if f.fingerprint in standing]
        # A rule that failed counts with the worst it found; one that held with its own severity.
        weight = max(found) if found else _WEIGHT[outcome.rule.severity]
        applicable += 1
        failed += bool(found)
        total += weight
        lost += weight if found else 0
    return StepScore(
        step=step,
        name=STEP_NAMES[step],
        readiness=round(100 * (total - lost) / total) if total else None,
        checks_applicable=applicable,
        checks_failed=failed,
    )


def _maturity(total: float, tests: Sequence[ScoredTest]) -> str:
    """One line in the words of the rubric's own table, with what would lift it first."""
    levels = (
        (1, "more of a research project than a system in production"),
        (2, "not entirely untested, but serious holes in reliability are possible"),
        (4, "a first pass at production, more work may be needed"),
        (6, "reasonably tested"),
        (99, "strong automated testing and monitoring"),
    )
    words = next(text for limit, text in levels if total < limit)
    weakest = min(SECTIONS, key=lambda s: sum(t.points for t in tests if t.section == s))
    return f"{words}; weakest section: {weakest}"


# --- the tests --------------------------------------------------------------------------------------------------------


def _automated(reason: str, site: Site | None) -> Verdict:
    return Verdict(TestState.AUTOMATED, reason, site)


def _manual(reason: str, site: Site | None) -> Verdict:
    return Verdict(TestState.MANUAL, reason, site)


def _none(reason: str) -> Verdict:
    return Verdict(TestState.NOT_OBSERVED, reason)


def _unknowable(reason: str) -> Test:
    return lambda repo: Verdict(TestState.NOT_OBSERVABLE, reason)


def _needs_training(test: Test) -> Test:
    """Not observable where nothing in the repository trains."""

    def wrapped(repo: Repo) -> Verdict:
        if claims.training_site(repo) is None:
            return Verdict(TestState.NOT_OBSERVABLE, "nothing in this repository trains a model")
        return test(repo)

    return wrapped


def _needs_serving(test: Test) -> Test:
    """Not observable where nothing in the repository serves."""

    def wrapped(repo: Repo) -> Verdict:
        if claims.serving_site(repo) is None:
            return Verdict(TestState.NOT_OBSERVABLE, "nothing in this repository serves a model")
        return test(repo)

    return wrapped


def _by_use(category: str, label: str) -> Test:
    def test(repo: Repo) -> Verdict:
        used = catalogue.found(repo, category)
        programs = [use for use in used if not use.site.path.endswith(".ipynb")]
        if programs:
            return _automated(f"{label}: {programs[0].name}", programs[0].site)
        if used:
            return _manual(f"{label}: {used[0].name}, in a notebook only", used[0].site)
        return _none(f"no {label}")

    return test


def _by_call(label: str, *patterns: str, automated: bool = True) -> Test:
    def test(repo: Repo) -> Verdict:
        calls = sorted(repo.calls(*patterns, tests=False), key=lambda c: c.module.is_notebook)
        if not calls:
            return _none(f"no {label}")
        first = calls[0]
        made = _automated if automated and not first.module.is_notebook else _manual
        return made(f"{label}: {first.name.rpartition('.')[2]}", first.site())

    return test


def _documented(label: str, pattern: str) -> Test:
    """Written down in a README, a model card or a document of the repository."""
    compiled = re.compile(pattern, re.I)

    def test(repo: Repo) -> Verdict:
        for file in repo.glob("README*", "MODEL_CARD*", "model_card*", "docs/**/*.md", "docs/*.md"):
            hits = file.find(compiled)
            if hits:
                return _manual(f"{label} is written down", file.site(hits[0][0]))
        return _none(f"no {label} was found")

    return test


def _schema(repo: Repo) -> Verdict:
    used = _by_use("validation", "data schema")(repo)
    if used.state is not TestState.NOT_OBSERVED:
        return used
    calls = [c for c in repo.calls("pandas.read_*", tests=False) if c.keyword("dtype") is not None]
    if not calls:
        return _none("no data schema")
    return _manual("column types are given when data is read", calls[0].site())


def _test_imports(repo: Repo, pattern: str) -> Site | None:
    """A test that imports a local module whose path matches."""
    for module in repo.modules:
        if "test" not in module.file.roles or not module.file.name.startswith(("test_", "conftest")):
            continue
        for item in module.imports:
            local = repo.local(module, item.target)
            if local is not None and re.search(pattern, local[0].path, re.I):
                return module.site(item.node)
    return None


def _feature_tests(repo: Repo) -> Verdict:
    site = _test_imports(repo, r"feature|preprocess|transform|data|prepar")
    if not site:
        return _none("no test of the feature code")
    return _automated("feature code is tested", site)


def _model_tests(repo: Repo) -> Verdict:
    site = _test_imports(repo, r"model|train|net|predict|pipeline")
    if not site:
        return _none("no test of the model code")
    return _automated("model code is tested", site)


def _reproducible(repo: Repo) -> Verdict:
    seeds = list(
        repo.closure("train").calls(
            "torch.manual_seed", "tensorflow.random.set_seed", "numpy.random.seed", "random.seed",
            "*seed_everything", "transformers.set_seed", "numpy.random.default_rng", "keras.utils.set_random_seed",
        )
    )  # fmt: skip
    locked = repo.dependencies.lock_files
    if seeds and locked:
        return _automated("generators are seeded and dependencies are locked", seeds[0].site())
    if seeds:
        return _manual("generators are seeded, dependencies are not locked", seeds[0].site())
    return _none("generators are not seeded in the training program")


def _pipeline_tested(repo: Repo) -> Verdict:
    for workflow in repo.workflows:
        for step in workflow.steps:
            if re.search(r"dvc repro|train|run_pipeline|kedro run|make pipeline", step.script):
                return _automated("CI runs the pipeline", step.site())
    site = _test_imports(repo, r"pipeline|train|main")
    if not site:
        return _none("no run of the pipeline in CI")
    return _manual("a test imports the pipeline; CI does not run it", site)


def _gated(repo: Repo) -> Verdict:
    pattern = re.compile(r"(assert|if)\b.*\b(accuracy|f1|auc|rmse|score|metric)\w*\W*\s*(<|>|>=|<=)", re.I)
    for module in repo.modules:
        for number, line in enumerate(module.source.lines, 1):
            if ("<" in line or ">" in line) and pattern.search(line):
                made = _automated if "test" in module.file.roles else _manual
                return made("a metric is compared with a threshold", module.site(number))
    return _none("no metric is compared with a threshold before a model is used")


def _canary(repo: Repo) -> Verdict:
    known = claims.variants(repo)
    if not known:
        return _none("no canary or traffic split")
    return _automated(known.value, known.sites[0])


def _rollback(repo: Repo) -> Verdict:
    known = claims.rollback(repo)
    if not known:
        return _none("no way back to an earlier model")
    return _automated(known.value, known.sites[0])


def _stale(repo: Repo) -> Verdict:
    known = claims.scheduled(repo)
    if known and "scheduled" in known.value:
        return _automated(known.value, known.sites[0])
    return _none("no retraining on a schedule and no age of the model watched")


def _stability(repo: Repo) -> Verdict:
    calls = list(
        repo.calls("numpy.isnan", "numpy.isfinite", "torch.isnan", "torch.isfinite", "math.isnan", "math.isfinite",
                   "numpy.nan_to_num", "torch.autograd.detect_anomaly", tests=False)
    )  # fmt: skip
    served = [c for c in calls if repo.closure("serve", "train").covers(c.module, c.node)]
    if not served:
        return _none("no check for NaN or infinity")
    return _automated("values are checked for NaN", served[0].site())


def _regression_watched(repo: Repo) -> Verdict:
    known = claims.quality_metric(repo)
    if not known:
        return _none("prediction quality is not watched in production")
    return _automated(known.value, known.sites[0])


def _drift_watched(repo: Repo) -> Verdict:
    known = claims.drift(repo)
    if not known:
        return _none("no comparison of served with trained data")
    return _automated(f"drift: {known.value}", known.sites[0])


def _inputs_watched(repo: Repo) -> Verdict:
    known = claims.data_quality(repo)
    if not known:
        return _none("inputs are not validated")
    return _automated(known.value, known.sites[0])


def _dependencies_watched(repo: Repo) -> Verdict:
    files = repo.glob(".github/dependabot.y*ml", "renovate.json", ".renovaterc*", ".github/renovate.json")
    if not files:
        return _none("no notice of upstream changes")
    return _automated("dependency updates are announced", files[0].site(1))


def _tests() -> list[tuple[Section, int, str, Test]]:
    rows: dict[Section, tuple[tuple[str, Test], ...]] = {
        "Data": _DATA,
        "Model": _MODEL,
        "Infrastructure": _INFRASTRUCTURE,
        "Monitoring": _MONITORING,
    }
    return [
        (section, number, title, test) for section in SECTIONS for number, (title, test) in enumerate(rows[section], 1)
    ]


def _tuned(repo: Repo) -> Verdict:
    used = _by_use("tuning", "tuning")(repo)
    if used.state is not TestState.NOT_OBSERVED:
        return used
    return _by_call("search over hyper-parameters", "sklearn.model_selection.*SearchCV")(repo)


_importance = _by_call(
    "feature importance or selection",
    "*.feature_importances_",
    "shap.*",
    "*.permutation_importance",
    "sklearn.feature_selection.*",
    automated=False,
)
_baseline = _by_call("baseline model", "sklearn.dummy.*", automated=False)
_slices = _by_call("metrics by group", "fairlearn.*", "*.MetricFrame", "*.groupby().apply", automated=False)
_inclusion = _by_call("fairness metrics", "fairlearn.*", "aif360.*")
_card = _documented("model card or specification", r"model card|intended use|limitations")
_privacy = _documented("privacy", r"\b(privacy|gdpr|anonymi|pseudonymi|pii)\b")

_DATA = (
    ("Feature expectations are captured in a schema", _schema),
    ("All features are beneficial", _importance),
    ("No feature's cost is too much", _unknowable("costs of features are not in a repository")),
    ("Features adhere to meta-level requirements", _unknowable("requirements on features are not in a repository")),
    ("The data pipeline has appropriate privacy controls", _privacy),
    ("New features can be added quickly", _unknowable("lead times are not in a repository")),
    ("All input feature code is tested", _feature_tests),
)
_MODEL = (
    ("Model specs are reviewed and submitted", _card),
    ("Offline and online metrics correlate", _unknowable("needs outcomes from production")),
    ("All hyper-parameters have been tuned", _needs_training(_tuned)),
    ("The impact of model staleness is known", _unknowable("needs outcomes from production")),
    ("A simpler model is not better", _needs_training(_baseline)),
    ("Model quality is sufficient on important slices", _needs_training(_slices)),
    ("The model is tested for inclusion", _needs_training(_inclusion)),
)
_INFRASTRUCTURE = (
    ("Training is reproducible", _needs_training(_reproducible)),
    ("Model specs are unit tested", _model_tests),
    ("The ML pipeline is integration tested", _needs_training(_pipeline_tested)),
    ("Model quality is validated before serving", _needs_training(_gated)),
    ("The model is debuggable", _unknowable("whether a person can step through it is not in a repository")),
    ("Models are canaried before serving", _needs_serving(_canary)),
    ("Serving models can be rolled back", _needs_serving(_rollback)),
)
_MONITORING = (
    ("Dependency changes result in notification", _dependencies_watched),
    ("Data invariants hold for inputs", _needs_serving(_inputs_watched)),
    ("Training and serving are not skewed", _needs_serving(_drift_watched)),
    ("Models are not too stale", _needs_training(_stale)),
    ("Models are numerically stable", _stability),
    ("Computing performance has not regressed", _needs_serving(_by_use("metrics", "metrics of the service"))),
    ("Prediction quality has not regressed", _needs_serving(_regression_watched)),
)
