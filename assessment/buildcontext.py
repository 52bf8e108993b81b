"""Where an image is built from: the folder whose files COPY can reach, and what .dockerignore takes out of it.

`contexts_of(repo, docker)` reads compose files, CI builds and `docker build` commands in scripts and documents; where
nothing says, the folder of the Dockerfile is the likely context and the root a possible one.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Dockerfile
    from ml_engineer.assessment.repo import Repo

_BUILD = re.compile(r"\b(?:docker|podman|nerdctl|buildah)\s+(?:buildx\s+|image\s+)?(?:build|bud)\b(?!x)(.*)")
_CHANGE = re.compile(r"(?:^|&&|;)\s*cd\s+([\w./-]+)\s*(?:&&|;)")
_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*:?=[ \t]*[\"']?([\w./:@-]*)[\"']?[ \t]*$", re.M)
_WITH_VALUE = frozenset(
    "-f --file -t --tag --build-arg --target --platform --cache-from --cache-to --label --network --progress -o "
    "--output --secret --ssh --add-host --iidfile -m --memory --shm-size --builder --build-context --metadata-file "
    "--isolation --ulimit --cpuset-cpus -c".split()
)


def contexts_of(repo: Repo, docker: Dockerfile) -> tuple[tuple[str, ...], bool]:
    """Folders the Dockerfile is built from, and whether something in the repository says so."""
    known = tuple(dict.fromkeys(context for path, context in builds(repo) if path == docker.path))
    if known:
        return known, True
    return tuple(dict.fromkeys((docker.file.folder, ""))), False


def builds(repo: Repo) -> list[tuple[str, str]]:
    """(path of a Dockerfile, context) for every build that the repository describes. Computed once."""
    found: list[tuple[str, str]] | None = repo.__dict__.get("_image_builds")
    if found is None:
        found = repo.__dict__["_image_builds"] = [*_compose(repo), *built_by_ci(repo), *_commands(repo)]
    return found


def _compose(repo: Repo) -> Iterator[tuple[str, str]]:
    for service in repo.compose:
        if service.build_context is not None and "$" not in service.build_context:
            context = join(service.file.folder, service.build_context)
            if context is not None:
                path = (service.dockerfile or "Dockerfile").replace("\\", "/")  # as Windows takes it
                yield join(context, path) or "", context


def built_by_ci(repo: Repo) -> Iterator[tuple[str, str]]:
    """(path of a Dockerfile, context) for every build that CI runs, by an action or a command."""
    for workflow in repo.workflows:
        for job in workflow.jobs:
            for step in job.steps:
                if step.uses and step.uses.startswith("docker/build-push-action"):
                    given = {k: step.inputs[k].text for k in ("context", "file") if k in step.inputs}
                    context = join("", given.get("context", ".")) if "$" not in given.get("context", "") else ""
                    if context is not None:
                        default = join(context, "Dockerfile") or ""
                        yield (join("", given["file"]) or "" if given.get("file") else default), context
                for _, line in step.lines:
                    yield from _parse_build(line, step.folder)


def _commands(repo: Repo) -> Iterator[tuple[str, str]]:
    for file in repo.glob(
        "*.sh", "Makefile", "makefile", "*.mk", "justfile", "*.md", "*.rst", "package.json", "tox.ini"
    ):
        if "docker" not in file.text and "podman" not in file.text:
            continue
        text = re.sub(r"\\\n", " ", file.text)
        values = dict(_ASSIGNED.findall(text)) if "$" in text else {}
        folders = [file.folder]
        while folders[-1] and file.suffix in (".md", ".rst", ".sh"):  # it may be run from any folder above it
            folders.append(posixpath.dirname(folders[-1]))
        for line in text.split("\n"):
            if "build" in line or "bud" in line:
                command = _filled_in(line.strip().lstrip("$@`> "), values)
                for folder in folders:
                    yield from _parse_build(command, folder)


def _filled_in(line: str, values: dict[str, str]) -> str:
    """A line with the variables that its script sets to plain words."""
    return re.sub(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))", lambda m: values.get(m[1] or m[2] or m[3], m[0]), line)


def _parse_build(line: str, folder: str) -> Iterator[tuple[str, str]]:
    for match in _BUILD.finditer(line):
        change = _CHANGE.search(line[: match.start()])
        base = join(folder, change[1]) if change else folder
        command = re.split(r"&&|\|\||[;|`]", match[1])[0]
        try:
            words = shlex.split(command, comments=True)
        except ValueError:
            words = command.split()
        context, file = _arguments(words)
        if context is None or "$" in context or base is None or context == "-" or "://" in context:
            continue
        root = join(base, context)
        if root is None:
            continue
        path = join(base, file) if file and "$" not in file else join(root, "Dockerfile")
        if path is not None:
            yield path, root


def _arguments(words: list[str]) -> tuple[str | None, str | None]:
    """The context and the `--file` of a build command."""
    file = context = None
    skip = ""
    for word in words:
        if skip:
            if skip in ("-f", "--file"):
                file = word
            skip = ""
        elif word.startswith(("--file=", "-f=")):
            file = word.partition("=")[2]
        elif word in _WITH_VALUE:
            skip = word
        elif not word.startswith("-"):
            context = context or word
    return context, file


def join(folder: str, path: str) -> str | None:
    """A path relative to the root, "" for the root itself. None where it leads out of the repository."""
    joined = posixpath.normpath(posixpath.join(folder or ".", path.lstrip("/") if path.startswith("/") else path))
    if joined == "..":
        return None
    if joined.startswith("../"):
        return None
    return "" if joined == "." else joined


_MAX_STARS = 12


class Ignore:
    """The patterns of a .dockerignore: anchored at the context, the last match wins, a folder takes its content."""

    def __init__(self, lines: list[str]) -> None:
        self.rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in lines:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            keep = text.startswith("!")
            cleaned = posixpath.normpath(text.lstrip("!").strip()).strip("/")
            cleaned = re.sub(r"\*{2,}", "**", re.sub(r"(\*\*/){2,}", "**/", cleaned))
            if cleaned.count("*") > _MAX_STARS:
                continue  # nobody writes that, and matching it would take for ever
            if cleaned and cleaned != ".":
                self.rules.append((keep, re.compile(_expression(cleaned))))

    def excludes(self, path: str) -> bool:
        """Whether a file (path relative to the context) is left out of the build."""
        parts = path.split("/")
        candidates = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        excluded = False
        for keep, pattern in self.rules:
            if any(pattern.fullmatch(c) for c in candidates):
                excluded = not keep
        return excluded


def _expression(pattern: str) -> str:
    found = ""
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            found, position = found + "(?:.*/)?", position + 3
        elif pattern.startswith("**", position):
            found, position = found + ".*", position + 2
        elif pattern[position] == "*":
            found, position = found + "[^/]*", position + 1
        elif pattern[position] == "?":
            found, position = found + "[^/]", position + 1
        else:
            found, position = found + re.escape(pattern[position]), position + 1
    return found


def ignore_of(repo: Repo, docker: Dockerfile, context: str) -> Ignore | None:
    """The .dockerignore that counts for a build of this Dockerfile from this context, or None."""
    path = _ignore_path(repo, docker, context)
    return Ignore(repo.files[path].lines) if path is not None else None


def _ignore_path(repo: Repo, docker: Dockerfile, context: str) -> str | None:
    places = (f"{docker.path}.dockerignore", f"{context}/.dockerignore" if context else ".dockerignore")
    return next((path for path in places if path in repo.files), None)


# --- what the image holds ---------------------------------------------------------------------------------------------


def context_files(repo: Repo, docker: Dockerfile, context: str) -> list[str]:
    """Paths, relative to the context, of the files that a build can copy. Links and absent content count as there.

    Kept for the review: many Dockerfiles are built from one context, with one .dockerignore.
    """
    kept: dict[tuple[str, str | None], list[str]] = repo.kept("context_files")
    key = (context, _ignore_path(repo, docker, context))
    if key not in kept:
        kept[key] = _context_files(repo, docker, context)
    return kept[key]


def _context_files(repo: Repo, docker: Dockerfile, context: str) -> list[str]:
    prefix = f"{context}/" if context else ""
    ignore = ignore_of(repo, docker, context)
    known = [*repo.files, *(path for path, _ in repo.skipped if path)]
    found = [path[len(prefix) :] for path in known if path.startswith(prefix)]
    return [path for path in found if ignore is None or not ignore.excludes(path)]


def sources(paths: list[str], source: str) -> list[str]:
    """The files of a context that a COPY source names: one file, a folder's content, or what a pattern matches."""
    cleaned = posixpath.normpath(source.lstrip("/")) if source.strip("/") else "."
    if cleaned == ".":
        return paths
    if any(c in cleaned for c in "*?["):
        pattern = re.compile(_expression(re.sub(r"\[[^]]*\]", "?", cleaned)) + "(/.*)?")
        return [path for path in paths if pattern.fullmatch(path)]
    return [path for path in paths if path == cleaned or path.startswith(f"{cleaned}/")]


def image_files(repo: Repo, docker: Dockerfile, context: str) -> dict[str, tuple[str, int]]:
    """What the shipped image holds of the repository: path in the image -> path in the repository, line of the COPY.

    Copies from earlier stages are followed; what commands make is not known.
    """
    paths = context_files(repo, docker, context)
    made: list[dict[str, tuple[str, int]]] = []
    for stage in docker.stages:
        held = dict(made[stage.parent.index]) if stage.parent is not None else {}
        for copy in stage.copies:
            earlier = docker.stage(copy.stage) if copy.stage is not None else None
            if copy.stage is not None and (earlier is None or earlier.index >= stage.index):
                continue
            line = copy.instruction.line
            if earlier is not None:
                for source in copy.sources:
                    held.update(_moved(made[earlier.index], source, copy.destination, line))
                continue
            into = copy.instruction.words[-1].endswith(("/", ".")) or len(copy.sources) > 1
            for source in copy.sources:
                for path in sources(paths, source):
                    target = _target(path, source, copy.destination, into or any(c in source for c in "*?["))
                    held[target] = (f"{context}/{path}" if context else path, line)
        made.append(held)
    return made[-1] if made else {}


def _target(path: str, source: str, destination: str, into: bool) -> str:
    cleaned = posixpath.normpath(source.lstrip("/") or ".")
    if path == cleaned or any(c in source for c in "*?["):
        return posixpath.join(destination, posixpath.basename(path)) if into else destination
    rest = path if cleaned == "." else path[len(cleaned) + 1 :]
    return posixpath.join(destination, rest)


def _moved(held: dict[str, tuple[str, int]], source: str, destination: str, line: int) -> dict[str, tuple[str, int]]:
    root = posixpath.normpath(source)
    found = {}
    for path, (origin, _) in held.items():
        if path == root:
            found[destination] = (origin, line)
        elif path.startswith(root.rstrip("/") + "/"):
            found[posixpath.join(destination, posixpath.relpath(path, root))] = (origin, line)
    return found
