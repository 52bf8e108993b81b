"""M5-25: what starts the service names a file or module that is not there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, SeverityName, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.commands import Command
    from ml_engineer.assessment.docker import Dockerfile
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo

_SERVERS = frozenset("gunicorn uvicorn hypercorn daphne".split())
_APP = re.compile(r"^([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)(\(.*\))?$")
_BENTO = re.compile(r"^service:\s*[\"']?([A-Za-z_]\w*)(?:\.py)?:\w+")
_PLACEHOLDER = re.compile(r"[<>{}$*\[\]]|your|path/to|example|script\.py$|my_|file\.py$|xxx", re.I)


@rule(
    id="MLE0525",
    name="cmd-path",
    step=5,
    severity=HIGH,
    title="The start command names a file that does not exist",
    why="The container or process exits at once.",
    remedy="Name the file where it really lies, or copy it there.",
    source="observed in public repositories",
    applies=lambda repo: bool(
        repo.commands.of("docker-cmd", "procfile", "compose", "readme") or repo.glob("bentofile.y*ml")
    ),
)
def check(repo: Repo) -> Iterator[Hit]:
    for command in repo.commands.of("docker-cmd"):
        docker = next((d for d in repo.dockerfiles if d.path == command.site.path), None)
        wanted = _wanted(command)
        if docker is None or (wanted and _is_mounted(repo, docker)):
            continue
        if wanted and _installs_it(repo, docker, wanted):
            continue
        if wanted and _all_known(repo, docker) and not _in_image(repo, docker, command, wanted):
            yield Hit([command.site], title=f"The image starts {wanted[0]}, which is not in it", anchor=docker.path)
        elif (script := _not_executable(repo, docker, command)) is not None:
            yield Hit([command.site], title=f"The image starts {script}, which may not be executed", anchor=docker.path)
    for command in repo.commands.of("procfile", "compose"):
        wanted = _wanted(command)
        if command.origin == "procfile" and wanted and not _in_tree(repo, command, wanted):
            yield Hit([command.site], title=f"{command.name} starts {wanted[0]}, which does not exist")
    for file in repo.glob("bentofile*.y*ml"):
        for line, match in file.find(_BENTO):  # a dotted name may be that of an installed package, or of a built one
            name = match[1]
            known = (*repo.files, *(path for path, _ in repo.skipped))
            if not any(path.endswith((f"{name}.py", f"{name}/__init__.py")) for path in known):
                yield Hit([file.site(line)], title=f"The Bento serves {name}, which does not exist", anchor=file.path)
    yield from _documented(repo)


def _installs_it(repo: Repo, docker: Dockerfile, wanted: list[str]) -> bool:
    """Whether the image installs a package of the name that the command starts: its code comes from an index."""
    from ml_engineer.assessment.distributions import providers

    top = wanted[0].removesuffix(".py").split("/")[0]
    names = set(providers(top))
    return any(d.environment == docker.path and d.name in names for d in repo.dependencies.declared)


def _is_mounted(repo: Repo, docker: Dockerfile) -> bool:
    """Whether the README has the reader mount a folder over the image's working folder."""
    folder = docker.final.workdir.rstrip("/") if docker.final is not None else ""
    mount = re.compile(rf"docker[^\n]*\s(-v|--volume)[ =][^\n]*?:{re.escape(folder)}/?[\s:`'\"]")
    return bool(folder) and any(mount.search(file.text) for file in repo.glob("README*"))


def _documented(repo: Repo) -> Iterator[Hit]:
    """Start commands of the README at the top that name a file of which there is no trace."""
    for command in repo.commands.of("readme"):
        if "/" in command.site.path or not command.site.path.lower().startswith("readme"):
            continue
        wanted = _wanted(command)
        if not wanted or _PLACEHOLDER.search(wanted[0]) or _clones_another(repo, repo.files[command.site.path].text):
            continue
        names = {posixpath.basename(path) for path in wanted}
        if repo.dependencies.is_library and not any("/" in path for path in wanted):
            continue  # how the reader starts what is his own
        if _is_for_the_reader(repo.files[command.site.path], names):
            continue
        if not any(posixpath.basename(path) in names for path in (*repo.files, *(p for p, _ in repo.skipped))):
            if not _in_tree(repo, command, wanted):
                # An installation by a file that is gone stops the reader, and nothing that runs.
                severity: SeverityName = MEDIUM if names == {"setup.py"} else HIGH
                title = f"The README starts {wanted[0]}, which does not exist"
                yield Hit([command.site], severity=severity, title=title)


def _is_for_the_reader(readme: File, names: set[str]) -> bool:
    """Whether a README has the reader write the file: "copy the snippet below into `train.py`"."""
    asked = re.compile(
        r"\b(copy|save|create|put|write|paste)\b[^.]*\b(into|as|in|to|an?|the|file|called|named)\b", re.I
    )
    lines = [line for line in readme.lines if asked.search(line) and "python" not in line.lower()]
    return any(name in line for line in lines for name in names)


def _clones_another(repo: Repo, text: str) -> bool:
    """Whether a document has the reader take files from a gist or another clone, which its commands may name."""
    if "gist.github" in text:
        return True
    own = {repo.root.name.lower(), (repo.git.url or "").rstrip("/").rpartition("/")[2].removesuffix(".git").lower()}
    cloned = re.findall(r"git clone\s+(?:-\S+\s+)*(\S+)", text)
    return any(url.rstrip("/").rpartition("/")[2].removesuffix(".git").lower() not in own for url in cloned)


def _wanted(command: Command) -> list[str]:
    """Paths of which one has to exist for the command to run; empty where it names none or it cannot be told."""
    from ml_engineer.assessment.shell import is_python

    words = command.words
    if any("$" in word for word in words[:3]):
        return []
    if command.program in _SERVERS:
        if command.simple.option("--chdir", "--app-dir", "--pythonpath", "--factory", "-c", "--config") is not None:
            return []
        targets = [match for word in command.arguments if (match := _APP.match(word))]
        if not targets:
            return []
        path = targets[0][1].replace(".", "/")
        return [f"{path}.py", f"{path}/__init__.py", f"src/{path}.py", f"src/{path}/__init__.py"]
    if is_python(words[0]) and not command.simple.module:
        script = next((w for w in command.arguments if not w.startswith("-")), "")
        taken = any(w in ("-c", "-") for w in command.arguments[:2])
        return [script] if script.endswith(".py") and not taken else []
    if command.program == "streamlit" and command.arguments[:1] == ("run",) and len(command.arguments) > 1:
        return [command.arguments[1]] if command.arguments[1].endswith(".py") else []
    if re.fullmatch(r"(?:\./|/)[\w./-]+\.(sh|py)", words[0]):
        return [words[0]]
    if re.fullmatch(r"(?:.*/)?(ba|da|z)?sh", words[0]) and len(words) > 1 and words[1].endswith(".sh"):
        return [words[1]]
    return []


def _in_tree(repo: Repo, command: Command, wanted: list[str]) -> bool:
    known = {**repo.files, **{path: None for path, _ in repo.skipped}}
    for path in wanted:
        for base in dict.fromkeys((command.folder, posixpath.dirname(command.site.path), "")):
            if posixpath.normpath(posixpath.join(base, path)) in known:
                return True
    return False


def _all_known(repo: Repo, docker: Dockerfile) -> bool:
    """Whether everything in the image's working folder is seen to come from the build context."""
    from ml_engineer.assessment.docker import PLAIN_IMAGES

    final = docker.final
    if final is None or not docker.contexts or final.image.base not in PLAIN_IMAGES:
        return False
    if "$" in final.workdir:
        return False
    copies = [c for c in final.copies if c.stage is None]
    if not copies or any("$" in c.destination or any("$" in s for s in c.sources) for c in copies):
        return False
    if not docker.context_known and not all(_is_there(repo, docker, s) for c in copies for s in c.sources):
        return False  # it is built from another folder than the likely ones
    ran = " ".join(i.script for i in final.inherited("RUN"))
    brought = re.search(
        r"\b(git clone|wget|curl|unzip|tar |mv |cp |ln |pip install (-e )?\.|poetry install|uv sync)", ran
    )
    return brought is None and all(c.stage is None for c in final.copies) and final.parent is None


def _is_there(repo: Repo, docker: Dockerfile, source: str) -> bool:
    """Whether what a COPY names stands in one of the likely build contexts."""
    if "*" in source:
        return True
    paths = [posixpath.normpath(posixpath.join(context, source.lstrip("/"))) for context in docker.contexts]
    known = (*repo.files, *(path for path, _ in repo.skipped))
    return any(path == "." or path in known or any(k.startswith(f"{path}/") for k in known) for path in paths)


def _in_image(repo: Repo, docker: Dockerfile, command: Command, wanted: list[str]) -> bool:
    from ml_engineer.assessment.launch import copied

    roots = [command.folder or "/"]
    path = command.env.get("PYTHONPATH", "")
    roots.extend(root for root in path.split(":") if root.startswith("/"))
    for root in roots:
        for item in wanted:
            absolute = posixpath.normpath(posixpath.join(root, item))
            if copied(docker, absolute, repo.files) is not None:
                return True
    return False


def _not_executable(repo: Repo, docker: Dockerfile, command: Command) -> str | None:
    """The script that is started by its own name and lacks its run bit, with nothing that sets it."""
    from ml_engineer.assessment.launch import copied

    start = docker.final.entrypoint or docker.final.cmd if docker.final is not None else None
    if start is None or not start.exec_form or not command.text.split() or docker.final is None:
        return None
    first = command.text.split()[0]
    if not re.fullmatch(r"[\w./-]*/[\w.-]+|[\w.-]+\.sh", first) or "/bin/" in first:
        return None
    file = copied(docker, posixpath.normpath(posixpath.join(command.folder or "/", first)), repo.files)
    if file is None or file.executable is not False:
        return None
    text = docker.file.text
    return None if re.search(r"chmod|install -m", text) else first
