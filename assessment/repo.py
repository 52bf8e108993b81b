"""The snapshot that rules read: files, modules, and the resolvers that many rules share.

`Repo.open(root)` lists the tree; everything else is computed on first use and kept. Nothing of the target is imported
or executed. What a rule usually needs:

    repo.calls("torch.load")                 every call of it, in any module that is not vendored, `*` matches anything
    repo.uses("flask")                       is the package imported anywhere
    repo.closure("serve")                    what is reached from the serving entry points: modules and functions
    repo.routes                              registered HTTP handlers
    repo.dockerfiles, .kubernetes, .compose, .workflows    containers, manifests and CI
    repo.glob("Dockerfile*", "**/*.yaml")    files by path pattern
    repo.missing(need, patterns, files)      evidence that something is absent
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ml_engineer.assessment import files as listing
from ml_engineer.assessment.facts import Facts, of_files, of_source
from ml_engineer.assessment.files import File, Listing
from ml_engineer.assessment.git import GitFacts, blob_id
from ml_engineer.assessment.module import Call, Function, Module
from ml_engineer.assessment.paths import Paths
from ml_engineer.assessment.rule import Missing, Site

if TYPE_CHECKING:
    from ml_engineer.assessment.callgraph import Closure
    from ml_engineer.assessment.commands import Commands
    from ml_engineer.assessment.compose import Service
    from ml_engineer.assessment.dependencies import Dependencies
    from ml_engineer.assessment.docker import Dockerfile
    from ml_engineer.assessment.entrypoints import Entry, Route
    from ml_engineer.assessment.kubernetes import Object
    from ml_engineer.assessment.manifests import Parsed
    from ml_engineer.assessment.savedfiles import Artefact
    from ml_engineer.assessment.workflows import Workflow

MAX_SEARCHED_FILES = 12
MAX_KEPT_NAMES = 512  # for each set of patterns
SMALL_TREE_BYTES = 1_000_000  # of Python: rules ask for most of these trees anyway
LARGE_TREE = 250  # Python files; few prototypes have as many, a library or a monorepo has
LARGE_LIBRARY = 400  # modules with a machine-learning import
_PROGRAM_WORDS = (b"__main__", b"add_argument(", b"Flask(", b"FastAPI(", b"handler(event")
_COMMAND = re.compile(rb"@\w+\.(?:route|get|post|command)\(")
_RELEVANT = frozenset(
    "torch tensorflow keras sklearn xgboost lightgbm catboost jax transformers flask fastapi bentoml litserve kserve "
    "streamlit gradio mlflow wandb joblib pickle pandas pyspark airflow prefect dagster lightning pytorch_lightning "
    "onnxruntime fastai statsmodels".split()
)
_HEAD = re.compile(r"[\w.\- ]+")  # folders may be called `api-service`
_WORD = re.compile(rb"\w+")
_T = TypeVar("_T")


class Repo:
    """A repository as the rules see it. Made once for a review; every resolver is computed on first use."""

    def __init__(self, tree: Listing) -> None:
        self.root: Path = tree.root
        self.files: dict[str, File] = tree.files
        self.skipped = tree.skipped
        self.git: GitFacts = tree.git

    @classmethod
    def open(cls, root: Path) -> Repo:
        """List the tree below `root`, an existing folder."""
        return cls(listing.scan(root))

    # --- files ---------------------------------------------------------------------------------------------------

    def glob(self, *patterns: str) -> list[File]:
        """Files whose path matches one of the patterns, case-insensitively, vendored ones and templates left out.

        `*` stops at a slash, `**/` is any number of folders. A pattern without a slash matches the file's name.
        """
        return self._paths.matching(*patterns)

    @cached_property
    def _paths(self) -> Paths:
        return Paths(file for file in self.files.values() if not file.roles & {"vendored", "template"})

    @cached_property
    def dirty(self) -> bool | None:
        """Whether a tracked file differs from HEAD. None without git. Line endings alone are no difference."""
        if self.git.tracked is None:
            return None
        if self.git.staged:
            return True
        for path, blob in self.git.tracked.items():
            file = self.files.get(path)
            if file is None:
                if not (self.root / path).is_symlink() and not (self.root / path).exists():
                    return True
            elif file.size <= listing.MAX_TEXT_BYTES and blob_id(file.data) != blob:
                if blob_id(file.data.replace(b"\r\n", b"\n")) != blob and not _is_lfs(file):
                    return True
        return False

    # --- Python --------------------------------------------------------------------------------------------------

    @cached_property
    def all_modules(self) -> list[Module]:
        """Every Python file and notebook, without vendored ones and templates, by path."""
        found = []
        for file in self.files.values():
            if not file.is_python or file.roles & {"vendored", "template"}:
                continue
            if ".ipynb_checkpoints/" in file.path:  # a copy that Jupyter keeps of a notebook beside it
                continue
            dotted = file.path[: len(file.path) - len(file.suffix)].replace("/", ".").removesuffix(".__init__")
            if dotted == "__init__":
                dotted = ""
            found.append(Module(file, dotted, file.folder.replace("/", "."), self._link, self._defines))
        return found

    @cached_property
    def modules(self) -> list[Module]:
        """The modules that rules look at: all of them, or in a large tree those with a machine-learning import.

        In a machine-learning library (more of these than any prototype has) only its programs and notebooks. What these
        call is followed into every other module; the rest of a large tree is checked for imports and, except for tests,
        for syntax.
        """
        if len(self.all_modules) <= LARGE_TREE:
            return self.all_modules
        relevant = [
            module
            for module in self.all_modules
            if "test" not in module.file.roles and not _RELEVANT.isdisjoint(self.facts[module.path].tops)
        ]
        if len(relevant) <= LARGE_LIBRARY:
            return relevant
        return [m for m in relevant if m.is_notebook or _is_program(m.file)]

    @cached_property
    def by_dotted(self) -> dict[str, Module]:
        return {module.dotted: module for module in self.all_modules}

    @cached_property
    def by_path(self) -> dict[str, Module]:
        return {module.path: module for module in self.all_modules}

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        """Functions and methods by their dotted name inside the repository, looked up module by module."""
        return Definitions(self.by_dotted, lambda module: module.functions)

    @cached_property
    def classes(self) -> Mapping[str, tuple[Module, ast.ClassDef]]:
        """Classes by their dotted name inside the repository, looked up module by module."""
        return Definitions(self.by_dotted, lambda m: {name: (m, node) for name, node in m.classes.items()})

    def calls(self, *patterns: str, tests: bool = True) -> Iterator[Call]:
        """Calls whose resolved name matches one of the patterns; `tests=False` leaves test files out."""
        matcher = _name_matcher(patterns)
        for module in self._may_call(patterns):
            if not tests and "test" in module.file.roles:
                continue
            names = set(filter(matcher, module.call_names))
            if names:
                yield from (call for call in module.calls if call.name in names)

    def _may_call(self, patterns: tuple[str, ...]) -> list[Module]:
        """Modules whose bytes hold the words of one of the patterns; a star import may bring what has no word here."""
        wanted = _words(patterns)
        if not wanted:
            return self.modules
        found: set[Module] = set()
        for words in wanted:
            found |= self._holding(words[0]) & self._holding(words[-1])
        if self._starred:
            for words in wanted:
                found |= self._starred & (self._holding(words[0]) | self._holding(words[-1]))
        return [module for module in self.modules if module in found]

    def _holding(self, word: bytes) -> frozenset[Module]:
        """Modules with the word in their bytes, kept: many rules look for the same words."""
        found = self._held.get(word)
        if found is None:
            holders = self._module_bytes if word in self._vocabulary else ()
            found = self._held[word] = frozenset([module for module, data in holders if word in data])
        return found

    @cached_property
    def _vocabulary(self) -> bytes:
        """Every word of the modules once: most words that rules look for are in none of them."""
        return b"\n".join({word for _, data in self._module_bytes for word in _WORD.findall(data)})

    @cached_property
    def _module_bytes(self) -> list[tuple[Module, bytes]]:
        return [(module, module.file.data) for module in self.modules]

    @cached_property
    def _starred(self) -> frozenset[Module]:
        return frozenset(module for module in self.modules if b"import *" in module.file.data)

    @cached_property
    def _held(self) -> dict[bytes, frozenset[Module]]:
        return {}

    def uses(self, *packages: str) -> bool:
        """Whether one of the top-level packages is imported anywhere outside tests."""
        return any(package in self.imported for package in packages)

    @cached_property
    def facts(self) -> dict[str, Facts]:
        """What every module imports and where it does not parse, by path; in a small tree the modules are parsed."""
        if sum(module.file.size for module in self.all_modules) <= SMALL_TREE_BYTES:
            return {module.path: of_source(module.source) for module in self.all_modules}
        return of_files(module.file for module in self.all_modules)

    @cached_property
    def imported(self) -> dict[str, list[tuple[Module, int]]]:
        """Top-level package -> modules that import it and the line (tests and local modules left out)."""
        found: dict[str, list[tuple[Module, int]]] = {}
        for module in self.all_modules:
            if "test" in module.file.roles:
                continue
            for item in self.facts[module.path].imports:
                if item.top and self.local(module, item.target) is None:
                    found.setdefault(item.top, []).append((module, item.line))
        return found

    def local(self, module: Module, name: str) -> tuple[Module, str] | None:
        """The module of this repository that a dotted name, as written in `module`, leads to, and the rest of it."""
        first = name.split(".", 1)[0]
        if first not in self._local_names:
            return None
        installed = self._subprojects.get(first)
        best: tuple[Module, list[str]] | None = None
        for base in [*module.import_bases, *self._search_path, *([installed] if installed is not None else ())]:
            whole = f"{base}.{first}" if base else first
            if whole not in self._packages:
                continue
            parts = f"{base}.{name}".lstrip(".").split(".")
            for length in range(len(parts), base.count(".") + 1 if base else 0, -1):
                found = self.by_dotted.get(".".join(parts[:length]))
                if found is module and best is not None:
                    return None  # the module's own full name
                if found is not None and (found is not module or length == len(parts)):
                    if len(parts) - length < 2:
                        return found, ".".join(parts[length:])
                    # A folder in a folder of the same name: what explains more of the name from further up is meant.
                    if best is None or len(parts) - length < len(best[1]):
                        best = found, parts[length:]
                    break
        return (best[0], ".".join(best[1])) if best is not None else None

    def _defines(self, module: Module, name: str) -> bool:
        """Whether a dotted name, as written in a module, is one that a module of this repository makes."""
        found = self.local(module, name)
        if found is None or not found[1]:
            return False
        target, first = found[0], found[1].split(".", 1)[0]
        return first in target.functions or first in target.classes or bool(target.bindings_of(first, None))

    @cached_property
    def _search_path(self) -> tuple[str, ...]:
        from ml_engineer.assessment.searchpath import declared_roots

        return declared_roots(self)

    @cached_property
    def _subprojects(self) -> dict[str, str]:
        """Package name -> dotted folder that holds it, for packages of projects below the root: code elsewhere in the
        repository imports them because they are installed. A name that two projects have leads nowhere."""
        found: dict[str, set[str]] = {}
        folders = {file.folder for file in self.glob("pyproject.toml", "setup.py", "setup.cfg") if file.folder}
        for module in self.all_modules:
            package, _, name = module.file.folder.rpartition("/")
            if module.file.name == "__init__.py" and (package in folders or package.removesuffix("/src") in folders):
                found.setdefault(name, set()).add(package.replace("/", "."))
        return {name: places.pop() for name, places in found.items() if len(places) == 1}

    @cached_property
    def _local_names(self) -> frozenset[str]:
        """Every part of a module's dotted name: what the first part of a local name can be."""
        return frozenset(part for module in self.all_modules for part in module.dotted.split("."))

    @cached_property
    def _packages(self) -> frozenset[str]:
        """Every dotted name of a module and of what it lies in."""
        found: set[str] = set()
        for dotted in self.by_dotted:
            while dotted and dotted not in found:
                found.add(dotted)
                dotted = dotted.rpartition(".")[0]
        return frozenset(found)

    def _link(self, module: Module, name: str) -> str:
        """Where a name as written in `module` is defined in this repository; kept, for names return again and again."""
        linked = self._linked.get((module, name))
        if linked is None:
            linked = self._linked[module, name] = self._follow(module, name)
        return linked

    @cached_property
    def _linked(self) -> dict[tuple[Module, str], str]:
        return {}

    def _follow(self, module: Module, name: str) -> str:
        """Rewrite a name as written in `module` to where it is defined in this repository, through re-exports."""
        for _ in range(8):
            head = _HEAD.match(name)
            if head is None:
                return name
            found = self.local(module, head[0])
            if found is None:
                return name
            target, rest = found
            tail = name[head.end() :]
            first, _, more = rest.partition(".")
            more = f".{more}" if more else ""
            if not first:
                shadow = self._shadowed(target)
                return f"{shadow or target.dotted}{tail}"
            if rest in target.functions or first in target.classes or first in target.functions:
                return f"{target.dotted}.{rest}{tail}"
            bindings = target.bindings_of(first, None)
            if not bindings:
                passed_on = self._through_star(target, first)
                if passed_on is None:
                    return f"{target.dotted}.{rest}{tail}"
                module, name = passed_on, f"{passed_on.dotted}.{rest}{tail}"
                continue
            bound = bindings[-1]
            if bound.target is None:
                if bound.value is None:
                    return f"{target.dotted}.{rest}{tail}"
                linked = target.raw(bound.value) + bound.suffix + more + tail
            else:
                linked = bound.target + more + tail
            if linked == name and target is module:
                return name
            module, name = target, linked
        return name

    def _shadowed(self, module: Module) -> str | None:
        """What hides a submodule of the same name: `from .setup import setup` in the package's `__init__`."""
        package, _, name = module.dotted.rpartition(".")
        parent = self.by_dotted.get(package)
        if parent is None or not parent.path.endswith("__init__.py"):
            return None
        inner = f"{module.dotted}.{name}"
        bound = parent.bindings_of(name, None)[-1:]
        known = name in module.functions or name in module.classes
        return inner if known and bound and bound[0].target == inner else None

    def _through_star(self, module: Module, name: str) -> Module | None:
        """The module of this repository that `from x import *` in `module` brings a name from."""
        if name.startswith("__"):
            return None  # `__file__` and its like are each module's own
        for item in module.imports:
            if not item.star:
                continue
            source = self.by_dotted.get(item.target)
            if source is None or source is module:
                found = self.local(module, item.target)
                source = found[0] if found is not None and not found[1] else None
            if source is None or source is module or name.encode() not in source.file.data:
                continue  # what its bytes lack it defines nowhere: it need not be parsed
            if name in source.functions or name in source.classes or source.bindings_of(name, None):
                return source
        return None

    # --- resolvers, each in its own file -------------------------------------------------------------------------

    @cached_property
    def routes(self) -> list[Route]:
        """HTTP handlers that are really registered, functions of serverless platforms included."""
        from ml_engineer.assessment.entrypoints import find_routes

        return find_routes(self)

    @cached_property
    def entries(self) -> list[Entry]:
        """Entry points: train, serve, evaluate, predict."""
        from ml_engineer.assessment.entrypoints import find_entries

        return find_entries(self)

    @lru_cache(maxsize=16)  # noqa: B019 - a Repo lives as long as the review
    def closure(self, *kinds: str) -> Closure:
        """What is reached from the entry points of these kinds: modules and functions."""
        from ml_engineer.assessment.callgraph import closure_of

        return closure_of(self, [entry for entry in self.entries if entry.kind in kinds])

    @cached_property
    def dependencies(self) -> Dependencies:
        """Declared versions, from requirements, pyproject, conda, Docker, notebooks and locks."""
        from ml_engineer.assessment.dependencies import Dependencies

        return Dependencies(self)

    @cached_property
    def artefacts(self) -> list[Artefact]:
        """Saved models, read without loading them: globals, versions, problems."""
        from ml_engineer.assessment.savedfiles import find_artefacts

        return find_artefacts(self)

    @cached_property
    def commands(self) -> Commands:
        """What containers, CI, task runners, scripts and documents run."""
        from ml_engineer.assessment.commands import Commands

        return Commands(self)

    @cached_property
    def dockerfiles(self) -> list[Dockerfile]:
        """Parsed Dockerfiles, with their stages and build contexts."""
        from ml_engineer.assessment.docker import find_dockerfiles

        return find_dockerfiles(self)

    def kept(self, name: str) -> dict[Any, Any]:
        """What a resolver has worked out for this repository, by its own keys: empty at first, gone with the review."""
        return self._kept.setdefault(name, {})

    @cached_property
    def _kept(self) -> dict[str, dict[Any, Any]]:
        return {}

    def yaml(self, file: File) -> Parsed:
        """The documents of a YAML file with line numbers, and what could not be parsed. Parsed once."""
        parsed: dict[str, Parsed] = self.kept("yaml")
        if file.path not in parsed:
            from ml_engineer.assessment.manifests import read

            parsed[file.path] = read(self, file)
        return parsed[file.path]

    @cached_property
    def kubernetes(self) -> list[Object]:
        """Kubernetes objects, those of Helm charts included."""
        from ml_engineer.assessment.kubernetes import find_objects

        return find_objects(self)

    @cached_property
    def compose(self) -> list[Service]:
        """Services of Docker Compose files."""
        from ml_engineer.assessment.compose import find_services

        return find_services(self)

    @cached_property
    def workflows(self) -> list[Workflow]:
        """Pipelines of CI services: jobs and steps."""
        from ml_engineer.assessment.workflows import find_workflows

        return find_workflows(self)

    @cached_property
    def parse_problems(self) -> list[tuple[Site, str]]:
        """Places where YAML or a Dockerfile cannot be parsed, with the reason."""
        from ml_engineer.assessment.manifests import parse_problems

        return parse_problems(self)

    # --- evidence ------------------------------------------------------------------------------------------------

    def missing(self, need: Site, patterns: Iterable[str], files: Iterable[File | Module | str] = ()) -> Missing:
        """Evidence that something is absent: the site that needs it, what was looked for, and where."""
        paths = sorted({f if isinstance(f, str) else f.path for f in files})
        if len(paths) > MAX_SEARCHED_FILES:
            paths = [*paths[:MAX_SEARCHED_FILES], f"and {len(paths) - MAX_SEARCHED_FILES} more files"]
        return Missing(need, tuple(patterns), tuple(paths) or ("every file of the repository",))


class Definitions(Mapping[str, _T]):
    """What modules define, by dotted name. Only the module that a name leads to is parsed, unless all are listed."""

    def __init__(self, modules: Mapping[str, Module], defined: Callable[[Module], Mapping[str, _T]]) -> None:
        self._modules = modules
        self._defined = defined
        self._known: dict[Module, Mapping[str, _T]] = {}
        self._holders: dict[str, tuple[Module, str] | None] = {}

    def _of(self, module: Module) -> Mapping[str, _T]:
        if module not in self._known:
            self._known[module] = self._defined(module)
        return self._known[module]

    def _holder(self, dotted: str) -> tuple[Module, str] | None:
        """The module that defines a name, and the name inside it; kept, for the same names are asked for by many."""
        if dotted not in self._holders:
            self._holders[dotted] = self._find(dotted)
        return self._holders[dotted]

    def _find(self, dotted: str) -> tuple[Module, str] | None:
        head, _, rest = dotted.rpartition(".")
        while True:
            module = self._modules.get(head)
            if module is not None and rest in self._of(module):
                return module, rest
            if not head:
                return None
            head, _, last = head.rpartition(".")
            rest = f"{last}.{rest}"

    def __getitem__(self, dotted: str) -> _T:
        found = self._holder(dotted)
        if found is None:
            raise KeyError(dotted)
        return self._of(found[0])[found[1]]

    def __contains__(self, dotted: object) -> bool:
        return isinstance(dotted, str) and self._holder(dotted) is not None

    def __iter__(self) -> Iterator[str]:
        for dotted, module in self._modules.items():
            yield from (f"{dotted}.{name}" for name in self._of(module))

    def __len__(self) -> int:
        return sum(len(self._of(module)) for module in self._modules.values())


def _is_program(file: File) -> bool:
    with file.borrowed():
        return any(word in file.data for word in _PROGRAM_WORDS) or _COMMAND.search(file.data) is not None


def _is_lfs(file: File) -> bool:
    return file.data.startswith(b"version https://git-lfs.github.com/spec/")


@lru_cache(maxsize=1024)
def _words(patterns: tuple[str, ...]) -> tuple[tuple[bytes, ...], ...]:
    """For each pattern words that a file with such a call has in its text; nothing where a pattern has no word.

    Cheap to look for in the bytes, so that most files of a large tree are never parsed. A plain function needs its
    package in the file; a method may be called on an object that came from another module.
    """
    wanted = []
    for pattern in patterns:
        words = [word for word in re.findall(r"\w+", pattern) if len(word) > 1]
        if not words:
            return ()
        plain = "()" not in pattern and pattern[0] not in "*?" and "." in pattern
        wanted.append(tuple({words[0].encode(), words[-1].encode()} if plain else {words[-1].encode()}))
    return tuple(dict.fromkeys(wanted))


class _Matcher(dict[str, bool]):
    """Whether a name matches one of the patterns, kept for the names asked of late.

    Most patterns have no star, or one at an end: those need no regular expression, of which making one costs more than
    all that a small tree asks of it.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        super().__init__()
        self._whole = frozenset(pattern for pattern in patterns if "*" not in pattern)
        single = [pattern for pattern in patterns if pattern.count("*") == 1]
        self._heads = tuple(pattern[:-1] for pattern in single if pattern[-1] == "*")
        self._methods = frozenset(p[1:] for p in single if p[0] == "*" and p.rfind(".") == 1)
        self._tails = tuple(p[1:] for p in single if p[0] == "*" and p.rfind(".") != 1)
        others = [p for p in patterns if p not in self._whole and (p not in single or "*" in p[1:-1])]
        expression = "|".join(re.escape(p).replace(r"\*", ".*") for p in others)
        self._other = re.compile(expression).fullmatch if others else None

    def __missing__(self, name: str) -> bool:
        if len(self) >= MAX_KEPT_NAMES:
            self.clear()
        self[name] = found = (
            name in self._whole
            or name[name.rfind(".") :] in self._methods
            or name.startswith(self._heads)
            or name.endswith(self._tails)
            or (self._other is not None and self._other(name) is not None)
        )
        return found


@lru_cache(maxsize=1024)
def _name_matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    return _Matcher(patterns).__getitem__


def matches(name: str, *patterns: str) -> bool:
    """Whether a resolved name matches one of the patterns; `*` matches anything."""
    return _name_matcher(patterns)(name)


def matching(names: Iterable[str], *patterns: str) -> set[str]:
    """The names that match one of the patterns."""
    return set(filter(_name_matcher(patterns), names))
