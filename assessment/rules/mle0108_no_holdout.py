"""M1-08: a model is trained, and nothing in what is reached from there judges it on other rows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.callgraph import Closure
    from ml_engineer.assessment.entrypoints import Entry
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_KEYWORDS = {
    "validation_split", "validation_data", "eval_set", "eval_dataset", "valid_sets", "evals", "val_dataloaders",
    "validation_steps", "test_size", "cv", "val_set", "valid_dl", "validation_dataset", "dev_set", "test_dataset",
}  # fmt: skip
_HELD_OUT = re.compile(r"(^|_)(val|valid|validation|dev|eval|evaluate|evaluation|holdout|oob|cv|folds?)(_|\d|$)|"
    r"(?<![a-z])(val|valid|eval)_?(set|loader|data|ds|dl|split|iter|path|file|dir|x|y|gen|generator|acc|loss|frac|ratio|size)|"
    r"datamodule|test_?(acc|loss|error|score)",
    re.I,
)  # fmt: skip
_NO_PART = {"eval", "literal_eval", "fold", "cv2"}  # the third may be a folder's name
_JUDGING = ("*.evaluate", "*.score", "sklearn.metrics.*", "torchmetrics.*", "*.evaluate_generator", "*cross_val_*")
_TEST_WORD = re.compile(r"(^|_)tests?(_|$)|^[xy]_?test|^test_?([xy]|set|loader|data|ds|dl|iter\w*)$", re.I)
_QUALITY = re.compile(r"(^|_)(acc|accuracy|correct|mse|rmse|mae|r2|perplexity|bleu|iou|dice|f1)(_|$)", re.I)
_READS = re.compile(r"read|load|open|fetch|query|glob|listdir")
# Nothing to hold out: text is generated, a policy is learned, two networks play, rows are only grouped.
_OTHER_AIMS = re.compile(
    r"gan\b|generative|language.?model|pretrain|word2vec|embedding|style.?transfer|autoencoder|reinforce|diffusion|lora|"
    r"text.?gen|char.?rnn|finetune.*(llm|lm)|alpaca|gpt",
    re.I,
)
_JOBS = re.compile(r"sagemaker\.(sklearn|pytorch|tensorflow|huggingface|mxnet|xgboost|chainer)\b")
_LANGUAGE_MODEL = ("*CausalLM*", "*LMHeadModel*", "*DataCollatorForLanguageModeling", "*DataCollatorForSeq2Seq")


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import train_entries

    return bool(train_entries(repo))


@rule(
    id="MLE0108",
    name="no-holdout",
    step=1,
    severity=HIGH,
    title="Trained without any held-out rows",
    why="Nothing tells how good the model is on rows it has not seen: it can have learned them by heart.",
    remedy="Keep part of the data out of training (a split, folds or a test file) and write the metric to a file.",
    source="ML Test Score, Infrastructure 4",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.learning import entry_closure, train_entries
    from ml_engineer.assessment.published import is_for_callers

    sites: dict[Site, set[Module]] = {}
    for entry in train_entries(repo):
        closure = entry_closure(repo, entry)
        if closure.cut or entry.site in sites or _is_exempt(repo, entry, closure) or _holds_out(repo, closure):
            continue
        if is_for_callers(repo, entry.unit) or _is_judged_by_callers(repo, entry):
            continue
        if not _made_up_or_handed_over(repo, entry) and not _judged_elsewhere(repo, entry, closure):
            sites[entry.site] = closure.modules
    if sites:
        looked_for = (
            "train_test_split",
            "cross_val_score",
            "validation_data",
            "validation_split",
            "evaluate",
            "a test file",
        )
        yield Hit([repo.missing(site, looked_for, modules) for site, modules in sites.items()])


def _is_judged_by_callers(repo: Repo, entry: Entry) -> bool:
    """Whether it is the `fit` of a class here that another program calls: what that keeps out is asked there."""
    from ml_engineer.assessment.learning import trainings

    unit = entry.unit
    if unit is None or unit.class_name is None or unit.node.name not in ("fit", "partial_fit"):
        return False
    called = f"{unit.class_name}().{unit.node.name}"
    return any(call.name.endswith(called) and call.scope is not unit for call in trainings(repo))


def _is_given_the_loss(call: Call) -> bool:
    """Whether the loss itself is a parameter: a helper that scales it or takes the step, and not the training."""
    names = {p.arg for p in call.scope.parameters} if call.scope is not None else set()
    called = {c.node.func.id for c in call.module.calls if isinstance(c.node.func, ast.Name) and c.scope is call.scope}
    return any(re.fullmatch(r"(\w+_)?loss(es)?", name) for name in names - called)


def _made_up_or_handed_over(repo: Repo, entry: Entry) -> bool:
    """A fit of points that the program draws itself is a demonstration; one of a parameter's model is a utility."""
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.learning import entry_closure, fit_data, trainings
    from ml_engineer.assessment.loops import has_constant_data

    call = next((c for c in trainings(repo) if c.site() == entry.site), None)
    if call is None:
        return False
    if call.name.endswith("backward"):
        if _is_given_the_loss(call):
            return True
        return has_constant_data(call) or _draws_its_tensors(entry_closure(repo, entry))
    owner = call.name.rpartition(".")[0].removesuffix("()")
    if _JOBS.match(owner):
        return True  # the job's own script reads the rows and judges, where it is that of the platform's framework
    if owner.startswith("yellowbrick.cluster."):
        return True  # tries numbers of clusters: rows without a target
    if owner in repo.classes and _only_groups(repo, owner):
        return True
    if owner.split(".")[0] in repo.by_dotted and owner not in repo.classes and owner not in repo.functions:
        return True  # a local name that cannot be found: what its `fit` does is not known
    data = fit_data(call)[0]
    if data is None:
        return False
    if _is_written_out(call.module.value(data)):
        return True
    steps = list(sources(repo, call.module, data))
    names = {step.name for step in steps if step.name}
    if entry.unit is not None and not any(_READS.search(name) for name in names):
        parameters = {parameter.arg for parameter in entry.unit.parameters} - {"self"}
        return any(isinstance(step.node, ast.Name) and step.node.id in parameters for step in steps)
    drawn = any(
        re.match(
            r"numpy\.(random|linspace|arange)|pyspark\..*createDataFrame|sklearn\.datasets\.\w*\.?make_|random\.", name
        )
        for name in names
    )
    return drawn and not any(_READS.search(name) for name in names)


def _is_written_out(node: ast.expr | None) -> bool:
    """Whether rows stand in the program as numbers: `[[0.1, 0.2]] * 10`, or an array of such a list."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and ast.unparse(node.func).endswith("array"):
        node = node.args[0]
    written = ast.List | ast.Tuple | ast.BinOp | ast.UnaryOp | ast.Constant | ast.operator | ast.unaryop | ast.Load
    return isinstance(node, ast.List | ast.BinOp) and all(isinstance(inner, written) for inner in ast.walk(node))


def _only_groups(repo: Repo, name: str) -> bool:
    """Whether a class here groups rows by an algorithm of clustering, and fits nothing else."""
    from ml_engineer.assessment.learning import is_unsupervised

    module, node = repo.classes[name]
    first, last = node.lineno, node.end_lineno or node.lineno
    fits = [c for c in module.calls if first <= c.node.lineno <= last and c.name.endswith((".fit", ".fit_predict"))]
    return bool(fits) and all(is_unsupervised(call) for call in fits)


def _draws_its_tensors(closure: Closure) -> bool:
    """Whether a loop of torch runs on random tensors, with no data set, loader or file anywhere."""
    names = {name for module in closure.modules for name in module.call_names}
    return bool({"torch.randn", "torch.rand"} & names) and not any(
        _READS.search(name) or re.search(r"loader|dataset", name, re.I) for name in names
    )


def _holds_out(repo: Repo, closure: Closure) -> bool:
    from ml_engineer.assessment.learning import keyword_names, words
    from ml_engineer.assessment.repo import matches
    from ml_engineer.assessment.splits import find_splits

    modules = closure.modules
    if any(split.module in modules for split in find_splits(repo)):
        return True
    judges = False
    for module in modules:
        for call in module.calls:
            if keyword_names(call) & _KEYWORDS or matches(
                call.name, "*GridSearchCV().fit", "*SearchCV().fit", "*CV().fit", "fasttext.train_supervised().test*"
            ):
                return True
            judges = judges or (matches(call.name, *_JUDGING) and closure.covers(module, call.node))
    found = {word for module in modules for word in words(module)}
    values = {"val"} if _is_a_value(modules) else set()  # of a mapping: `def encode(val)`
    if any(_HELD_OUT.search(word) for word in found - values - _NO_PART):
        return True
    judges = judges or any(_QUALITY.search(word) for word in found)
    return judges and (any(_TEST_WORD.search(word) for word in found) or any(_names_held_out(m) for m in modules))


def _is_a_value(modules: set[Module]) -> bool:
    """Whether `val` is but the parameter of functions that take nothing else."""
    alone = {p.arg for m in modules for f in m.functions.values() if len(f.parameters) == 1 for p in f.parameters}
    stored = (n for m in modules for n in m.nodes(ast.Name) if n.id == "val" and isinstance(n.ctx, ast.Store))
    return "val" in alone and next(stored, None) is None


def _names_held_out(module: Module) -> bool:
    """Whether a string names a held-out part: `data/test.csv`, `test`, `validation`."""
    return any(
        isinstance(node.value, str)
        and re.search(r"(^|[/_\-.])(test|val|valid|validation|dev)([/_\-.]|$)", node.value[:200], re.I)
        for node in module.nodes(ast.Constant)
    )


def _is_exempt(repo: Repo, entry: Entry, closure: Closure) -> bool:
    from ml_engineer.assessment.learning import is_generative, is_reinforcement
    from ml_engineer.assessment.repo import matches

    modules = closure.modules
    if is_reinforcement(repo, modules) or is_generative(closure) or _OTHER_AIMS.search(entry.module.path):
        return True
    if _learns_by_acting(modules):
        return True
    return any(matches(name, *_LANGUAGE_MODEL) for module in modules for name in module.call_names)


def _learns_by_acting(modules: set[Module]) -> bool:
    """An environment that is stepped and pays a reward."""
    from ml_engineer.assessment.learning import words

    found = {word for module in modules for word in words(module)}
    return bool({"reward", "rewards"} & found) and bool({"env", "environment", "next_state", "action"} & found)


def _files(modules: set[Module], patterns: tuple[str, ...]) -> set[str]:
    """Names of the files in such calls; none at all where one of them is not written in the code."""
    from ml_engineer.assessment.dataflow import texts
    from ml_engineer.assessment.repo import matches

    found: set[str] = set()
    for module in modules:
        for call in module.calls:
            if matches(call.name, *patterns):
                named = {text.rpartition("/")[2] for text in texts(call.node) if "." in text}
                if not named:
                    return set()
                found |= named
    return found


def _may_be_one(saved: set[str], loaded: set[str]) -> bool:
    """Whether a program may load what another saved: not where both name other files."""
    return not saved or not loaded or bool(saved & loaded)


def _judged_elsewhere(repo: Repo, entry: Entry, closure: Closure) -> bool:
    """Whether another program of the repository evaluates a model that is saved here."""
    from ml_engineer.assessment.learning import LOADERS, SAVERS, words
    from ml_engineer.assessment.repo import matches

    if not any(matches(name, *SAVERS) for module in closure.modules for name in module.call_names):
        return False
    saved = _files(closure.modules, SAVERS)
    for other in repo.entries:
        if other.kind == "evaluate" and other.module is not entry.module:
            names = other.module.call_names
            if any(matches(n, *_JUDGING) for n in names) and any(matches(n, *LOADERS) for n in names):
                if _may_be_one(saved, _files({other.module}, LOADERS)):
                    return True
    # A program that loads the model, predicts, and works out a figure by its own formula.
    for other in repo.entries:
        if other.kind == "predict" and other.module not in closure.modules and not other.module.is_notebook:
            loads = any(matches(name, *LOADERS) for name in other.module.call_names)
            if loads and any(_QUALITY.search(word) for word in words(other.module)):
                if _may_be_one(saved, _files({other.module}, LOADERS)):
                    return True
    return False
