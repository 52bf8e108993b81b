"""M2-08: a training whose parameters are spread over the code as literals, with no configuration at all."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.entrypoints import Entry, is_training_call
from ml_engineer.assessment.learning import entry_closure, train_entries
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Missing, SeverityName, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.repo import Repo

MIN_LITERALS = 10
TINY_LINES = 40
_CONFIG_PACKAGES = (
    "argparse", "hydra", "omegaconf", "yaml", "ruamel", "pydantic_settings", "click", "typer", "fire", "absl",
    "configparser",
    "toml", "tomllib", "dynaconf", "gin", "ml_collections", "jsonargparse", "decouple", "environ", "dotenv", "confuse",
    "tyro", "simple_parsing", "box", "docopt", "optparse", "kedro", "sacred", "configargparse", "draccus",
)  # fmt: skip
_CONFIG_CALLS = (
    "os.getenv",
    "os.environ.get",
    "*.TrainingArguments",
    "*HfArgumentParser",
    "wandb.config*",
)
# Names of what is tuned, or says how large the parts of a network and of its training are.
_TUNED = re.compile(
    r"(^|_)(lr|rate|batch|bs|epochs?|iter\w*|steps?|momentum|decay\w*|dropout|hidden\w*|embed\w*|dims?|layers?|gamma|"
    r"beta\d?|alpha|lambda\w*|workers|patience|size|length|width|height|classes|channels|margin|clip\w*|freq|interval)"
    r"(_|\d|$)",
    re.I,
)
_SETTINGS = re.compile(r"config|conf\b|cfg|param|setting|option|\bopts?\b|args|hyper", re.I)
_PARAMETERS = re.compile(
    r"sklearn\.|imblearn\.|xgboost\.|lightgbm\.|catboost\.|torch\.(optim|utils\.data)\.|(tensorflow\.)?keras\.|"
    r"tensorflow\.|statsmodels\.|torchvision\.transforms|.*(DataLoader|Classifier|Regressor|Optimizer)$"
)


def _trains(repo: Repo) -> bool:
    return bool(train_entries(repo))


@rule(
    id="MLE0208",
    name="config-debt",
    step=2,
    severity=MEDIUM,
    title="Training has its parameters in the code, and no configuration",
    why="A run with other parameters is an edit of the code, and nobody can say later which ones made the model.",
    remedy="Collect the parameters in one typed configuration or a params.yaml, and record it with each run.",
    source="Hidden Technical Debt",
    applies=_trains,
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site | Missing] = []
    most = 0
    severity: SeverityName = LOW
    for entry in sorted(train_entries(repo), key=lambda e: (e.module.is_notebook, e.module.path)):
        count, first = _literals(repo, entry)
        if first is None or count < MIN_LITERALS or _is_configured(repo, entry):
            continue
        most = max(most, count)
        if not entry.module.is_notebook and _code_lines(entry) >= TINY_LINES:
            severity = MEDIUM
        sites.append(repo.missing(first.site(), ["argparse", "Hydra", "YAML", "pydantic-settings"], [entry.module]))
    if sites:
        yield Hit(
            sites,
            severity=severity,
            title=f"Training has {most} numbers in its code, and no configuration",
            anchor="config",
        )


def _literals(repo: Repo, entry: Entry) -> tuple[int, Call | None]:
    """How many numbers stand in the calls of models, optimisers, loaders and fits, and the first such call."""
    closure = entry_closure(repo, entry)
    count, first = 0, None
    for module in sorted(closure.modules, key=lambda m: (m is not entry.module, m.path)):
        for call in module.calls:
            if not (_PARAMETERS.match(call.name) or is_training_call(call)) or not closure.covers(module, call.node):
                continue
            numbers = sum(
                _numbers(module, value) for value in [*call.node.args, *(k.value for k in call.node.keywords)]
            )
            if numbers:
                count += numbers
                first = first or call
    return max(count, _settings(entry)), first


def _settings(entry: Entry) -> int:
    """How many numbers a script keeps under names of its own: `lr = 1e-3`, `decay_at = [80, 100]`."""
    if entry.module.is_notebook:
        return 0
    kept: dict[str, int] = {}
    for node in entry.module.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _TUNED.search(name):
                items = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
                kept[name] = sum(map(_is_number, items))
    return sum(kept.values())


def _numbers(module: Module, node: ast.expr) -> int:
    """How many numbers an argument holds: itself, or those of the table of parameters that it is."""
    if isinstance(node, ast.Name):
        node = module.value(node) or node
    match node:
        case ast.Dict(values=values):
            return sum(_is_number(value) for value in values)
        case ast.IfExp(body=body, orelse=orelse):
            return _numbers(module, body) + _numbers(module, orelse)
    return _is_number(node)


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _is_configured(repo: Repo, entry: Entry) -> bool:
    closure = entry_closure(repo, entry)
    if closure.imports(*_CONFIG_PACKAGES):
        return True
    names = [name for module in closure.modules for name in module.call_names]
    if any(matches(name, *_CONFIG_CALLS) for name in names):
        return True
    if any(_SETTINGS.search(_around(call)) for call in closure.calls("json.load")):
        return True
    if any("sys.argv" in module.file.text for module in closure.modules if not module.is_notebook):
        return True
    return any(
        re.search(r"(^|[._])(config|settings|params|hparams|hyperparameters|cfg)\b", i.target, re.I)
        for m in closure.modules
        for i in m.imports
    )


def _around(call: Call) -> str:
    """The statement that reads a file, with the block that opens it: whether it holds settings or rows."""
    block = call.module.enclosing(call.node, ast.With)
    opened = [ast.unparse(item) for item in block.items] if isinstance(block, ast.With) else []
    return " ".join([ast.unparse(call.module.statement_of(call.node)), *opened])


def _code_lines(entry: Entry) -> int:
    return sum(1 for line in entry.module.file.lines if line.strip() and not line.strip().startswith("#"))
