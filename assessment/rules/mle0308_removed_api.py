"""M3-08: a call that the declared, or the newest, version of its library no longer has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeGuard, cast

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, LOW, MEDIUM, Hit, SeverityName, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Module
    from ml_engineer.assessment.removal import Removed
    from ml_engineer.assessment.repo import Repo

_NO_FRAME = re.compile(
    r"\.(tolist|to_list|to_dict|keys|items|values|columns|index|split|unique|get|pop|rolling|expanding|resample)\b|\[\]\[\]"
)
# Models that answer with the hidden states and what is pooled from them: unpacked, these are the names of two fields.
_BARE_MODEL = re.compile(
    r"transformers\.(Auto|Bert|Roberta|DistilBert|XLMRoberta|Albert|Electra|Camembert|Deberta|XLNet|Longformer|GPT2|T5)"
    r"Model\.from_pretrained\(\)(\.(to|cuda|eval)\(\))*"
)
# No function of a module, no list, and nothing of libraries whose own containers give themselves back.
_UNKNOWN_OR_PART = re.compile(r"\?|(?!torch|tensorflow|polars|[\[<{])\w[\w.]*[(\[]")
_LOSS = re.compile(r"loss|\berr(or)?(_?[DG])?\b", re.I)
_ACCURACY = re.compile(r"metrics\s*=\s*(\[[^\]]*)?[\"']accuracy[\"']")
_ACC = re.compile(r"(val_)?acc")
_HISTORY = re.compile(r"\.history$|^(hist(ory)?|logs)\w*$")
_STEERED = re.compile(r"(EarlyStopping|ReduceLROnPlateau|logs\.get)$")
_TOKENIZES = frozenset("encode_plus batch_encode_plus as_target_tokenizer prepare_seq2seq_batch".split())
MAX_NAMES = 3  # in a title
_SAME_PACKAGE = {"pytorch-lightning": "lightning", "tensorflow": "tensorflow-cpu tensorflow-gpu"}


@rule(
    id="MLE0308",
    name="removed-api",
    step=3,
    severity=HIGH,
    title="The code uses what its library has removed",
    why="The next fresh installation brings a version without it, and the code fails where it is used.",
    remedy="Use what took its place, or pin the library below the version that removed it.",
    source="torchfix; release notes of the libraries",
    applies=lambda repo: bool(repo.dependencies.third_party),
)
def check(repo: Repo) -> Iterator[Hit]:
    together: dict[tuple[SeverityName, str], list[tuple[Removed, Hit]]] = {}
    for entry, hit in _hits(repo):
        if hit.severity in (HIGH, MEDIUM):
            together.setdefault((hit.severity, entry.since[0][0]), []).append((entry, hit))
        else:
            yield hit
    for (severity, library), found in together.items():
        yield from _of_library(severity, library, found)


def _hits(repo: Repo) -> Iterator[tuple[Removed, Hit]]:
    for module in repo.modules:
        if "test" in module.file.roles:
            continue
        groups: dict[str, list[tuple[Removed, ast.AST]]] = {}
        for entry, node in _uses(repo, module):
            groups.setdefault(entry.family or f"{entry.name}{entry.keyword}", []).append((entry, node))
        for found in groups.values():
            found.sort(key=lambda use: (getattr(use[1], "lineno", 0), getattr(use[1], "col_offset", 0)))
            yield found[0][0], _judged(repo, module, found)


def _of_library(severity: SeverityName, library: str, found: list[tuple[Removed, Hit]]) -> Iterator[Hit]:
    """All that the versions of one library lack which may be installed is one finding, for one bound mends it. The
    first place of every use comes before the second of any."""
    uses = {_named(entry): entry for entry, _ in reversed(found)}
    if len(uses) == 1:
        yield from (hit for _, hit in found)
        return
    names = sorted(uses)
    told = [f"{name} since {uses[name].since[0][1]}" for name in names]
    if len(told) > MAX_NAMES:
        told[MAX_NAMES:] = [f"{len(names) - MAX_NAMES} more"]
    instead = [f"{uses[name].instead} for {name}" for name in names if uses[name].instead]
    noted = [[cast(Site, site)._replace(note=_named(entry)) for site in hit.sites] for entry, hit in found]
    yield Hit(
        [site for places in zip_longest(*noted) for site in places if site is not None],
        severity=severity,
        title=f"{library} has removed what is used here: {', '.join(told)}",
        remedy=f"Pin {library} below the first of these versions, or use {'; '.join(instead)}." if instead else None,
        anchor=f"{severity} {library} {' '.join(names)}",
    )


def _named(entry: Removed, node: ast.AST | None = None) -> str:
    """The API for the reader; what an argument was given to in the words of the code, if there is a call."""
    if entry.family:
        return entry.family
    name = entry.name.replace("*", "…")
    if entry.keyword:
        return f"{entry.keyword}= of {ast.unparse(node.func) if isinstance(node, ast.Call) else name}"
    return f"DataFrame.{name.rpartition('.')[2]}" if entry.name.startswith("pandas.*") else name


def _judged(repo: Repo, module: Module, found: list[tuple[Removed, ast.AST]]) -> Hit:
    """What one file does with one API. Which version may be installed decides how bad it is; files with the same end
    are one finding."""
    entry = found[0][0]
    library, version = entry.since[0]
    sites: list[Site] = list({(s.cell, s.line): s for _, node in found for s in [module.site(node)]}.values())
    shown = _named(entry, found[0][1])
    severity: SeverityName = LOW
    if entry.state == "deprecated":
        told = f"{shown} is deprecated since {library} {version}"
    elif _may_lack(repo, module, entry):
        part = repo.dependencies.only_shows(module.path) or _is_an_extra(repo, library)
        severity = HIGH if entry.state == "removed" and not part else MEDIUM
        newer = repo.dependencies.may_be_below(library, version, near=module.path) is False
        state = "a later one is asked for" if newer else "it may be installed"
        told = f"{shown} is gone since {library} {version}: {state}"
    else:
        told = f"{shown} is gone since {library} {version}: the pinned version still has it"
    return Hit(
        sites,
        severity=severity,
        title=told,
        remedy=f"Use {entry.instead}." if entry.instead else None,
        # whatever the object is called, and whichever of a family comes first
        anchor=f"{severity} {told if entry.family else told.replace(shown, entry.name) + ' ' + entry.keyword}",
    )


def _is_an_extra(repo: Repo, library: str) -> bool:
    """Whether a published package needs a library for an extra only."""
    declared = [d for d in repo.dependencies.of(library) if d.kind != "lock"]
    return repo.dependencies.is_library and bool(declared) and all(d.group for d in declared)


def _may_lack(repo: Repo, module: Module, entry: Removed) -> bool:
    """Whether every declaration near the file that decides the version allows one without it; undeclared is open."""
    from ml_engineer.assessment.pythons import may_run_on, out_of_reach

    for library, version in entry.since:
        if library == "python":
            return may_run_on(repo.dependencies, version, near=module.path)
        if out_of_reach(repo.dependencies, library, version, near=module.path):
            return False
        for name in (library, *_SAME_PACKAGE.get(library, "").split()):
            if repo.dependencies.may_be_at_least(name, version, near=module.path) is False:
                return False
        if not repo.dependencies.of(library) and (
            _images_are_below(repo, library, version) or _readme_is_below(repo, library, version)
        ):
            return False
    return True


def _images_are_below(repo: Repo, library: str, version: str) -> bool:
    """Whether nothing but images of the framework brings it, and their tags all name a version below this one."""
    from packaging.version import Version

    base = {"torch": "pytorch"}.get(library, library)
    stages = [docker.final for docker in repo.dockerfiles]
    images = [stage.image for stage in stages if stage is not None and stage.image.base == base]
    tags = [re.match(r"\d+(\.\d+)+", image.tag) for image in images]
    return bool(tags) and all(tag is not None and Version(tag[0]) < Version(version) for tag in tags)


def _readme_is_below(repo: Repo, library: str, version: str) -> bool:
    """Whether the README asks for one version of it, and that is below this one."""
    from packaging.version import Version

    asked = re.compile(rf"\b{re.escape(library)}(?:\[?-gpu\]?)?\s?==\s?(\d+(?:\.\d+)+)")
    found = [m[1] for file in repo.glob("README*") if "/" not in file.path for m in asked.finditer(file.text)]
    return bool(found) and all(Version(number) < Version(version) for number in found)


def _uses(repo: Repo, module: Module) -> Iterator[tuple[Removed, ast.AST]]:
    from ml_engineer.assessment import removed, removed_tables

    keras = repo.uses("keras", "tensorflow")
    tops = frozenset(item.top for item in repo.facts[module.path].imports)
    words = removed.words(tops, keras)
    torch = "torch" in tops and any(mark in module.file.data for mark in removed.TORCH_MARKS)
    if not torch and words.isdisjoint(re.findall(rb"\w+", module.file.data)):
        return  # none of the names is in the file's bytes, so it need not be parsed
    if torch:
        yield from _of_old_torch(repo, module)
    if not tops.isdisjoint(("pytorch_lightning", "lightning")):
        yield from _epoch_ends(repo, module)
    if not tops.isdisjoint(("keras", "tensorflow")):
        yield from _of_old_keras(module)
    for item in module.imports:
        entry = _lookup(removed.BY_NAME, item.target)
        if entry is not None and not item.guarded and not any(_asks_for_version(test) for test in item.tests):
            named = next((a for a in item.node.names if entry.name.endswith(a.name.rpartition(".")[2])), item.node)
            yield entry, named
    for node in module.nodes(ast.Attribute):
        if node.attr in removed.OF_DATES and isinstance(node.value, ast.Attribute) and node.value.attr == "dt":
            above = module.parent(node)
            if not (isinstance(above, ast.Call) and above.func is node):  # a method of that name is that of polars
                yield removed.OF_DATES[node.attr], node
        if node.attr == "ix" and "pandas" in tops and isinstance(module.parent(node), ast.Subscript):
            yield removed_tables.INDEXER, node
        if node.attr in removed.LAST_PARTS and _is_plain(node):
            entry = removed.BY_NAME.get(module.raw(node))
            if entry is not None and not _guarded(module, node):
                yield entry, node
    for call in module.calls:
        if _steps_a_gym(repo, tops, call) and _unpacked_into(module, call) == 4:
            yield removed.FOUR_VALUES, call.node
        if _BARE_MODEL.fullmatch(call.name) and _unpacked_into(module, call) > 1:
            if b"return_dict" not in module.file.data:
                yield removed.UNPACKED_OUTPUTS, call.node
        found = (
            _by_call(call, keras) or _by_arguments(call) or ("transformers" in tops and _of_transformers(call)) or None
        )
        if found is not None and found is removed.BY_METHOD.get("append") and _is_own_append(repo, call):
            continue
        if found is not None and not _guarded(module, call.node):
            yield found, call.node


def _of_old_torch(repo: Repo, module: Module) -> Iterator[tuple[Removed, ast.AST]]:
    """What the first versions of torch had: an index into a loss, `next` of an iterator, functions without static
    methods."""
    from ml_engineer.assessment import removed

    for call in module.calls:
        if call.name == removed.NEXT_METHOD.name and not call.node.args:
            yield removed.NEXT_METHOD, call.node
    for node in module.nodes(ast.Subscript):
        value, index = node.value, node.slice
        if isinstance(value, ast.Attribute) and value.attr == "data" and isinstance(index, ast.Constant):
            if index.value == 0 and _LOSS.search(ast.unparse(value.value)):
                yield removed.LOSS_DATA, node
    for name, made in module.classes.items():
        if any(module.resolve(base) == removed.LEGACY_FUNCTION.name for base in made.bases):
            forward = module.functions.get(f"{name}.forward")
            if forward is not None and not forward.node.decorator_list:
                yield removed.LEGACY_FUNCTION, made


def _of_old_keras(module: Module) -> Iterator[tuple[Removed, ast.AST]]:
    """What Keras 2 wrote under other names: the accuracy of the history, files of checkpoints and of weights."""
    from ml_engineer.assessment import removed_models

    if _ACCURACY.search(module.file.text):
        for node in module.nodes(ast.Constant):
            if isinstance(node.value, str) and _ACC.fullmatch(node.value) and _is_recorded(module, node):
                yield removed_models.ACC, node
    for call in module.calls:
        if call.name.endswith(".ModelCheckpoint") and "keras" in call.name:
            ending = _ending(module, call.argument(0, "filepath"))
            alone = module.literal(call.keyword("save_weights_only")) is True
            if ending and alone and not ending.endswith(".weights.h5"):
                yield removed_models.WEIGHTS, call.node
            elif ending.endswith(".hdf5") and not alone:
                yield removed_models.CHECKPOINT, call.node
        elif call.name.endswith(".save_weights") and call.node.args:
            ending = _ending(module, call.node.args[0])
            if ending.endswith((".h5", ".hdf5")) and not ending.endswith(".weights.h5"):
                yield removed_models.WEIGHTS, call.node


def _ending(module: Module, path: ast.expr | None) -> str:
    """The text that a path ends in, as far as it is written there; empty where it is not."""
    path = module.value(path)
    if isinstance(path, ast.Call) and path.args:  # os.path.join(folder, "model.h5"), "{}.h5".format(name)
        return _ending(module, path.func.value if _is_text(path.func) else path.args[-1])
    if isinstance(path, ast.BinOp):
        return _ending(module, path.left if isinstance(path.op, ast.Mod) else path.right)
    if isinstance(path, ast.JoinedStr) and path.values:
        path = path.values[-1]
    return path.value if isinstance(path, ast.Constant) and isinstance(path.value, str) else ""


def _is_text(function: ast.expr) -> TypeGuard[ast.Attribute]:
    return isinstance(function, ast.Attribute) and function.attr == "format"


def _is_recorded(module: Module, node: ast.Constant) -> bool:
    """Whether a name of a metric is looked for in what training has recorded."""
    above = module.parent(node)
    if isinstance(above, ast.Subscript):
        return bool(_HISTORY.search(ast.unparse(above.value)))
    if isinstance(above, ast.keyword):
        return above.arg == "monitor"
    return isinstance(above, ast.Call) and bool(_STEERED.search(ast.unparse(above.func)))


def _of_transformers(call: Call) -> Removed | None:
    """Methods of tokenizers, and tasks of the pipeline."""
    from ml_engineer.assessment import removed_models

    if isinstance(call.node.func, ast.Attribute) and call.node.func.attr in _TOKENIZES:
        return next(entry for entry in removed_models.TOKENIZER_METHODS if entry.name == call.node.func.attr)
    if call.name == "transformers.pipeline":
        task = call.module.literal(call.argument(0, "task"))
        if isinstance(task, str) and (task in removed_models.REMOVED_TASKS or task.startswith("translation_")):
            return removed_models.PIPELINE
    return None


def _epoch_ends(repo: Repo, module: Module) -> Iterator[tuple[Removed, ast.AST]]:
    """Hooks of Lightning modules that take the outputs of an epoch."""
    from ml_engineer.assessment import removed
    from ml_engineer.assessment.callgraph import bases

    for name in module.classes:
        hooks = [f for hook in removed.EPOCH_ENDS if (f := module.functions.get(f"{name}.{hook}")) is not None]
        if hooks and any(base.endswith(".LightningModule") for base in bases(repo, f"{module.dotted}.{name}")):
            for hook in hooks:
                yield removed.EPOCH_ENDS[hook.node.name], hook.node


def _by_arguments(call: Call) -> Removed | None:
    """A call that fails by how many arguments it is given, or for want of one."""
    from ml_engineer.assessment import removed
    from ml_engineer.assessment.repo import matches

    arguments = call.node.args
    if any(isinstance(argument, ast.Starred) for argument in arguments) or call.has_unpacked_keywords:
        return None
    if call.name.startswith("librosa."):
        most = removed.POSITIONAL.get(call.name.removeprefix("librosa.").removeprefix("core."))
        return removed.BY_NAME_ONLY if most is not None and len(arguments) > most else None
    if call.name.startswith("seaborn.") and call.name.removeprefix("seaborn.") in removed.PLOTS:
        return removed.PLOTS_BY_NAME if len(arguments) > 1 else None
    needed = removed.NEEDED.get(call.name)
    if needed is not None:
        keyword, place, entry = needed
        return entry if call.keyword(keyword) is None and len(arguments) <= place else None
    if arguments and matches(call.name, removed.SEABORN_STYLES.name):
        style = call.module.literal(arguments[0])
        old = isinstance(style, str) and re.fullmatch(r"seaborn(?!-v0_8)(-\w+)*", style)
        return removed.SEABORN_STYLES if old else None
    return None


def _steps_a_gym(repo: Repo, tops: frozenset[str], call: Call) -> bool:
    """Whether it is the step of an environment of gym: one that is made here, or is handed about as `env`."""
    from ml_engineer.assessment import removed

    if call.name == removed.FOUR_VALUES.name:
        return True
    if "gym" not in tops or not isinstance(call.node.func, ast.Attribute) or call.node.func.attr != "step":
        return False
    known = call.name.startswith("?") and re.fullmatch(r"(self\.)?_?env", ast.unparse(call.node.func.value))
    if known and call.scope is not None and call.scope.node.name == "step":
        return True  # a wrapper that hands its own environment's values on
    return bool(known) and not any(f.node.name == "step" for m in repo.modules for f in m.functions.values())


def _unpacked_into(module: Module, call: Call) -> int:
    """How many names take the value of a call apart; 0 where none do."""
    statement = module.statement_of(call.node)
    if isinstance(statement, ast.Assign) and statement.value is call.node:
        target = statement.targets[0]
        if isinstance(target, ast.Tuple) and not any(isinstance(item, ast.Starred) for item in target.elts):
            return len(target.elts)
    return 0


def _is_plain(node: ast.Attribute) -> bool:
    """Whether it is a chain of attributes of a name, as what is imported is."""
    value = node.value
    while isinstance(value, ast.Attribute):
        value = value.value
    return isinstance(value, ast.Name)


def _lookup(by_name: dict[str, Removed], target: str) -> Removed | None:
    parts = target.split(".")
    for length in range(len(parts), 1, -1):
        entry = by_name.get(".".join(parts[:length]))
        if entry is not None:
            return entry
    return None


def _by_call(call: Call, keras: bool) -> Removed | None:
    from ml_engineer.assessment import removed, removed_tables
    from ml_engineer.assessment.repo import matches

    for keyword in call.node.keywords:
        for entry in removed.BY_KEYWORD.get(keyword.arg or "", ()):
            if matches(call.name, entry.name) and not _excused(call, entry):
                if entry.value is None or call.module.literal(keyword.value) == entry.value:
                    return entry
    if not isinstance(call.node.func, ast.Attribute):
        return None
    method = call.node.func.attr
    gone = removed.BY_METHOD.get(method)
    if method == "drop" and _drops_by_position(call):
        return removed_tables.DROP_AXIS
    if gone is not None:
        if matches(call.name, gone.name) and not _NO_FRAME.search(call.name):
            return gone
        if method in removed_tables.ONLY_OF_FRAMES:
            return gone
        if method == "append" and call.keyword("ignore_index") is not None:
            return gone  # only a table's append takes it
        if method == "append" and _is_tables(call):
            return gone
    return removed.BY_KERAS_METHOD.get(method) if keras else None


def _drops_by_position(call: Call) -> bool:
    """`df.drop("id", 1)`: only a table takes an axis there."""
    axis = call.node.args[1] if len(call.node.args) == 2 else None
    return isinstance(axis, ast.Constant) and type(axis.value) is int and axis.value in (0, 1)


def _excused(call: Call, entry: Removed) -> bool:
    """Whether another argument makes up for the keyword, or the keyword says nothing."""
    if not entry.unless:
        return False
    if (
        call.keyword(entry.unless) is not None
        or len(call.node.args) > 1
        or any(k.arg is None for k in call.node.keywords)
    ):
        return True
    return call.module.literal(call.keyword(entry.keyword)) is None


def _is_tables(call: Call) -> bool:
    """Whether an `append` gives a value that is kept: a list's gives none, so in a file with pandas it is a table's."""
    if not _UNKNOWN_OR_PART.match(call.name) or len(call.node.args) != 1:
        return False
    statement = call.module.statement_of(call.node)
    kept = isinstance(statement, ast.Assign | ast.Return) and statement.value is call.node
    return kept and any(item.top == "pandas" for item in call.module.imports)


def _is_own_append(repo: Repo, call: Call) -> bool:
    """Whether the table of an attribute may be an object of a class here that has an `append` of its own."""
    owner = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
    return isinstance(owner, ast.Attribute) and any(
        b"def append(" in module.file.data for module in repo.modules if "test" not in module.file.roles
    )


def _guarded(module: Module, node: ast.AST) -> bool:
    """Whether it stands in a try block, or behind a test of the version or of the attribute."""
    for parent in module.ancestors(node):
        if isinstance(parent, ast.Try) and any(
            handler.type is None
            or re.search(r"ImportError|AttributeError|Exception|TypeError", ast.unparse(handler.type))
            for handler in parent.handlers
        ):
            return any(node is n for part in parent.body for n in walk(part))
        if isinstance(parent, ast.If | ast.IfExp) and _asks_for_version(parent.test):
            return True
    return False


def _asks_for_version(test: ast.expr) -> bool:
    return re.search(r"version|hasattr|at_?least|_(ge|gt|le|lt)_?\d", ast.unparse(test), re.I) is not None
