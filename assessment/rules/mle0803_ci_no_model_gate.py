"""M8-03: there is CI, and no step of it trains, evaluates or checks a model."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.commands import Command
    from ml_engineer.assessment.repo import Repo

_PIPELINE = re.compile(
    r"\bdvc\s+(repro|exp\s+run|exp\s+diff|metrics|plots)\b|\bcml\b|\bmlflow\s+run\b|\bkedro\s+run\b|\bsnakemake\b|"
    r"\bzenml\s+pipeline|\bmetaflow\b|\bprefect\s+deployment\s+run|\bflyte\w*\b|\banyscale\s+jobs?\b|\baz\s+ml\s+"
    r"(job|run)\b|\bgcloud\s+ai\b|\bsagemaker\b|\bgreat_expectations\b|\bdeepchecks\b|\bgiskard\b|\bsoda\s+scan\b|"
    r"\bpapermill\b|\bnbconvert\b.*--execute|\bnbmake\b|\bpromptfoo\b|\blm_eval\b|\bdatabricks\s+(bundle|jobs)\b",
    re.I,
)
_MODEL_WORDS = re.compile(
    r"(^|[/_.-])(train\w*|retrain|evaluate|evaluation|validate[-_]model|eval[-_]model|fit)([_./-]|$)"
)


@rule(
    id="MLE0803",
    name="ci-no-model-gate",
    step=8,
    severity=MEDIUM,
    title="The CI pipeline never trains or evaluates a model",
    why="Code that trains a worse model, or none, merges and ships as long as it imports.",
    remedy="Train on a small sample in CI and fail below a threshold of the metric; test the model's behaviour.",
    source="ML Test Score, infrastructure 3 and 4; CML",
    applies=lambda repo: any(w.jobs for w in repo.workflows) and any(e.kind == "train" for e in repo.entries),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.ci import commands_of, is_hidden, tested_workflows

    workflows = [w for w in repo.workflows if w.jobs]
    steps = [step for w in workflows for step in w.steps]
    if any(map(is_hidden, workflows)) or any(_PIPELINE.search(step.uses or "") for step in steps):
        return
    if any(_is_gate(repo, command) for step in steps for command in commands_of(repo, step)):
        return
    if tested_workflows(repo) and _tests_train(repo):
        return
    if _trains_in_an_image(repo):
        return
    first = (tested_workflows(repo) or workflows)[0]
    searched = ["a training or evaluation entry point", "dvc repro", "cml", "tests that train or check a metric"]
    yield Hit([repo.missing(first.site(), searched, [w.file for w in workflows])], anchor="model gate")


def _trains_in_an_image(repo: Repo) -> bool:
    """Whether CI builds an image whose Dockerfile runs the training: the build fails where that does."""
    from ml_engineer.assessment.buildcontext import built_by_ci

    runs = repo.commands.of("docker-run")
    built = {path for path, _ in built_by_ci(repo)} if runs else set()
    return any(command.site.path in built and _is_gate(repo, command) for command in runs)


def _is_gate(repo: Repo, command: Command) -> bool:
    text = " ".join(command.words)
    if command.program in ("echo", "printf", "pip", "pip3"):
        return False
    if _PIPELINE.search(text):
        return True
    ran = set(repo.commands.runs(command))
    if ran & {e.module.path for e in repo.entries if e.kind in ("train", "evaluate")}:
        return True
    return any(_MODEL_WORDS.search(word) for word in command.words if not word.startswith("http"))


def _tests_train(repo: Repo) -> bool:
    """Whether a test reaches a training call, or asserts a bound of a metric."""
    from ml_engineer.assessment.callgraph import closure_of
    from ml_engineer.assessment.entrypoints import Entry, is_training_call

    for module in repo.modules:
        if "test" not in module.file.roles:
            continue
        if re.search(
            r"assert[^\n]*(accuracy|acc|f1|auc|rmse|loss|score|precision|recall)\b[^\n]*[<>]", module.file.text
        ):
            return True
        units = [Entry("train", module, f, f.site()) for f in module.functions.values()]
        closure = closure_of(repo, units)
        calls = (call for m in closure.modules for call in m.calls if is_training_call(call))
        if any(closure.covers(call.module, call.node) for call in calls):
            return True
        if any(_runs_training(repo, node.value) for node in module.nodes(ast.Constant)):
            return True
    return False


def _runs_training(repo: Repo, value: object) -> bool:
    """Whether a text of a test names a training script, as an argument of a subprocess would."""
    if not isinstance(value, str) or not value.endswith(".py"):
        return False
    scripts = {e.module.path for e in repo.entries if e.kind == "train"}
    return any(script == value or script.endswith(f"/{value.lstrip('./')}") for script in scripts)
