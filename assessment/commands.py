"""Commands of the repository: what containers, CI, task runners, scripts and documents run, and what stands behind it.

for command in repo.commands:                  every simple command, wrappers and assignments taken off
    command.program, command.arguments         "gunicorn", ("app:app",)
    command.origin                             docker-cmd, docker-run, procfile, compose, kubernetes, systemd, ci,
                                               make, just, tox, nox, npm, poe, …, shell-script, readme, dvc,
                                               mlproject
repo.commands.expand(command)                  itself and everything that it leads to through tasks and scripts
repo.commands.starts("src/app.py")             commands that run this file
repo.commands.runs(command)                    files of the repository that a command runs
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ml_engineer.assessment import launch, tasks
from ml_engineer.assessment.shell import Simple, join_lines, simple, unwrap

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rule import Site

MAX_DEPTH = 6
MAX_EXPANDED = 400
MAX_SCRIPT_BYTES = 300_000
START_ORIGINS = ("docker-cmd", "procfile", "compose", "kubernetes", "systemd")  # what starts a service for real

_EXPRESSION = re.compile(r"\$\{\{.*?\}\}")  # filled in by the CI service before the shell reads the line
_SHEBANG = re.compile(rb"^#!.*\b(ba|z|da|k)?sh\b")
_FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*\{?\.?([\w+-]*)")
_SHELL_BLOCKS = frozenset(
    ["", "bash", "sh", "shell", "console", "zsh", "terminal", "cmd", "shell-session", "powershell"]
)
_PROMPT = re.compile(r"^\s*(?:\([\w.-]+\)\s*)?(?:\$|%|>|PS[^>]*>|!)\s+(?=\S)")
# A line of a README block without a prompt is a command where it starts with one of these.
_KNOWN_PROGRAM = re.compile(
    r"^(?:sudo\s+|\w+=\S+\s+)*(?:python[\d.]*|pip[\d.]*|uv|poetry|pipenv|conda|make|just|tox|nox|npm|yarn|docker|"
    r"docker-compose|gunicorn|uvicorn|flask|streamlit|dvc|mlflow|bash|sh|pytest|torchrun|accelerate|deepspeed|git|curl|"
    r"wget|cd|export|jupyter|kubectl|fastapi|celery|bentoml|ray|\./[\w./-]+|[\w./-]+\.sh)(?:\s|$)"
)


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command and where it stands. `name` is the task, job, service or stage it belongs to.

    `folder` is where it runs, relative to the root; in an image it is a path of the image (starts with a slash).
    """

    text: str
    simple: Simple
    site: Site
    origin: str
    folder: str = ""
    name: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        return self.simple.words

    @property
    def program(self) -> str:
        return self.simple.program

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.simple.arguments

    @property
    def env(self) -> dict[str, str]:
        return dict(self.simple.env)


class Commands:
    """All commands of a repository. `repo.commands` is the one to use."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo

    def __iter__(self) -> Iterator[Command]:
        return iter(self.all)

    @cached_property
    def all(self) -> list[Command]:
        """Every command, by origin and place."""
        return list(self._collect())

    def of(self, *origins: str) -> list[Command]:
        return [command for command in self.all if command.origin in origins]

    @cached_property
    def starts_services(self) -> list[Command]:
        """Commands that really start something in operation, each with what it leads to."""
        return [found for command in self.of(*START_ORIGINS) for found in self.expand(command)]

    # --- where commands come from ----------------------------------------------------------------------------------

    def _collect(self) -> Iterator[Command]:
        yield from self._docker()
        yield from self._manifests()
        for file in self.repo.glob("Procfile", "Procfile.*"):
            for number, line in enumerate(file.lines, 1):
                process = re.match(r"^([\w-]+)\s*:\s*(.+)$", line)
                if process:
                    yield from _commands(file, [(number, process[2])], "procfile", file.folder, process[1])
        for file in self.repo.glob("*.service"):
            for number, match in file.find(r"^\s*Exec(?:Start|StartPre)\s*=\s*[-@:+!]*(.+)$"):
                yield from _commands(file, [(number, match[1])], "systemd", "", file.name)
        for workflow in self.repo.workflows:
            for job in workflow.jobs:
                for step in job.steps:
                    folder = step.folder.strip("./") if "$" not in step.folder else ""
                    lines = [(number, _EXPRESSION.sub("$EXPRESSION", text)) for number, text in step.lines]
                    yield from _commands(step.file, lines, "ci", folder, job.name)
        for task in self._tasks:
            yield from self._of_task(task)
        for file in self._scripts.values():
            yield from self._of_script(file)
        for file in self.repo.glob("*.md", "README*"):
            if file.size <= MAX_SCRIPT_BYTES:
                yield from _commands(file, _documented(file), "readme", "", "")

    def _docker(self) -> Iterator[Command]:
        for docker in self.repo.dockerfiles:
            for stage in docker.stages:
                for instruction in stage.of("RUN"):
                    lines = [(instruction.line, instruction.script)]
                    for found in _commands(
                        docker.file, lines, "docker-run", stage.workdirs_at(instruction), stage.name
                    ):
                        yield _at(found, instruction.site())
            final = docker.final
            if final is None:
                continue
            start = final.entrypoint or final.cmd
            if start is None:
                continue
            words = list(final.start_words)
            env = tuple(final.env.items())
            for item in unwrap(words) if start.exec_form else simple(" ".join(words)):
                item = Simple(item.words, (*env, *item.env), item.runner)
                site = (final.cmd or start).site()
                yield Command(" ".join(words), item, site, "docker-cmd", final.workdir, docker.path)

    def _manifests(self) -> Iterator[Command]:
        for service in self.repo.compose:
            if service.command:
                node = service.node.get("command") or service.node.get("entrypoint")
                site = node.site() if node is not None else service.site()
                env = tuple((key, node.text) for key, node in service.environment.items())
                text = node.text if node is not None and node.kind == "scalar" else None
                yield from _words(text or service.command, site, "compose", service.file.folder, service.name, env)
        for item in self.repo.kubernetes:
            for container in item.containers:
                if container.command:
                    node = container.node.get("command") or container.node.get("args")
                    site = node.site() if node is not None else container.site()
                    yield from _words(container.command, site, "kubernetes", "", container.name, ())

    @cached_property
    def _tasks(self) -> list[tasks.Task]:
        return tasks.find_tasks(self.repo)

    @cached_property
    def _scripts(self) -> dict[str, File]:
        """Shell scripts by path."""
        named = {f.path: f for f in self.repo.glob("*.sh", "*.bash") if f.size <= MAX_SCRIPT_BYTES}
        for file in self.repo.files.values():
            if not file.suffix and file.size <= MAX_SCRIPT_BYTES and not file.roles & {"vendored", "template"}:
                if file.path not in named and file.path.startswith(("bin/", "scripts/", "script/", ".ci/")):
                    if _SHEBANG.match(file.head(80)):
                        named[file.path] = file
        return named

    def _of_task(self, task: tasks.Task) -> list[Command]:
        return list(_commands(task.file, task.lines, task.runner, task.folder, task.name))

    def _of_script(self, file: File, folder: str = "") -> list[Command]:
        """Commands of a shell script, run in the folder of whoever starts it."""
        lines = list(enumerate(file.lines, 1))
        return list(_commands(file, lines, "shell-script", folder, file.name))

    # --- what stands behind a command ------------------------------------------------------------------------------

    def expand(self, command: Command) -> list[Command]:
        """The command and everything it leads to: task targets, scripts, `make` inside `make`; bounded."""
        found: list[Command] = []
        seen: set[tuple[str, ...]] = set()
        stack = [(command, 0)]
        while stack and len(found) < MAX_EXPANDED:
            current, depth = stack.pop()
            key = (current.folder, current.site.path, str(current.site.line), *current.words)
            if key in seen:
                continue
            seen.add(key)
            found.append(current)
            if depth < MAX_DEPTH:
                stack.extend((inner, depth + 1) for inner in reversed(list(self._behind(current))))
        return found

    def _behind(self, command: Command) -> Iterator[Command]:
        asked = tasks.asked(command.simple)
        if asked is not None:
            yield from self._asked(command, *asked)
        script = self.script_of(command)
        if script is not None:
            yield from self._of_script(script, "" if command.folder.startswith("/") else command.folder)

    def _asked(self, command: Command, runner: str, names: list[str], folder: str) -> Iterator[Command]:
        base = tasks.folder_of("" if command.folder.startswith("/") else command.folder, folder)
        known = [t for t in self._tasks if t.runner == runner]
        near = [t for t in known if t.folder == base] or [t for t in known if t.folder == ""] or known
        if not near:
            return
        if names:
            queue = list(names)
        elif runner in ("tox", "nox", "dvc"):
            queue = [t.name for t in near]
        else:
            queue = [next((t.name for t in near if t.name == "all"), near[0].name)]
        if runner == "tox" and any(t.name == "" for t in near):
            queue.append("")
        done: set[str] = set()
        while queue:
            name = queue.pop(0)
            if name in done:
                continue
            done.add(name)
            for task in near:
                if task.name == name or (runner in ("tox", "nox") and name.startswith(f"{task.name}-") and task.name):
                    queue.extend(task.needs)
                    yield from self._of_task(task)

    def script_of(self, command: Command) -> File | None:
        """The shell script of the repository that a command runs, or None."""
        words = [w for w in command.words if not w.startswith("-")]
        if words and re.fullmatch(r"(?:.*/)?(ba|z|da|k)?sh|source|\.", words[0]):
            words = words[1:]
        if not words or "$" in words[0]:
            return None
        return self.locate(command, words[0], self._scripts)

    def locate(self, command: Command, path: str, files: dict[str, File]) -> File | None:
        """The file that a command's argument names: from its folder, from the root, and in an image by its ending."""
        clean = posixpath.normpath(path)
        if not command.folder.startswith("/") and not path.startswith("/"):
            for base in dict.fromkeys((command.folder, posixpath.dirname(command.site.path), "")):
                found = files.get(posixpath.normpath(posixpath.join(base, clean)))
                if found is not None:
                    return found
            return None
        return launch.in_image(self.repo, command.site.path, command.folder, clean, files)

    # --- which files commands run ----------------------------------------------------------------------------------

    @cached_property
    def python_files(self) -> dict[str, File]:
        """Files of the repository's modules, by path."""
        return {path: module.file for path, module in self.repo.by_path.items()}

    def runs(self, command: Command) -> list[str]:
        """Paths of the Python files of this repository that a command runs directly."""
        return launch.targets(self, command)

    @cached_property
    def _started(self) -> dict[str, list[Command]]:
        found: dict[str, list[Command]] = {}
        for command in self.all:
            for path in self.runs(command):
                found.setdefault(path, []).append(command)
        return found

    def starts(self, path: str) -> list[Command]:
        """Commands that run a file of the repository."""
        return self._started.get(path, [])


def _at(command: Command, site: Site) -> Command:
    return Command(command.text, command.simple, site, command.origin, command.folder, command.name)


def _words(
    words: list[str] | str, site: Site, origin: str, folder: str, name: str, env: tuple[tuple[str, str], ...]
) -> Iterator[Command]:
    """Commands of a list of words, or of shell text."""
    text = words if isinstance(words, str) else " ".join(words)
    for item in simple(words) if isinstance(words, str) else unwrap(words):
        yield Command(text, Simple(item.words, (*env, *item.env), item.runner), site, origin, folder, name)


def _commands(file: File, lines: Iterable[tuple[int, str]], origin: str, folder: str, name: str) -> Iterator[Command]:
    """Simple commands of shell lines, following `cd` and `export`."""
    numbered = [(number, part) for number, text in lines for part in text.split("\n")]
    env: list[tuple[str, str]] = []
    for index, text in join_lines(part for _, part in numbered):
        first = numbered[index - 1][0]
        last = first + text.count("\\\n")
        for item in simple(text):
            if item.program == "export":
                pairs = [w.partition("=") for w in item.words[1:] if "=" in w]
                env.extend([*item.env, *((key, value) for key, _, value in pairs)])
                continue
            if item.program == "cd" and len(item.words) > 1 and "$" not in item.words[1]:
                folder = tasks.folder_of(folder, item.words[1])
            item = Simple(item.words, (*env, *item.env), item.runner)
            yield Command(text, item, file.site(first, last, anchor=name), origin, folder, name)


def _documented(file: File) -> Iterator[tuple[int, str]]:
    """Command lines of the fenced blocks of a Markdown file."""
    fence, shell, continued = "", False, False
    for number, line in enumerate(file.lines, 1):
        mark = _FENCE.match(line)
        if mark and (not fence or line.strip().startswith(fence)):
            fence, shell = ("", False) if fence else (mark[2], mark[3].lower() in _SHELL_BLOCKS)
            continue
        if not fence or not shell:
            continue
        prompt = _PROMPT.match(line)
        text = line[prompt.end() :] if prompt else line.strip()
        if prompt or continued or _KNOWN_PROGRAM.match(text):
            continued = text.endswith("\\")
            yield number, text
