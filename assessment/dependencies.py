"""Declared versions: what the repository asks to be installed, from every file that can say so.

    repo.dependencies.of("torch")                       every declaration of it, locks included
    repo.dependencies.locked("torch")                   the version that a lock names, or None
    repo.dependencies.pinned("numpy")                   the one version that the declarations allow, or None
    repo.dependencies.may_be_below("torch", "2.6")      True, False, or None where it is not declared at all
    repo.dependencies.pythons                           versions of Python asked for

Where a question names a file (`near=`), the declarations closest to it count: those in its own folder, else in the
folder above, and so on; an entry point lives in its own environment. A lock beside them wins, because it is what gets
installed. Names are canonical distribution names ("scikit-learn"), see `distributions.providers` for import names.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from ml_engineer.assessment import declarations as read
from ml_engineer.assessment import platformfiles, setupfile
from ml_engineer.assessment.declarations import Declared, PythonDeclared
from ml_engineer.assessment.distributions import PLATFORM, canonical, is_standard, providers

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.module import Import, Module
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rule import Site

_LOCKS = ("poetry.lock", "uv.lock", "pdm.lock", "pylock.toml", "pylock.*.toml", "Pipfile.lock", "conda-lock.yml")
_CI = (
    ".github/workflows/*.yml", ".github/workflows/*.yaml", ".gitlab-ci.yml", ".travis.yml", "azure-pipelines*.yml",
    ".circleci/config.yml", "bitbucket-pipelines.yml",
)  # fmt: skip
_TEMPLATE = re.compile(r"^[A-Za-z_]\w*\.py\.(in|example|sample|template|tmpl|dist|j2|jinja2?)$")
_REQUIREMENTS = re.compile(
    r"(^|/)([\w.-]*(requirements?|reqs?|constraints)[\w.-]*|(requirements|deps|dependencies)/[^/]+)\.(txt|in|pip)$",
    re.I,
)
_FIXED = re.compile(r"[A-Za-z][\w.-]*(\[[\w,-]+\])?==\d[\w.+!-]*\s*$")
_EPSILON = ".99999"
# Beside a package that is published: what stands there is in no installation of it.
_BESIDE = re.compile(
    r"^(experiments?|examples?|samples?|scripts?|bench(marks?|marking)?|tools?|demos?|tutorials?|notebooks?|spaces?|"
    r"research|projects)/",
    re.I,
)
_SHOWS = re.compile(
    r"(^|/)((docs?|documentation)(-[\w-]+)?|examples?|tutorials?|demos?|benchmarks?)/|(^|/)testing\.py$", re.I
)


def _is_frozen(file: File) -> bool:
    """Whether a text file of any other name is what `pip freeze` prints: fixed versions, line after line."""
    if file.suffix != ".txt" or file.size > 200_000:
        return False
    with file.borrowed():
        every = file.lines if b"==" in file.data else ()
    lines = [line for line in every if line.strip() and not line.lstrip().startswith("#")]
    return len(lines) >= 5 and sum(bool(_FIXED.match(line)) for line in lines) >= 0.9 * len(lines)


class Dependencies:
    """Everything that the repository declares. `repo.dependencies` is the one to use."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo

    # --- what is declared ------------------------------------------------------------------------------------------

    @cached_property
    def requirements_files(self) -> list[File]:
        """Requirements and constraints files: by their name, and those that another one, or an install, includes."""
        candidates = self.repo.glob("**/*.txt", "**/*.in", "**/*.pip")
        found = {f.path: f for f in candidates if _REQUIREMENTS.search(f.path) or _is_frozen(f)}
        wanted = [(f.folder, path) for f in self._install_scripts for path in read.installed_files(f.text)]
        wanted += [(f.folder, path) for f in self.repo.glob("setup.py") for path in setupfile.opened_in(f.text)]
        queue = list(found.values())
        while queue or wanted:
            if queue:
                file = queue.pop()
                wanted.extend((file.folder, path) for _, path in read.included(file))
                continue
            folder, path = wanted.pop()
            for base in dict.fromkeys((folder, "")):
                target = self.repo.files.get(posixpath.normpath(posixpath.join(base, path)))
                if (
                    target is not None
                    and target.path not in found
                    and (target.suffix in (".txt", ".in", ".pip", "") or target.name.startswith("requirements."))
                ):
                    found[target.path] = target
                    queue.append(target)
        return sorted((f for f in found.values() if "vendored" not in f.roles), key=lambda f: f.path)

    @cached_property
    def _install_scripts(self) -> list[File]:
        patterns = ("Dockerfile*", "*.dockerfile", "Containerfile", "Makefile", "*.sh", *_CI)
        return [f for f in self.repo.glob(*patterns) if f.size < 300_000]

    @cached_property
    def conda_files(self) -> list[File]:
        return [f for f in self.repo.glob("**/*.yml", "**/*.yaml") if not _is_lock(f) and read.is_conda(f)]

    @cached_property
    def lock_files(self) -> list[File]:
        """Lock files, requirements files with hashes or made by a tool included."""
        made = {d.environment for d in self.declared if d.kind == "lock"}
        paths = {f.path for f in self.repo.glob(*_LOCKS)} | made
        return [self.repo.files[path] for path in sorted(paths)]

    @cached_property
    def files(self) -> list[File]:
        """Files that exist to declare dependencies (Dockerfiles, notebooks and scripts are none), by path."""
        found = {f.path: f for f in [*self.requirements_files, *self.conda_files, *self.repo.glob(*_LOCKS, "Pipfile")]}
        named = {d.environment for d in self.declared if d.kind in platformfiles.KINDS}
        found |= {path: self.repo.files[path] for path in named}
        declaring = {d.environment for d in self.declared if d.kind in ("pyproject", "setup.py", "setup.cfg")}
        for file in self.repo.glob("pyproject.toml", "setup.py", "setup.cfg"):
            by_content = _has_project(file) if file.name == "pyproject.toml" else "install_requires" in file.text
            if file.path in declaring or by_content:
                found[file.path] = file
        return [found[path] for path in sorted(found)]

    @cached_property
    def declared(self) -> list[Declared]:
        """Every declaration, by file and line."""
        return [d for d in self._declared if d.name != "python"]

    @property
    def python_as_package(self) -> list[Declared]:
        """Lines of requirements files that ask pip for Python itself, which conda installs and pip does not."""
        return [d for d in self._declared if d.name == "python" and d.kind == "requirements"]

    @cached_property
    def _declared(self) -> list[Declared]:
        return sorted(
            self._read_all(),
            key=lambda d: (d.kind == "lock", d.source.path, d.source.cell or 0, d.source.line, d.name),
        )

    def _read_all(self) -> Iterator[Declared]:
        repo = self.repo
        for file in self.requirements_files:
            yield from read.requirements(file)
        for file in repo.glob("pyproject.toml"):
            yield from read.pyproject(file)
        for file in repo.glob("Pipfile"):
            yield from read.pipfile(file)
        for file in repo.glob("setup.cfg"):
            yield from read.setup_cfg(file)
        yield from platformfiles.declared_in(repo)
        for file in repo.glob("setup.py"):
            if file.path in repo.by_path:
                yield from setupfile.declared_in(repo.by_path[file.path])
        for file in self.conda_files:
            yield from read.conda(file)
        for file in repo.glob("Dockerfile*", "*.dockerfile", "Containerfile"):
            yield from _installed_in(file)
        for module in repo.modules:
            if module.is_notebook or repo.facts[module.path].errors:  # scripts may have the magics, too
                for line, text in module.source.magics:
                    yield from read.installed(text, module.site(line), module.path, "notebook")
        for file in repo.glob("*.sh"):  # that sets up an environment
            if file in self._install_scripts and not file.roles & {"test", "docs", "vendored"}:
                for number, match in file.find(r"^\s*(?!#|echo\b|printf\b)\S.*\binstall\b.*"):
                    yield from read.installed(match[0], file.site(number), file.path, "script")
        for file in repo.glob(*_LOCKS):
            yield from read.lock(file)

    @cached_property
    def declared_in_files(self) -> set[str]:
        """Names that a dependency file declares, those only installed by an image, a script or a notebook left out."""
        return {d.name for d in self.declared if d.kind not in ("dockerfile", "script", "notebook")}

    @cached_property
    def _by_name(self) -> dict[str, list[Declared]]:
        found: dict[str, list[Declared]] = {}
        for declared in self.declared:
            found.setdefault(declared.name, []).append(declared)
        return found

    def of(self, name: str, near: str | None = None) -> list[Declared]:
        """Declarations of a distribution. With `near`, a path, those closest to that file only."""
        found = self._by_name.get(canonical(name), [])
        if near is None or not found:
            return found
        own = [d for d in found if d.environment == near and d.kind == "notebook"]  # it installs it itself
        if own:
            return own
        folder = posixpath.dirname(near)
        while True:
            closest = [d for d in found if _belongs(d, folder)]
            if closest:
                return closest
            if not folder:
                return found
            folder = posixpath.dirname(folder)

    def provides(self, target: str) -> list[Declared]:
        """Declarations of any distribution that provides a dotted import target."""
        return [declared for name in providers(target) for declared in self.of(name)]

    @cached_property
    def is_library(self) -> bool:
        """Whether the repository is a package made to be published, which must not pin what it depends on."""
        marks = re.compile(
            r"Development Status ::|Programming Language :: Python|pypi-publish|twine upload|poetry publish"
        )
        files = self.repo.glob("setup.py", "setup.cfg", "pyproject.toml", *_CI)
        return self._readme_installs_it or any(
            f.path.count("/") <= (2 if f.path.startswith(".github/") else 0) and marks.search(f.text) for f in files
        )

    @cached_property
    def _readme_installs_it(self) -> bool:
        """Whether the README has the reader install the package of the repository by its name."""
        settings = [f for f in self.repo.glob("setup.py", "setup.cfg", "pyproject.toml") if "/" not in f.path]
        named = {canonical(m[1]) for f in settings for _, m in f.find(r"^\s*name\s*=\s*[\"']?([\w.-]+)")}
        readmes = [f for f in self.repo.glob("README*") if "/" not in f.path] if named else []
        asked = re.compile(r"\bpip3? install (?:-[\w-]+ )*([\w.-]+)")
        return any(canonical(name) in named for f in readmes for name in asked.findall(f.text))

    def only_shows(self, path: str) -> bool:
        """Whether a file shows how a published package is called, or helps to test it, and is no part of its use."""
        return self.is_library and bool(_BESIDE.match(path) or _SHOWS.search(path))

    def is_beside(self, module: Module) -> bool:
        """Whether a file is in no package of the repository: what is published does not hold it."""
        if _BESIDE.match(module.path):
            return True
        return bool(self._packages) and module.path.split("/")[0] not in {*self._packages, "src"}

    @cached_property
    def _packages(self) -> set[str]:
        files = self.repo.files
        return {path.split("/")[0] for path in files if path.count("/") == 1 and path.endswith("/__init__.py")}

    @cached_property
    def third_party(self) -> dict[str, list[tuple[Module, int]]]:
        """Import target -> modules outside tests that import it, with the line: neither Python's own, local, nor given
        by a platform."""
        local = {part for module in self.repo.all_modules for part in module.dotted.split(".")}
        # Modules that a build makes of a template which is kept here: config.py.in, settings.py.example.
        names = (file.name for file in self.repo.files.values() if ".py." in file.name)
        local |= {name.partition(".")[0] for name in names if _TEMPLATE.search(name)}
        found: dict[str, list[tuple[Module, int]]] = {}
        for module in self.repo.all_modules:
            if "test" in module.file.roles:
                continue
            for item in self.repo.facts[module.path].imports:
                foreign = item.top.strip("_") and item.top not in local and not is_standard(item.top)
                foreign = foreign and not item.top.startswith("__")  # `import __main__`
                if foreign and item.top not in PLATFORM and not item.target.startswith("google.colab"):
                    found.setdefault(_target(item.target), []).append((module, item.line))
        return found

    def imports_of(self, target: str) -> Iterator[tuple[Module, Import]]:
        """The imports behind a target of `third_party`; parses the files that have them."""
        for module, line in self.third_party.get(target, ()):
            for item in module.imports:
                if item.node.lineno == line and _target(item.target) == target:
                    yield module, item

    # --- versions --------------------------------------------------------------------------------------------------

    def locked(self, name: str, near: str | None = None) -> Version | None:
        """The version that a lock names; None without one, or where locks disagree."""
        versions = {v for d in self.of(name, near) if d.kind == "lock" and (v := exact(d.spec)) is not None}
        return versions.pop() if len(versions) == 1 else None

    def pinned(self, name: str, near: str | None = None) -> Version | None:
        """The one version that all declarations allow; None where there is none or several."""
        versions = {exact(d.spec) for d in self._binding(name, near)}
        return versions.pop() if len(versions) == 1 else None

    def may_be_below(self, name: str, version: str, near: str | None = None) -> bool | None:
        """Whether some declaration allows a version below this one. None: it is not declared at all."""
        found = self._binding(name, near)
        return any(allows_below(d.spec, version) for d in found) if found else None

    def may_be_at_least(self, name: str, version: str, near: str | None = None) -> bool | None:
        """Whether some declaration allows this version or a later one. None: it is not declared at all."""
        found = self._binding(name, near)
        return any(allows_from(d.spec, version) for d in found) if found else None

    def _binding(self, name: str, near: str | None) -> list[Declared]:
        """The declarations that decide the version: locks where there are any, else all."""
        found = self.of(name, near)
        return [d for d in found if d.kind == "lock"] or found

    # --- Python itself ---------------------------------------------------------------------------------------------

    @cached_property
    def pythons(self) -> list[PythonDeclared]:
        """Versions of Python that files ask for, by file and line."""
        found = list(self._read_pythons())
        return sorted(found, key=lambda p: (p.source.path, p.source.line))

    def _read_pythons(self) -> Iterator[PythonDeclared]:
        repo = self.repo
        for declared in self._declared:
            if declared.name == "python" and declared.kind == "conda" and declared.spec:
                yield PythonDeclared(declared.specifier, declared.spec, declared.source, "conda")
        for file in repo.glob("pyproject.toml", "Pipfile", "setup.cfg"):
            yield from _python_settings(file)
        for file in repo.glob("setup.py"):
            module = repo.by_path.get(file.path)
            for call in module.calls if module else ():
                node = call.keyword("python_requires")
                text = module.literal(node) if module and node is not None else None
                if module and node is not None and isinstance(text, str) and (spec := read.spec_of(text)) is not None:
                    yield PythonDeclared(text, spec, module.site(node), "requires-python")
        for file in repo.glob("runtime.txt", ".python-version", "python_env.yaml", "python_env.yml"):
            yield from _plain_version(file)
        for file in repo.glob("Dockerfile*", "*.dockerfile", "Containerfile"):
            yield from _base_images(file)
        for file in repo.glob(*_CI):
            yield from _ci_versions(file)


def _target(target: str) -> str:
    """The part of an import that names a distribution: more than its first word for shared namespaces."""
    parts = target.split(".")
    return ".".join(parts[:3]) if parts[0] in ("google", "azure", "azureml", "ruamel") else parts[0]


def exact(spec: SpecifierSet | None) -> Version | None:
    """The one version that a set allows by `==`, or None."""
    for item in spec or ():
        if item.operator in ("==", "===") and not item.version.endswith("*"):
            try:
                return Version(item.version)
            except InvalidVersion:
                return None
    return None


def allows_below(spec: SpecifierSet | None, version: str) -> bool:
    """Whether a set allows some version below `version`. A set that cannot be read allows everything."""
    limit = Version(version)
    return any(c < limit and _allows(spec, c) for c in [*_candidates(spec), _just_below(limit)])


def allows_from(spec: SpecifierSet | None, version: str) -> bool:
    """Whether a set allows `version` or a later one. A set that cannot be read allows everything."""
    limit = Version(version)
    return any(c >= limit and _allows(spec, c) for c in [*_candidates(spec), limit, Version(f"{limit.base_version}.1")])


def compatible(one: SpecifierSet | None, other: SpecifierSet | None) -> bool:
    """Whether some version is allowed by both sets."""
    return any(_allows(one, c) and _allows(other, c) for c in [*_candidates(one), *_candidates(other)])


def _allows(spec: SpecifierSet | None, version: Version) -> bool:
    return spec is None or spec.contains(version, prereleases=True)


def _candidates(spec: SpecifierSet | None) -> Iterator[Version]:
    """Versions at and around every bound of a set: if the set allows anything, it allows one of them."""
    yield Version("0")
    yield Version("9999")
    for item in spec or ():
        text = item.version.removesuffix(".*")
        try:
            bound = Version(text)
        except InvalidVersion:
            continue
        yield bound
        yield Version(f"{bound.base_version}.1")
        yield Version(f"{bound.base_version}.0.1")
        yield _just_below(bound)


def _just_below(version: Version) -> Version:
    """A version below this one, with nothing that was ever released between them."""
    release = list(version.release)
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    if release[-1] == 0:
        return Version("0.dev0")
    release[-1] -= 1
    return Version(".".join(map(str, release)) + _EPSILON)


def _belongs(declared: Declared, folder: str) -> bool:
    """Whether a declaration lies in a folder, or in one that only groups requirement files or Docker files below it."""
    place = posixpath.dirname(declared.environment)
    return place == folder or (
        posixpath.dirname(place) == folder
        and posixpath.basename(place).lower() in ("requirements", "docker", "conda", "deploy", "environment", "envs")
    )


def _is_lock(file: File) -> bool:
    return file.name.startswith("conda-lock")


def _has_project(file: File) -> bool:
    document = read.toml(file)
    tool = document.get("tool")
    return "project" in document or (isinstance(tool, dict) and "poetry" in tool)


def logical_commands(file: File) -> Iterator[tuple[int, int, str]]:
    """First line, last line and text of every line of a shell-like file, continuations joined, comments left out."""
    start, text = 0, ""
    for number, line in enumerate(file.lines, 1):
        if line.lstrip().startswith("#"):
            continue
        start = start or number
        text += line.rstrip().removesuffix("\\") + " "
        if not line.rstrip().endswith("\\"):
            yield start, number, text.strip()
            start, text = 0, ""
    if text.strip():
        yield start, len(file.lines), text.strip()


def _installed_in(file: File) -> Iterator[Declared]:
    """Distributions that a Dockerfile installs by name, each at the line that names it."""
    for first, last, text in logical_commands(file):
        for declared in read.installed(text, file.site(first), file.path, "dockerfile"):
            pattern = re.compile(rf"(?<![\w-]){re.escape(declared.name).replace('-', '[-_.]')}(?![\w-])", re.I)
            line = next((n for n in range(first, last + 1) if pattern.search(file.lines[n - 1])), first)
            yield Declared(
                declared.name, declared.specifier, declared.spec, file.site(line), file.path, "dockerfile", declared.url
            )


# --- versions of Python -----------------------------------------------------------------------------------------------


def _python(text: str, source: Site, kind: str) -> Iterator[PythonDeclared]:
    """A plain version: `3.9` stands for every 3.9.x, `3.9.1` for itself."""
    match = re.fullmatch(r"(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}|x|\*))?", text)
    if match is None:
        return
    numbers = [n for n in match.groups() if n is not None and n.isdigit()]
    spec = SpecifierSet(f"=={'.'.join(numbers)}" + ("" if len(numbers) == 3 else ".*"))
    yield PythonDeclared(text, spec, source, kind)


def _python_settings(file: File) -> Iterator[PythonDeclared]:
    patterns = (
        (r"^\s*requires-python\s*=\s*[\"']([^\"']+)", "requires-python"),
        (r"^\s*python_requires\s*=\s*([^\s#].*)$", "requires-python"),
        (r"^\s*python\s*=\s*[\"']([^\"']+)", "poetry"),
        (r"^\s*python_(?:full_)?version\s*=\s*[\"']([^\"']+)", "pipfile"),
    )
    for pattern, kind in patterns:
        if (kind == "pipfile") != (file.name == "Pipfile"):
            continue
        if kind == "poetry" and "[tool.poetry" not in file.text:
            continue
        for number, match in file.find(pattern):
            text = match[1].strip()
            if kind == "pipfile":
                yield from _python(text, file.site(number), kind)
                continue
            translated = read.poetry_specifier(text) if kind == "poetry" else text
            spec = read.spec_of(translated) if translated is not None else None
            if spec is not None:
                yield PythonDeclared(text, spec, file.site(number), kind)


def _plain_version(file: File) -> Iterator[PythonDeclared]:
    for number, line in enumerate(file.lines, 1):
        match = re.match(r"^\s*(?:python\s*:\s*[\"']?|python-)?(\d+\.\d+(?:\.\d+)?)[\"']?\s*$", line)
        if match:
            yield from _python(
                match[1], file.site(number), file.name if not file.name.startswith("python_env") else "conda"
            )
            return


def _base_images(file: File) -> Iterator[PythonDeclared]:
    arguments: dict[str, str] = {}
    for number, line in enumerate(file.lines, 1):
        given = re.match(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']+)", line, re.I)
        if given:
            arguments[given[1]] = given[2]
        image = re.match(r"^\s*FROM\s+(?:--platform=\S+\s+)?(\S+)", line, re.I)
        if image is None:
            installed = re.search(r"\binstall\b.*?\bpython(3\.\d+)(?![\w.])", line)
            if installed:
                yield from _python(installed[1], file.site(number), "dockerfile")
            continue
        name = re.sub(r"\$\{?(\w+)(?::?-([^}]*))?\}?", lambda m: arguments.get(m[1], m[2] or m[0]), image[1])
        version = re.search(r"(?:^|/)python:(\d+\.\d+(?:\.\d+)?)|python(\d\.\d+)(?![\d])|uv:python(\d\.\d+)", name)
        if version:
            text = version[1] or version[2] or version[3]
            yield from _python(text, file.site(number), "dockerfile")


def _ci_versions(file: File) -> Iterator[PythonDeclared]:
    """Versions under `python-version`, `python`, `image: python:…` and the like; expressions are left out."""
    key = re.compile(r"^(\s*)(?:-\s+)?[\"']?(?:python(?:[-_.]?versions?)?|versionSpec)[\"']?\s*:\s*(.*)$", re.I)
    image = re.compile(r"^\s*(?:-\s+)?(?:image|name)\s*:\s*[\"']?(?:\S*/)?(?:cimg/)?python:(\d+\.\d+(?:\.\d+)?)")
    number = re.compile(r"(?<![\w.])(\d\.\d+(?:\.\d+)?)(?![\w.])")
    indent = -1
    for line_number, line in enumerate(file.lines, 1):
        line = re.sub(r"(^|\s)#.*$", "", line)
        found = key.match(line)
        if found:
            indent = len(found[1]) if not found[2].strip() else -1
            texts = [] if "${{" in found[2] else number.findall(found[2])
        elif indent >= 0 and re.match(r"^\s*-\s", line) and len(line) - len(line.lstrip()) >= indent:
            texts = number.findall(line)
        elif match := image.match(line):
            texts, indent = [match[1]], -1
        else:
            indent = -1 if line.strip() else indent
            continue
        for text in texts:
            yield from _python(text, file.site(line_number), "ci")
