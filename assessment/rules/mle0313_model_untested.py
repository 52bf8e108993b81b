"""M3-13: no test imports the code that builds, trains or loads the model."""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import values
from ml_engineer.assessment.callgraph import bases, closure_of
from ml_engineer.assessment.entrypoints import Entry, is_training_call
from ml_engineer.assessment.learning import trainings
from ml_engineer.assessment.reachable import worked
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

_KERAS_MODELS = ("*keras.Model", "*keras.models.Model", "*keras.Sequential")
_TEST_FILE = re.compile(r"^(test_.*|.*_tests?|tests?|conftest)\.(py|ipynb)$")
_FRAMEWORKS = frozenset({"torch", "torchvision", "keras", "tensorflow", "lightning", "pytorch_lightning"})
_NETWORK = re.compile(rb"class \w+\([^)]*\b(nn\.Module|LightningModule|keras\.Model|Sequential)\b")
_MAX_FOLLOWED = 2_000  # files of a large tree
_MAX_READ = 300  # tests, for what they start by its name
_STARTERS = re.compile(
    r"subprocess|runpy|os\.system|importlib|CliRunner|papermill|sys\.executable|run_command|run_sh_command|monkeypatch"
)
# What loads a model and can load nothing else: it counts wherever it stands.
_MODELS_ONLY = (
    "*.from_pretrained", "*keras.models.load_model", "torch.jit.load", "torch.hub.load", "*.load_from_checkpoint",
    "onnxruntime.InferenceSession", "transformers.pipeline", "transformers.pipelines.pipeline", "timm.create_model",
    "sentence_transformers.SentenceTransformer", "ultralytics.YOLO", "tensorflow.saved_model.load",
    "open_clip.create_model*", "mlflow.*.load_model", "llama_cpp.Llama", "langchain*.CTransformers",
    "langchain*.LlamaCpp", "langchain*.GPT4All", "gpt4all.GPT4All",
)  # fmt: skip
_SHOWS = re.compile(r"(^|/)(examples?|samples?|demos?|tutorials?)/", re.I)
_NO_WEIGHTS = re.compile(r"\w*(Tokenizer|Processor|Extractor|Config)\w*\.from_pretrained$")
# Models that a library brings with their weights.
_READY_MADE = ("torchvision.models.*", "*keras.applications.*", "tensorflow_hub.load", "tensorflow_hub.KerasLayer")


def _model_calls(repo: Repo) -> list[Call]:
    """Where `.py` files train the model, or failing that load it to answer with it."""
    found = [call for call in trainings(repo) if not call.module.is_notebook]
    if not found:
        loads = repo.closure("serve", "predict").calls(*values.ARTEFACT_LOADERS, *_READY_MADE)
        found = [c for c in loads if not c.module.is_notebook and "test" not in c.module.file.roles]
    if not found:
        loads = (c for c in repo.calls(*_MODELS_ONLY, tests=False) if not _NO_WEIGHTS.search(c.name))
        found = [c for c in loads if _is_product(c.module)]
    return found


def _networks(repo: Repo) -> list[Module]:
    """Modules that define a network, where nothing here trains or loads one: a model server does it."""
    return [m for m in repo.modules if _is_product(m) and _builds(repo, m)]


def _is_product(module: Module) -> bool:
    """Whether a program is more than a test, a notebook or a demonstration."""
    return not module.is_notebook and not module.file.roles & {"test", "docs"} and not _SHOWS.search(module.path)


def _has_model(repo: Repo) -> bool:
    return bool(_model_calls(repo) or _networks(repo))


@rule(
    id="MLE0313",
    name="model-untested",
    step=3,
    severity=HIGH,
    title="No test reaches the code that makes or loads the model",
    why="A change that breaks training, shapes or predictions is seen only in production.",
    remedy="Test output shapes, that one batch can be overfitted, and a prediction on a known input.",
    source="ML Test Score Infra-2, Data-7; mllint",
    peers=("devops-engineer",),
    applies=_has_model,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.ci import tries

    calls = _model_calls(repo)
    networks = [] if calls else _networks(repo)
    subjects = _subjects(repo, calls) | set(networks)
    if len(repo.modules) < len(repo.all_modules):  # in a large tree tests are not among the modules
        tests = [m for m in repo.all_modules if "test" in m.file.roles and _TEST_FILE.match(m.file.name)]
        if _imports_lead_to(repo, tests, subjects):
            return
    else:
        started = _started(repo)
        tests = [m for m in repo.modules if "test" in m.file.roles and (_is_test(m) or m.path in started)]
        automatic = _started(repo, "tox", "nox", "ci")
        tests += [m for m in repo.modules if m.path in automatic and "test" not in m.file.roles and _asserts(m)]
        entries = [Entry("evaluate", module, None, module.site(1)) for module in tests]
        for module in tests:  # a test may import what it tests itself
            inside = {module.scope_of(i.node) for i in module.imports if repo.local(module, i.target) is not None}
            entries += [Entry("evaluate", module, scope, module.site(1)) for scope in inside if scope is not None]
        reached = closure_of(repo, entries).modules
        if subjects & reached or any("test" not in m.file.roles and _builds(repo, m) for m in reached):
            return
    if any(_runs(test, subjects) for test in tests[:_MAX_READ]) or _fill_in_the_template(repo, tests):
        return
    if networks:
        need = networks[0].site(next(iter(networks[0].classes.values())))
    else:
        need = min(calls, key=lambda call: (_rank(call), call.module.path.count("/"))).site()
    tried = not tests and any(tries(repo, step) for workflow in repo.workflows for step in workflow.steps)
    tried = tried or not {module.path for module in subjects}.isdisjoint(_started(repo, "ci"))
    searched: list[Module | str] = [*tests] if tests else ["test_*.py", "*_test.py", "tests/**"]
    yield Hit(
        [repo.missing(need, ["a test whose imports lead here"], searched)],
        severity=MEDIUM if tried else HIGH,
        title=None if tests else "There is no test of the model's code",
        anchor="model",
    )


def _rank(call: Call) -> int:
    """0 for the file that is named after training, the likeliest place for the training that counts."""
    name = call.module.file.name.lower()
    return 0 if "train" in name else 1 if re.match(r"main|run|model|fit|app", name) else 2


def _subjects(repo: Repo, calls: Iterable[Call]) -> set[Module]:
    """Modules that build, train or load the model."""
    found = {call.module for call in calls}
    for module in worked(repo).modules:
        if module.is_notebook:
            continue
        if any(is_training_call(call) for call in module.calls) or _builds(repo, module):
            found.add(module)
    found |= {call.module for call in repo.closure("serve", "predict").calls(*values.ARTEFACT_LOADERS)}
    return {module for module in found if "test" not in module.file.roles}


def _builds(repo: Repo, module: Module) -> bool:
    """Whether a module defines a network of torch or Keras, or puts one together in a function."""
    if not any(item.top in ("torch", "torchvision", "keras", "tensorflow") for item in module.imports):
        return False
    if any(call.scope is not None and matches(call.name, *_KERAS_MODELS) for call in module.calls):
        return True
    names = [f"{module.dotted}.{name}" for name in module.classes]
    return any(
        values.is_torch_class(repo, name) or any(matches(base, *_KERAS_MODELS) for base in bases(repo, name))
        for name in names
    )


def _imports_lead_to(repo: Repo, tests: list[Module], subjects: set[Module]) -> bool:
    """Whether imports alone, which are known without parsing, lead from a test to a subject or to some network."""
    seen, queue = set(tests), deque(tests)
    asked: set[tuple[str, str]] = set()
    while queue and len(seen) - len(tests) < _MAX_FOLLOWED:
        module = queue.popleft()
        for item in repo.facts[module.path].imports:
            name = item.target
            if item.level:
                above = module.package.split(".") if module.package else []
                name = ".".join([*above[: len(above) - item.level + 1], name])
            if (module.package, name) in asked:
                continue
            asked.add((module.package, name))
            found = repo.local(module, name)
            if found is None or found[0] in seen:
                continue
            target = found[0]
            frameworks = _FRAMEWORKS & repo.facts[target.path].tops
            if target in subjects or (frameworks and _NETWORK.search(target.file.data)):
                return True
            seen.add(target)
            queue.append(target)
    return False


def _is_test(module: Module) -> bool:
    """Whether a test runner collects it: named so and with a test in it, or a file of fixtures."""
    if not _TEST_FILE.match(module.file.name) and not module.is_notebook:
        return False
    return any(f.node.name.startswith("test") for f in module.functions.values()) or module.file.name == "conftest.py"


def _asserts(module: Module) -> bool:
    """Whether a script compares what it gets when it runs: an example that CI runs is a test of what it asserts."""
    return any(module.scope_of(node) is None for node in module.nodes(ast.Assert))


def _started(repo: Repo, *origins: str) -> set[str]:
    """Files that a task runner or CI runs as plain scripts: of those below a folder of tests, tests without pytest."""
    commands = repo.commands.of(*origins or ("tox", "nox", "make", "just", "ci"))
    return {path for command in commands for path in repo.commands.runs(command)}


def _fill_in_the_template(repo: Repo, tests: list[Module]) -> bool:
    """Whether the repository is a template, of which tests make a project to run."""
    if not {"copier.yml", "copier.yaml", "cookiecutter.json"} & repo.files.keys():
        return False
    return any(re.search(r"\bcopier\b|\bcookiecutter\b|\bcookies\.bake\b", test.file.text) for test in tests)


def _runs(test: Module, subjects: set[Module]) -> bool:
    """Whether a test starts one of the files by its name, or has a framework start it."""
    text = test.file.text
    if not _STARTERS.search(text):
        return False
    return any(
        re.search(rf"(?<!\w){re.escape(module.file.name)}\b", text) or (module.dotted and module.dotted in text)
        for module in subjects
    )
