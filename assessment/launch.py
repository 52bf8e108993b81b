"""Which Python files of the repository a command runs: scripts, modules, application objects, console scripts."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from ml_engineer.assessment.declarations import toml
from ml_engineer.assessment.shell import is_python

if TYPE_CHECKING:
    from ml_engineer.assessment.commands import Command, Commands
    from ml_engineer.assessment.docker import Copy, Dockerfile
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo

# Servers that are given an application object as `module:object`.
APP_SERVERS = frozenset("gunicorn uvicorn hypercorn daphne waitress-serve uwsgi granian bentoml".split())
# Programs that are given a script.
_SCRIPT_RUNNERS = frozenset(
    "streamlit chainlit panel bokeh voila gradio torchrun accelerate deepspeed fastapi mpirun horovodrun ipython "
    "coverage papermill functions-framework litserve kedro ray torch.distributed.launch torch.distributed.run scalene "
    "memray debugpy".split()
)
_APP = re.compile(r"^([A-Za-z_][\w./]*?)(?:\.py)?:([A-Za-z_][\w.]*)(\(.*\))?$")
_PYTHON_VALUES = frozenset(["-W", "-X", "-c", "-m", "--check-hash-based-pycs"])


def targets(commands: Commands, command: Command) -> list[str]:
    """Paths of the Python files that a command runs directly; empty where none of this repository can be told."""
    repo = commands.repo
    program, arguments = command.program, command.arguments
    if is_python(command.words[0]) and not command.simple.module:
        script = _first_positional(arguments, _PYTHON_VALUES)
        return _script(commands, command, script) if script else []
    if program in APP_SERVERS:
        chdir = command.simple.option("--chdir", "--app-dir", "--pythonpath", "--working-dir") or ""
        found = [p for a in arguments if (p := _application(commands, command, a, chdir)) is not None]
        if found or program != "uwsgi":
            return found[:1]
        wsgi = command.simple.option("--wsgi-file", "--module", "-w", "--file")
        return _script(commands, command, wsgi) if wsgi and wsgi.endswith(".py") else _dotted(commands, command, wsgi)
    if program == "flask" and "run" in arguments:
        return _flask(commands, command)
    if program == "celery":
        return _dotted(commands, command, command.simple.option("-A", "--app"))
    if program in _SCRIPT_RUNNERS:
        script = next((a for a in arguments if a.endswith((".py", ".ipynb"))), None)
        if script:
            return _script(commands, command, script)
        module = command.simple.option("-m", "--module")
        return _dotted(commands, command, module)
    if command.simple.module:
        return _dotted(commands, command, program)
    if command.words[0].endswith(".py"):
        return _script(commands, command, command.words[0])
    return _dotted(commands, command, console_scripts(repo).get(program))


def _first_positional(arguments: tuple[str, ...], valued: frozenset[str]) -> str | None:
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in ("-c", "-m"):
            return None
        elif word.startswith("-") and word != "-":
            skip = word in valued
        else:
            return word
    return None


def _script(commands: Commands, command: Command, path: str) -> list[str]:
    if "$" in path:
        return []
    found = commands.locate(command, path, commands.python_files)
    if found is None and path and not path.endswith(".py"):  # a package with __main__
        found = commands.locate(command, posixpath.join(path, "__main__.py"), commands.python_files)
    return [found.path] if found is not None else []


def _application(commands: Commands, command: Command, word: str, chdir: str) -> str | None:
    match = _APP.match(word)
    if match is None:
        if re.fullmatch(r"[a-z_]\w*(\.\w+)+", word) and "." in word and not word.endswith((".py", ".conf", ".txt")):
            return next(iter(_dotted(commands, command, word)), None)
        return None
    path = match[1].replace(".", "/") if "/" not in match[1] else match[1]
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        found = _script(commands, command, posixpath.join(chdir, candidate) if chdir else candidate)
        if found:
            return found[0]
    return None


def _dotted(commands: Commands, command: Command, name: str | None) -> list[str]:
    if not name or "$" in name:
        return []
    path = name.partition(":")[0].replace(".", "/")
    for base in ("", "src/"):
        for candidate in (f"{base}{path}.py", f"{base}{path}/__main__.py", f"{base}{path}/__init__.py"):
            found = _script(commands, command, candidate)
            if found:
                return found
    return []


def _flask(commands: Commands, command: Command) -> list[str]:
    named = command.simple.option("--app", "-A") or command.env.get("FLASK_APP") or ""
    named = named.partition(":")[0].partition("(")[0]
    if named:
        return _script(commands, command, named if named.endswith(".py") else f"{named.replace('.', '/')}.py")
    return _script(commands, command, "app.py") or _script(commands, command, "wsgi.py")


def console_scripts(repo: Repo) -> dict[str, str]:
    """Console script -> `module:function`, from pyproject.toml, setup.cfg and setup.py."""
    found: dict[str, str] | None = repo.__dict__.get("_console_scripts")
    if found is not None:
        return found
    found = {}
    for file in repo.glob("pyproject.toml"):
        document = toml(file)
        tool = document.get("tool")
        poetry = tool.get("poetry") if isinstance(tool, dict) else None
        for table in (document.get("project"), poetry):
            scripts = table.get("scripts") if isinstance(table, dict) else None
            if isinstance(scripts, dict):
                found.update({k: v for k, v in scripts.items() if isinstance(v, str)})
    for file in repo.glob("setup.cfg", "setup.py"):
        if "console_scripts" in file.text:
            for _, match in file.find(r"[\s\"']*([\w.-]+)\s*=\s*([\w.]+:[\w.]+)"):
                found[match[1]] = match[2]
    repo.__dict__["_console_scripts"] = found
    return found


def in_image(repo: Repo, dockerfile: str, workdir: str, path: str, files: dict[str, File]) -> File | None:
    """The file of the repository that a path inside an image comes from: through COPY and ADD, else by a unique
    ending."""
    docker = next((d for d in repo.dockerfiles if d.path == dockerfile), None)
    if docker is not None:
        found = copied(docker, posixpath.normpath(posixpath.join(workdir or "/", path)), files)
        if found is not None:
            return found
    ending = path.lstrip("/")
    same = [f for p, f in files.items() if p == ending or p.endswith(f"/{ending}")]
    return same[0] if len(same) == 1 else None


def copied(docker: Dockerfile, absolute: str, files: dict[str, File]) -> File | None:
    """The file that COPY and ADD of the final stage, and of those it is built upon, put at an absolute path."""
    stage = docker.final
    while stage is not None:
        for copy in reversed(stage.copies):
            if copy.stage is not None or "$" in copy.destination:
                continue
            for context in docker.contexts or ("",):
                for source in copy.sources:
                    found = _copied(context, source, copy, absolute, files)
                    if found is not None:
                        return found
        stage = stage.parent
    return None


def _copied(context: str, source: str, copy: Copy, absolute: str, files: dict[str, File]) -> File | None:
    origin = posixpath.normpath(posixpath.join(context, source.lstrip("/")))
    origin = "" if origin == "." else origin
    candidates = []
    if origin in files:  # a single file, into a folder or under a new name
        into = copy.instruction.words[-1].endswith(("/", ".")) or len(copy.sources) > 1
        target = posixpath.join(copy.destination, posixpath.basename(origin)) if into else copy.destination
        if target == absolute or (
            not into and posixpath.join(copy.destination, posixpath.basename(origin)) == absolute
        ):
            return files[origin]
        return None
    if "*" in origin:
        pattern = re.compile(re.escape(origin).replace(r"\*", "[^/]*"))
        candidates = [posixpath.join(posixpath.dirname(origin), posixpath.basename(absolute))]
        candidates = [c for c in candidates if pattern.fullmatch(c)]
    elif absolute.startswith(copy.destination.rstrip("/") + "/"):
        rest = absolute[len(copy.destination.rstrip("/")) + 1 :]
        candidates = [posixpath.normpath(posixpath.join(origin, rest))]
    return next((files[c] for c in candidates if c in files), None)
