"""M4-11: several steps have to be run by hand in the right order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo

_FILES = (
    "dvc.yaml", "MLproject", "Snakefile", "*.smk", "nextflow.config", "catalog.yml", "pipeline.yaml", "pipeline.yml",
    "pipelines/*.y*ml", "azure-pipelines*.yml", "azureml*.yml", "kedro*.toml", "workflow.yaml", "zenml*.yaml",
)  # fmt: skip
_PACKAGES = (
    "airflow", "kedro", "prefect", "metaflow", "dagster", "kfp", "luigi", "zenml", "flytekit", "argo_workflows", "hera",
    "sagemaker", "azureml", "azure", "tfx", "ploomber", "mage_ai", "ray", "cdsw", "hamilton", "doit",
)  # fmt: skip
_RUNNERS = (
    "make",
    "just",
    "tox",
    "nox",
    "npm",
    "poe",
    "dvc",
    "ci",
    "task",
    "mise",
    "pixi",
    "shell-script",
    "invoke",
    "pdm",
)
_STEP = re.compile(
    r"make_|sampl|generat|augment|label|prepar|process|clean|ingest|download|fetch|featur|split|extract|train|fit|tune|"
    r"\bval|validat|eval|test|predict|infer|score|export|convert|build|data|(^|_)scal(e|ing)|normali[sz]|filter|merge|aggregat|"
    r"mapp(er|ing)|encod|transform|impute|select|ensembl|blend|stack|submi|annotat|translat|transcri|detect",
    re.I,
)
_NUMBERED = re.compile(r"^(step|stage|part|nb|notebook)?[_-]?(\d{1,2})(\.\d+)?[\s._-]", re.I)
_COMMAND = re.compile(r"\s*(?:[$>!]\s*)?(?:cd \S+ *(?:&&|;) *|CUDA_VISIBLE_DEVICES=\S+ +)*(python[\d.]*\s+\S+\.py\b.*)")
_QUOTED = re.compile(r"`+([^`]+)`+")
# "Run `features.py`": neither a list of files nor a sentence about what something runs tells anybody to run it.
_RUN = re.compile(r"\b(run|execute|launch)\b[^`.]{0,40}`+(\S+\.py)\b", re.I)
# Programs by their names, where nothing tells in which turn they run: what comes before a training, and after it.
_BEFORE = re.compile(
    r"prepare|(?<![a-z])(pre_?)?process|(make|create|build)_(data|csv|list|split|vocab|h5|lmdb|tfrec)|generate_|convert|"
    r"(^|_)split|download|extract_|data_aug|crop_",
    re.I,
)
_AFTER = re.compile(r"^(eval|test|val(id|idate|idation)?$)|evaluat|predict|infer|submi", re.I)
ENOUGH = 3


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import train_entries

    return bool(train_entries(repo)) and any(len(steps(repo)) >= ENOUGH for steps in (_documented, _numbered, _by_name))


@rule(
    id="MLE0411",
    name="no-pipeline",
    step=4,
    severity=MEDIUM,
    title="Steps are run by hand, one after the other",
    why="A step that is forgotten or run out of order leaves stale data in the model, and nobody can repeat the whole.",
    remedy="Write the steps with their inputs and outputs into one pipeline (dvc.yaml, a flow, or make targets).",
    source="Google MLOps level 0; ML Test Score, Infrastructure 3",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    if repo.glob(*_FILES) or repo.uses(*_PACKAGES) or _run_by_tool(repo):
        return
    steps = _documented(repo)
    if len(steps) < ENOUGH:
        steps = _numbered(repo)
        if len(steps) < ENOUGH or not _hand_over(repo, list(steps)):
            steps = _by_name(repo)
            if len(steps) < ENOUGH:
                return
    first = next(iter(steps.values()))
    shown = ", ".join(path.rpartition("/")[2] for path in list(steps)[:4])
    looked_for = ("dvc.yaml", "Makefile target", "Airflow", "Prefect", "Kedro", "MLproject")
    yield Hit([repo.missing(first, looked_for, steps)], title=f"Steps are run by hand, one after the other ({shown})")


def _documented(repo: Repo) -> dict[str, Site]:
    """Scripts of different steps that the README tells to run, by path, a trainer among them."""
    from ml_engineer.assessment.learning import train_entries

    trainers = {entry.module.path for entry in train_entries(repo)}
    found: dict[str, Site] = {}
    for words, site in _told(repo):
        for path in _scripts(words):
            file = next((f for p, f in repo.files.items() if p == path or p.endswith("/" + path)), None)
            if file is None or "test" in file.roles or any(_is_same_step(file.path, known) for known in found):
                continue
            folder = file.folder.rpartition("/")[2]  # features/create.py
            trains = file.path in trainers and found.keys().isdisjoint(trainers)  # other trainers are for other models
            if (
                _STEP.search(file.name)
                or trains
                or folder in ("data", "datasets")
                or _STEP.search(folder.replace("data", ""))
            ):
                found[file.path] = site
    return found if any(path in trainers or re.search(r"train|fit", path, re.I) for path in found) else {}


def _is_same_step(path: str, known: str) -> bool:
    """Whether it is a step for another data set: `a/prepare.py`, `b/prepare.py`; `x_eval.py`, `y_eval.py`."""
    ours, theirs = (p.rpartition("/")[2].rpartition(".")[0] for p in (path, known))
    judges = re.compile(r"(^|.*_)(val(idation)?|eval(uation)?|test|predict|demo)$")
    return ours == theirs or (bool(judges.match(ours)) and ours.rpartition("_")[2] == theirs.rpartition("_")[2])


def _told(repo: Repo) -> Iterator[tuple[tuple[str, ...], Site]]:
    """Commands of the README, in blocks and in its sentences ("Run `features.py` to …"), in the order of its lines."""
    for file in repo.glob("README*"):
        for number, line in enumerate(file.lines, 1):
            if command := _COMMAND.match(line):
                yield tuple(command[1].split()), file.site(number, number)
                continue
            told = [quoted for quoted in _QUOTED.findall(line) if re.match(r"python[\d.]*\s", quoted)]
            told += [match[2] for match in _RUN.finditer(line)]
            for command in told:
                yield tuple(command.split()), file.site(number, number)


def _scripts(words: tuple[str, ...]) -> list[str]:
    return [word.removeprefix("./") for word in words if word.endswith((".py", ".ipynb"))][:1]


def _numbered(repo: Repo) -> dict[str, Site]:
    """Scripts, those of a shell included, or notebooks of one folder whose names begin with their turn."""
    by_folder: dict[str, list[File]] = {}
    for module in repo.modules:
        if _NUMBERED.match(module.file.name) and not module.file.roles & {"test", "docs"}:
            by_folder.setdefault(module.file.folder, []).append(module.file)
    for file in repo.glob("*.sh"):
        if _NUMBERED.match(file.name):
            by_folder.setdefault(file.folder, []).append(file)
    files = max(by_folder.values(), key=len, default=[])
    return {
        f.path: repo.by_path[f.path].site(1) if f.path in repo.by_path else f.site(1)
        for f in sorted(files, key=lambda f: f.name)
    }


def _by_name(repo: Repo) -> dict[str, Site]:
    """A program that prepares, one that trains and one that judges or predicts, side by side, by path. Nothing says
    more of their order than their names."""
    from ml_engineer.assessment.learning import train_entries

    if repo.dependencies.is_library:
        return {}
    trainers = {entry.module.path: entry.module for entry in train_entries(repo) if not entry.module.is_notebook}
    for path, trainer in sorted(trainers.items()):
        beside = [
            module
            for module in repo.modules
            if module.file.folder == trainer.file.folder and module.main_guard and module.path not in trainers
        ]
        plain = [(module, module.file.name.rpartition(".")[0]) for module in beside if "test" not in module.file.roles]
        before = next((module.path for module, name in plain if _BEFORE.search(name)), None)
        after = next((module.path for module, name in plain if _AFTER.search(name)), None)
        if before and after and before != after:
            return {step: repo.by_path[step].site(1) for step in (before, path, after)}
    return {}


def _hand_over(repo: Repo, paths: list[str]) -> bool:
    """Whether one of the numbered files reads what an earlier one writes: otherwise they are lessons, not steps."""
    from ml_engineer.assessment.learning import train_entries

    written: set[str] = set()
    trainers = {entry.module.file.name for entry in train_entries(repo)}
    for path in paths:
        module = repo.by_path.get(path)
        if module is None:  # a script of a shell, which runs a training on what those before it made
            if any(name in repo.files[path].text for name in trainers):
                return True
            continue
        names: dict[str, set[str]] = {}
        for call in module.calls:
            attribute = call.name.rpartition(".")[2]
            values = {v for a in call.node.args if isinstance(v := module.literal(a), str) and "." in v}
            names.setdefault("w" if re.match(r"to_|save|dump|write", attribute) else "r", set()).update(values)
        if written & {value.rpartition("/")[2] for value in names.get("r", set())}:
            return True
        written.update(value.rpartition("/")[2] for value in names.get("w", set()))
    return False


def _run_by_tool(repo: Repo) -> bool:
    """Whether a task runner, a script that runs more than one program, or CI runs a training program."""
    from ml_engineer.assessment.learning import train_entries

    names = {entry.module.file.name for entry in train_entries(repo)}
    scripts: dict[str, set[str]] = {}
    for command in repo.commands:
        if command.origin in _RUNNERS:
            ran = {word.rpartition("/")[2] for word in command.words if word.endswith((".py", ".sh"))}
            ran = {name for name in ran if not re.search(r"plot|show|visual", name)}  # a look at it is no step
            if command.origin == "shell-script":
                scripts.setdefault(command.site.path, set()).update(ran)
            elif not names.isdisjoint(ran):
                return True
    return any(len(ran) > 1 and not names.isdisjoint(ran) for ran in scripts.values())
