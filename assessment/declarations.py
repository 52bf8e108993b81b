"""Readers of the files that declare dependencies: one function per format, each yielding `Declared` with its line.

What a format cannot say is left out, and a line that cannot be understood is skipped: these files are written by hand,
with templates, comments and mistakes in them. Most readers go by line, so that every declaration has its place and a
broken file still gives the rest.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ml_engineer.assessment.distributions import canonical, of_conda

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.rule import Site


@dataclass(frozen=True, slots=True)
class Declared:
    """A distribution that a file asks for. `specifier` is the version condition as written, translated to PEP 440."""

    name: str  # canonical
    specifier: str
    spec: SpecifierSet | None  # None: a condition that cannot be read, or a url
    source: Site
    environment: str  # the file whose environment it belongs to
    kind: str  # requirements, constraints, pyproject, setup.py, setup.cfg, conda, pipfile, dockerfile, notebook, lock
    url: str | None = None
    direct: bool = True
    group: str = ""  # extra or dependency group, "dev" for development; empty for what is always installed
    marker: str = ""
    hashed: bool = False

    @property
    def bounded(self) -> bool:
        """Whether it says anything of the version."""
        return bool(self.url) or self.spec is None or len(self.spec) > 0


@dataclass(frozen=True, slots=True)
class PythonDeclared:
    """A version of Python that a file asks for."""

    specifier: str  # as written
    spec: SpecifierSet
    source: Site
    kind: str  # requires-python, dockerfile, conda, pipfile, poetry, runtime.txt, .python-version, ci


_INSTALL = re.compile(r"\b(pip3?(?:\.\d+)?|conda|mamba|micromamba|uv)\b.*\b(install|create|add)\b")
_VERBS = ("install", "create", "add")
_ENDLESS = re.compile(r"\d{100}")  # no version; thousands of digits Python refuses to convert
MAX_DOTS = 1_000  # of a key in TOML; nobody writes so many
_WHEEL = re.compile(r"([A-Za-z0-9._]+)-(\d[^-/]*)-[^/]*\.whl")
_LEGACY_NAME = re.compile(r"^([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?\s*(.*)$")
_VALUED = frozenset(
    "-i --index-url --extra-index-url -f --find-links --trusted-host -t --target --prefix --root --timeout --retries "
    "--cache-dir --proxy --platform --python-version --python -p --log --no-binary --only-binary --src -n --name "
    "--channel --file --default-timeout --progress-bar --config-settings --global-option --install-option".split()
)


def spec_of(text: str) -> SpecifierSet | None:
    """The set of versions that a PEP 440 condition allows; None where it cannot be read."""
    if _ENDLESS.search(text):
        return None
    try:
        return SpecifierSet(text.strip().strip(",").strip())
    except InvalidSpecifier:
        return None


def requirement(text: str, source: Site, environment: str, kind: str, **more: Any) -> Declared | None:
    """A PEP 508 requirement, or a form of it that installers accepted in the past."""
    text = text.strip().rstrip(",;").strip()
    if _ENDLESS.search(text):
        return None
    if re.match(r"^(git|hg|svn|bzr)\+|^https?://|^file:", text):
        return _from_url(text, source, environment, kind, more)
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        return _from_legacy(text, source, environment, kind, more)
    spec, specifier, url = parsed.specifier, str(parsed.specifier), parsed.url
    if url:
        wheel = _from_url(url, source, environment, kind, more)
        spec, specifier = (wheel.spec, wheel.specifier) if wheel and wheel.spec else (SpecifierSet(), "")
    else:
        specifier = _written(text, specifier)
    marker = str(parsed.marker) if parsed.marker else ""
    group = more.pop("group", "")
    return Declared(
        canonical(parsed.name), specifier, spec, source, environment, kind, url, group=group, marker=marker, **more
    )


def _written(text: str, fallback: str) -> str:
    match = re.match(r"^[\w.-]+\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)", text)
    return match[1].strip() if match else fallback


def _from_url(text: str, source: Site, environment: str, kind: str, more: dict[str, Any]) -> Declared | None:
    wheel = _WHEEL.search(text)
    if wheel:
        version = wheel[2].replace("%2B", "+").replace("%2b", "+")
        spec = spec_of(f"=={version}")
        return Declared(canonical(wheel[1]), f"=={version}", spec, source, environment, kind, text, **more)
    egg = re.search(r"[#&]egg=([\w.-]+)", text)
    name = egg[1] if egg else text.split("#")[0].split("@")[-2 if "@" in text.rpartition("/")[2] else -1]
    name = re.sub(r"(\.git|\.zip|\.tar\.gz)?$", "", name.split("?")[0].rstrip("/").rpartition("/")[2] or name)
    name = re.sub(r"\.git$", "", name)
    return Declared(canonical(name), "", None, source, environment, kind, text, **more) if name else None


def _from_legacy(text: str, source: Site, environment: str, kind: str, more: dict[str, Any]) -> Declared | None:
    match = _LEGACY_NAME.match(text.partition(";")[0].strip())
    if match is None or (match[3] and match[3][0] not in "=<>!~( "):
        return None
    written = match[3].strip("() ")
    if re.match(r"^=[^=]", written):  # a conda pin pasted into a requirements file
        written = f"={written}"
        written = re.sub(r"^==([^=]+)=.*$", r"==\1", written)
    return Declared(canonical(match[1]), written, spec_of(written), source, environment, kind, **more)


# --- requirements files -----------------------------------------------------------------------------------------------


_OF_CONDA_LIST = re.compile(r"[\w.-]+=[\w.!+*]+=\w+")  # name, version and build, as `conda list --export` writes them


def requirements(file: File) -> Iterator[Declared]:
    """Requirements and constraints files, hashed ones and those made by a tool (kind `lock`) included."""
    lines = list(_logical_lines(file.lines))
    hashed = sum("--hash" in text for _, text in lines)
    made = re.search(r"autogenerated by (pip-compile|uv)|generated by poetry|by pip-compile", "\n".join(file.lines[:8]))
    constraint = "constraint" in file.name.lower()
    kind = "lock" if hashed or made else "constraints" if constraint else "requirements"
    for number, text in lines:
        via = " ".join(_comments_after(file.lines, number)) if kind == "lock" else ""
        direct = kind == "requirements" or bool(re.search(r"via.*(-r |\.in\b|pyproject|\(pyproject|setup)", via))
        bare = re.sub(r"\s--(hash|config-settings|global-option|install-option)[= ]\S+", "", text).strip().rstrip("\\")
        editable = re.match(r"^(-e|--editable)[ =]\s*(.+)$", bare)
        if editable:
            bare = editable[2].strip()
        if not bare or bare.startswith("-") or re.match(r"^[./\\]", bare):
            continue
        if _OF_CONDA_LIST.fullmatch(bare):
            listed = _conda_package(bare, file.site(number), file.path, "conda")
            if listed:
                yield listed
            continue
        found = requirement(
            bare, file.site(number), file.path, kind, direct=direct, hashed="--hash" in text, group=_group(file)
        )
        if found:
            yield found


def included(file: File) -> list[tuple[int, str]]:
    """Line and path of every `-r` and `-c` in a requirements file."""
    pattern = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)")
    return [(number, match[1]) for number, match in file.find(pattern)]


def _group(file: File) -> str:
    name = file.path.lower()
    match = re.search(r"(?:^|[/_.-])(dev|develop|development|tests?|testing|docs?|lint|ci|optional)(?=[/_.-])", name)
    return match[1] if match else ""


def _logical_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """First line's number and text of every logical line, without comments."""
    number, text = 0, ""
    for index, line in enumerate(lines, 1):
        line = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        if not text:
            number = index
        text += line.rstrip("\\") + " " if line.endswith("\\") else line
        if not line.endswith("\\"):
            if text.strip():
                yield number, text.strip()
            text = ""
    if text.strip():
        yield number, text.strip()


def _comments_after(lines: list[str], number: int) -> Iterator[str]:
    for line in lines[number - 1 : number + 20]:
        if "#" in line:
            yield line[line.index("#") :]
        elif line is not lines[number - 1] and line and not line.startswith((" ", "\t")):
            return


# --- TOML: pyproject, Pipfile -----------------------------------------------------------------------------------------


def toml(file: File) -> dict[str, Any]:
    """A TOML file as a dict, empty where it cannot be read."""
    if any(line.partition("=")[0].count(".") > MAX_DOTS for line in file.lines):
        return {}  # tomllib takes the square of what a key has of parts
    try:
        return tomllib.loads(file.text)
    except (ValueError, RecursionError):  # also numbers of thousands of digits
        return {}


class _Finder:
    """Places of values in a file, found by their text in the order in which they are asked for."""

    def __init__(self, file: File) -> None:
        self.file = file

    def site(self, text: str, header: str = "") -> Site:
        """The first line that holds the text, after the line that starts with `header`."""
        start = 1
        if header:
            start = next((n for n, line in enumerate(self.file.lines, 1) if line.strip().startswith(header)), 1)
        for number in range(start, len(self.file.lines) + 1):
            line = self.file.lines[number - 1]
            if text in line and not line.lstrip().startswith("#"):
                return self.file.site(number, anchor=text)
        return self.file.site(start, anchor=text)


def pyproject(file: File) -> Iterator[Declared]:
    """PEP 621 dependencies, optional ones, dependency groups (PEP 735), poetry and pdm groups."""
    document = toml(file)
    find = _Finder(file)
    project = _table(document, "project")
    yield from _listed(project.get("dependencies"), find, "dependencies", "")
    for group, items in _table(project, "optional-dependencies").items():
        yield from _listed(items, find, "[project.optional-dependencies]", group)
    for group, items in _table(document, "dependency-groups").items():
        yield from _listed(items, find, "[dependency-groups]", group)
    tool = _table(document, "tool")
    for group, items in _table(_table(tool, "pdm"), "dev-dependencies").items():
        yield from _listed(items, find, "[tool.pdm.dev-dependencies]", group)
    yield from _listed(_table(tool, "uv").get("dev-dependencies"), find, "[tool.uv]", "dev")
    flit = _table(_table(tool, "flit"), "metadata")  # before PEP 621
    yield from _listed(flit.get("requires"), find, "requires", "")
    for group, items in _table(flit, "requires-extra").items():
        yield from _listed(items, find, "[tool.flit.metadata.requires-extra]", group)
    poetry = _table(tool, "poetry")
    tables = [("", "[tool.poetry.dependencies]", _table(poetry, "dependencies"))]
    tables.append(("dev", "[tool.poetry.dev-dependencies]", _table(poetry, "dev-dependencies")))
    for group, body in _table(poetry, "group").items():
        if isinstance(body, dict):
            tables.append((group, f"[tool.poetry.group.{group}.dependencies]", _table(body, "dependencies")))
    for group, header, table in tables:
        for name, value in table.items():
            if name != "python":
                yield _keyed(name, value, find.site(name, header), file, "pyproject", group)


def _table(parent: dict[str, Any], key: str) -> dict[str, Any]:
    found = parent.get(key)
    return found if isinstance(found, dict) else {}


def _listed(items: object, find: _Finder, header: str, group: str) -> Iterator[Declared]:
    for item in items if isinstance(items, list) else []:
        if isinstance(item, str):
            found = requirement(item, find.site(item, header), find.file.path, "pyproject", group=group)
            if found:
                yield found


def _keyed(name: str, value: object, site: Site, file: File, kind: str, group: str) -> Declared:
    """A `name = value` entry of poetry or Pipfile: a version, a table, or a list of tables."""
    if isinstance(value, list):
        value = value[0] if value else "*"
    url = None
    optional = False
    if isinstance(value, dict):
        url = next((str(value[k]) for k in ("git", "url", "path", "file") if k in value), None)
        revision = next((str(value[k]) for k in ("rev", "ref", "tag") if k in value), None)
        url = f"git+{url}@{revision}" if url and revision else f"git+{url}" if url and "git" in value else url
        optional = value.get("optional") is True
        value = value.get("version", "*")
    text = value if isinstance(value, str) else "*"
    specifier = poetry_specifier(text)
    spec = None if url or specifier is None else spec_of(specifier)
    shown = text if specifier is None else specifier
    return Declared(canonical(name), shown, spec, site, file.path, kind, url, group="optional" if optional else group)


def poetry_specifier(text: str) -> str | None:
    """Poetry's condition as PEP 440: caret, tilde, wildcard and bare versions. None for alternatives (`||`)."""
    if "|" in text or _ENDLESS.search(text):
        return None
    parts = []
    for part in re.split(r"\s*,\s*|\s+(?=[<>=!~^])", text.strip()):
        part = part.strip()
        if part in ("", "*"):
            continue
        match = re.fullmatch(r"([\^~]|~=|[<>=!]=?=?)?\s*v?([\w.*+!-]+)", part)
        if match is None:
            return None
        operator, version = match[1] or "", match[2]
        if operator in ("^", "~"):
            numbers = [int(n) for n in re.findall(r"\d+", re.match(r"[\d.]*", version)[0])]  # type: ignore[index] # always matches
            if not numbers:
                return None
            upper = _next_caret(numbers) if operator == "^" else numbers[:1] if len(numbers) == 1 else numbers[:2]
            if operator == "~":
                upper = [*upper[:-1], upper[-1] + 1]
            parts.append(f">={version},<{'.'.join(map(str, upper))}")
        elif operator in ("", "="):
            parts.append(f"=={version}")
        else:
            parts.append(f"{operator}{version}")
    return ",".join(parts)


def _next_caret(numbers: list[int]) -> list[int]:
    for index, number in enumerate(numbers):
        if number or index == len(numbers) - 1:
            return [*numbers[:index], number + 1]
    return [1]


def pipfile(file: File) -> Iterator[Declared]:
    """Packages and development packages of a Pipfile."""
    document = toml(file)
    find = _Finder(file)
    for header, group in (("packages", ""), ("dev-packages", "dev")):
        for name, value in _table(document, header).items():
            yield _keyed(name, value, find.site(name, f"[{header}]"), file, "pipfile", group)


# --- setup.cfg -------------------------------------------------------------------------------------------------------


def setup_cfg(file: File) -> Iterator[Declared]:
    """`install_requires` and extras of a setup.cfg."""
    section = key = ""
    for number, line in enumerate(file.lines, 1):
        header = re.match(r"^\[([^\]]+)\]", line)
        entry = re.match(r"^([A-Za-z_][\w.-]*)\s*=\s*(.*)$", line)
        text = ""
        if header:
            section, key = header[1].strip(), ""
        elif entry:
            key, text = entry[1], entry[2]
        elif line[:1].isspace():
            text = line
        text = text.split(" #")[0].strip()
        wanted = (section == "options" and key in ("install_requires", "tests_require")) or (
            section == "options.extras_require" and key
        )
        if wanted and text and not text.startswith("#"):
            group = {"install_requires": "", "tests_require": "test"}.get(key, key)
            found = requirement(text, file.site(number), file.path, "setup.cfg", group=group)
            if found:
                yield found


# --- conda, python_env ------------------------------------------------------------------------------------------------

_ITEM = re.compile(r"^(\s*)-\s+(.*)$")


def is_conda(file: File) -> bool:
    """Whether a YAML file lists the packages of an environment."""
    if file.size > 300_000:
        return False
    if not re.search(r"^(build_)?dependencies\s*:", file.text, re.M):
        return False
    named = re.search(r"conda|environment|^env[^/]*$|python_env", file.name, re.I)
    return bool(re.search(r"^channels\s*:|^[ \t]*-[ \t]+pip\s*:", file.text, re.M) or named)


def conda(file: File) -> Iterator[Declared]:
    """Packages of a conda environment or an MLflow python_env, those under `pip:` included. Name `python` too."""
    inside, pip_indent = False, -1
    own = file.name.lower().startswith("python_env")
    for number, line in enumerate(file.lines, 1):
        line = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        if re.match(r"^\S", line) and not line.startswith("-"):
            inside, pip_indent = bool(re.match(r"^(build_)?dependencies\s*:", line)), -1
            continue
        item = _ITEM.match(line)
        if not inside or item is None:
            continue
        indent, text = len(item[1]), item[2].strip().strip("'\"")
        if re.fullmatch(r"pip\s*:", text):
            pip_indent = indent
            continue
        if pip_indent >= 0 and indent <= pip_indent:
            pip_indent = -1
        if pip_indent >= 0 or own:
            found = None if text.startswith("-") else requirement(text, file.site(number), file.path, "conda")
        else:
            found = _conda_package(text, file.site(number), file.path, "conda")
        if found:
            yield found


def _conda_package(text: str, site: Site, environment: str, kind: str) -> Declared | None:
    match = re.match(r"^(?:[\w./-]+::)?([\w.-]+?)(?:\[[^\]]*\])?\s*(?:([=<>!~].*))?$", text.replace(" ", "", 1))
    if match is None:
        return None
    name = "python" if match[1] == "python" else of_conda(match[1])
    if name is None:
        return None
    written = (match[2] or "").strip()
    parts = []
    for part in written.split(","):
        part = part.strip()
        fuzzy = re.fullmatch(r"=\s*([\w.+!]+?)(\.?\*)?(=.*)?", part)
        exact = re.fullmatch(r"==\s*([\w.+!*]+)(=.*)?", part)
        if fuzzy:
            parts.append(f"=={fuzzy[1]}" if fuzzy[3] else f"=={fuzzy[1]}.*")
        elif exact:
            parts.append(f"=={exact[1]}")
        elif part:
            parts.append(part)
    specifier = ",".join(parts)
    return Declared(name, specifier, spec_of(specifier), site, environment, kind)


# --- commands that install --------------------------------------------------------------------------------------------


def installed(text: str, site: Site, environment: str, kind: str) -> Iterator[Declared]:
    """Distributions that a shell command line installs by name: pip, uv pip, conda, mamba."""
    for words in _installs(text):
        with_conda = words[0] in ("conda", "mamba", "micromamba")
        skip = False
        for word in words[1:]:
            if skip:
                skip = False
            elif word.startswith("-"):
                skip = word in _VALUED or word in ("-r", "-c", "--requirement", "--constraint", "-e", "--editable")
                if with_conda and word == "-c":
                    skip = True
            elif "$" in word or re.match(r"^[./~]", word) or (word.endswith((".txt", ".whl")) and "://" not in word):
                continue
            else:
                make = _conda_package if with_conda else requirement
                found = make(word, site, environment, kind)
                if found and re.match(r"^[a-z0-9]", found.name):
                    yield found


def installed_files(text: str) -> list[str]:
    """Paths of the requirements files that a shell command line installs from."""
    found = []
    for words in _installs(text):
        for position, word in enumerate(words):
            if word in ("-r", "--requirement", "--file", "-f") and position + 1 < len(words):
                if word != "-f" or words[0] not in ("pip", "uv"):
                    found.append(words[position + 1])
            elif match := re.match(r"^(?:-r|--requirement=)(\S+)", word):
                found.append(match[1])
    return found


def _installs(text: str) -> Iterator[list[str]]:
    """Words of every install command in a line, from the installer's name on, its own verb left out."""
    if not any(verb in text for verb in _VERBS) or not _INSTALL.search(text):
        return
    for part in re.split(r"&&|\|\||;|\n|\|", text):
        match = _INSTALL.search(part)
        if match is None:
            continue
        try:
            words = shlex.split(part[match.start() :], comments=True)
        except ValueError:
            words = part[match.start() :].split()
        verbs = [n for n, word in enumerate(words) if word in _VERBS]
        if verbs:
            tool = re.sub(r"[\d.]+$", "", words[0])
            yield [tool, *words[verbs[0] + 1 :]]


# --- locks ------------------------------------------------------------------------------------------------------------


def lock(file: File) -> Iterator[Declared]:
    """Packages of poetry.lock, uv.lock, pdm.lock, pylock.toml, Pipfile.lock and conda-lock.yml."""
    if file.name == "Pipfile.lock":
        yield from _pipfile_lock(file)
        return
    start = re.compile(r"^\[\[packages?\]\]|^- name:\s*(\S+)")
    field = re.compile(r"^\s*(name|version)\s*[=:]\s*[\"']?([^\"'\s]+)")
    name, line = "", 0
    for number, text in enumerate(file.lines, 1):
        begin = start.match(text)
        if begin:
            name, line = begin[1] or "", number
            continue
        if not line:
            continue
        entry = field.match(text)
        if entry is None:
            continue
        if entry[1] == "name" and not name:
            name, line = entry[2], number
        elif entry[1] == "version" and name:
            yield _locked(name, entry[2], file.site(line, number), file)
            name, line = "", 0


def _pipfile_lock(file: File) -> Iterator[Declared]:
    try:
        document = json.loads(file.text)
    except (ValueError, RecursionError):
        return
    lines = {match[1]: number for number, match in reversed(file.find(r'^\s*"([\w.-]+)"\s*:\s*\{'))}
    for section in ("default", "develop"):
        for name, body in _table(document if isinstance(document, dict) else {}, section).items():
            version = body.get("version") if isinstance(body, dict) else None
            if isinstance(version, str):
                yield _locked(name, version.lstrip("="), file.site(lines.get(name, 1)), file)


def _locked(name: str, version: str, site: Site, file: File) -> Declared:
    specifier = f"=={version}"
    name = (of_conda(name) or canonical(name)) if file.name.startswith("conda-lock") else canonical(name)
    return Declared(name, specifier, spec_of(specifier), site, file.path, "lock", direct=False, hashed=True)
