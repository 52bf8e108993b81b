"""Tasks that a repository defines for a runner: make, just, tox, nox, npm, poe, hatch, pdm, invoke, task, mise, DVC.

`find_tasks(repo)` lists them with the lines of shell text behind each; `asked(command)` says which tasks of which
runner a command starts. The two together let a command be followed to what it really runs.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_engineer.assessment.declarations import toml

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.shell import Simple


@dataclass(frozen=True, slots=True)
class Task:
    """A named task. `lines` are its shell text with the line of the file each stands at; `needs` run before it."""

    runner: str
    name: str
    file: File
    line: int
    lines: tuple[tuple[int, str], ...] = ()
    needs: tuple[str, ...] = field(default=())

    @property
    def folder(self) -> str:
        return self.file.folder


def find_tasks(repo: Repo) -> list[Task]:
    """Every task, by file and place in it."""
    found: list[Task] = []
    for file in repo.glob("Makefile", "GNUmakefile", "*.mk", "Makefile.*"):
        found.extend(_make(file))
    for file in repo.glob("justfile", ".justfile", "*.just"):
        found.extend(_just(file))
    for file in repo.glob("tox.ini", "setup.cfg"):
        found.extend(_tox(file))
    for file in repo.glob("package.json"):
        found.extend(_npm(file))
    for file in repo.glob("pyproject.toml", "Pipfile", "mise.toml", ".mise.toml", "tox.toml", "pixi.toml"):
        found.extend(_from_toml(file))
    for file in repo.glob("noxfile.py", "tasks.py"):
        found.extend(_python_tasks(repo, file))
    for file in repo.glob("tasks/*.py", "**/tasks/*.py"):
        found.extend(_python_tasks(repo, file))
    for file in repo.glob("Taskfile.yml", "Taskfile.yaml", "dvc.yaml", "MLproject"):
        found.extend(_yaml_tasks(repo, file))
    return found


def asked(command: Simple) -> tuple[str, list[str], str] | None:
    """Runner, names of the tasks and folder (relative, empty for the current one) that a command asks for.

    No name means the runner's default. None for a command that starts no task runner.
    """
    program, arguments = command.program, list(command.arguments)
    names = [a for a in arguments if not a.startswith("-") and "=" not in a and "$" not in a]
    match program:
        case "make" | "gmake":
            folder = command.option("-C", "--directory") or ""
            return "make", [n for n in names if n not in (folder, command.option("-f", "--file"))], folder
        case "just":
            return "just", names[:1], ""
        case "tox":
            chosen = command.option("-e", "--env") or ""
            return (
                "tox",
                [n for n in chosen.split(",") if n] or (names[1:] if names[:1] in (["run"], ["r"]) else []),
                "",
            )
        case "nox":
            chosen = command.option("-s", "--session", "-e") or ""
            return "nox", [chosen] if chosen else [], ""
        case "npm" | "yarn" | "pnpm" | "bun":
            folder = command.option("--prefix", "--cwd") or ""
            names = [n for n in names if n not in (folder, "run", "run-script")]
            known = (
                "run" in arguments
                or "run-script" in arguments
                or program == "yarn"
                or names[:1] in (["test"], ["start"])
            )
            return ("npm", names[:1], folder) if known and names else None
        case "poe" | "poethepoet":
            return "poe", names[:1], ""
        case "invoke" | "inv":
            return "invoke", names, ""
        case "task" | "go-task":
            return "task", names, ""
        case "mise":
            return ("mise", names[1:2], "") if names[:1] in (["run"], ["r"]) else None
        case "dvc":
            return ("dvc", names[1:], "") if names[:1] in (["repro"], ["exp"]) else None
        case "mlflow":
            return (
                ("mlproject", [command.option("-e", "--entry-point") or "main"], "") if names[:1] == ["run"] else None
            )
    if command.runner in ("hatch", "pdm", "pipenv", "pixi", "rye"):
        return command.runner, [command.words[0].rpartition(":")[2]], ""
    return None


# --- make, just -------------------------------------------------------------------------------------------------------


def _make(file: File) -> Iterator[Task]:
    variables: dict[str, str] = {}
    current: list[str] = []
    needs: tuple[str, ...] = ()
    first = 0
    body: list[tuple[int, str]] = []

    def finish() -> Iterator[Task]:
        for name in current:
            yield Task("make", name, file, first, tuple(body), needs)

    for number, line in enumerate(file.lines, 1):
        if line.startswith("\t") or (current and line.startswith("    ") and line.strip()):
            if current:
                body.append((number, _fill(line.strip().lstrip("@-+"), variables)))
            continue
        assignment = re.match(r"^\s*(?:export\s+)?([\w.]+)\s*[:?+]?:?=\s*(.*)$", line)
        if assignment:
            variables[assignment[1]] = assignment[2].strip()
            continue
        rule = re.match(r"^([^\s#:=][^:=#]*)::?(?!=)\s*([^#;]*)(?:;(.*))?", line)
        if rule:
            yield from finish()
            names = [n for n in _fill(rule[1], variables).split() if not n.startswith(".")]
            current, first, body = names, number, []
            needs = tuple(n for n in _fill(rule[2], variables).split() if n != "|")
            if rule[3]:
                body.append((number, rule[3].strip()))
    yield from finish()


def _fill(text: str, variables: dict[str, str]) -> str:
    for _ in range(4):
        filled = re.sub(r"\$[({](\w+)[)}]", lambda m: variables.get(m[1], m[0]), text)[:4_000]
        if filled == text:
            break
        text = filled
    return text.replace("$$", "$").replace("$(MAKE)", "make").replace("${MAKE}", "make")


def _just(file: File) -> Iterator[Task]:
    name, needs, first = "", (), 0
    body: list[tuple[int, str]] = []
    for number, line in enumerate(file.lines, 1):
        if line[:1].isspace() and line.strip():
            body.append((number, re.sub(r"\{\{[^{}]*\}\}", "$x", line.strip().lstrip("@-"))))
            continue
        recipe = re.match(r"^@?([A-Za-z_][\w-]*)(\s[^:]*)?:(?!=)\s*(.*)$", line)
        if recipe:
            if name:
                yield Task("just", name, file, first, tuple(body), needs)
            name, first, body = recipe[1], number, []
            needs = tuple(re.findall(r"[A-Za-z_][\w-]*", recipe[3].split("#")[0]))
    if name:
        yield Task("just", name, file, first, tuple(body), needs)


# --- tox, npm, TOML ---------------------------------------------------------------------------------------------------


def _tox(file: File) -> Iterator[Task]:
    section, key, first = "", "", 0
    lines: list[tuple[int, str]] = []
    for number, line in enumerate([*file.lines, "[end]"], 1):
        header = re.match(r"^\[([^\]]+)\]", line)
        entry = re.match(r"^([A-Za-z_]\w*)\s*[=:]\s*(.*)$", line)
        if header:
            if lines and section.startswith("testenv"):
                yield Task("tox", section.partition(":")[2], file, first, tuple(lines))
            section, key, lines, first = header[1], "", [], number
        elif entry:
            key = entry[1]
            if key.startswith("commands") and entry[2].strip():
                lines.append((number, entry[2].strip().lstrip("-!")))
        elif key.startswith("commands") and line.strip() and not line.strip().startswith("#"):
            text = re.sub(r"\{posargs:?([^}]*)\}", r"\1", line.strip().lstrip("-!"))
            lines.append((number, re.sub(r"^[\w,!-]+:\s+", "", text)))


def _npm(file: File) -> Iterator[Task]:
    try:
        document = json.loads(file.text)
    except (ValueError, RecursionError):
        return
    scripts = document.get("scripts") if isinstance(document, dict) else None
    for name, text in scripts.items() if isinstance(scripts, dict) else ():
        if isinstance(text, str):
            line = _line(file, f'"{name}"')
            yield Task("npm", name, file, line, ((line, text),))


def _from_toml(file: File) -> Iterator[Task]:
    document = toml(file)
    tool = document.get("tool") if isinstance(document.get("tool"), dict) else {}
    assert isinstance(tool, dict)
    tables: list[tuple[str, object]] = [
        ("poe", _at(tool, "poe", "tasks")),
        ("pdm", _at(tool, "pdm", "scripts")),
        ("rye", _at(tool, "rye", "scripts")),
        ("pixi", _at(tool, "pixi", "tasks") if file.name != "pixi.toml" else document.get("tasks")),
    ]
    features = _at(tool, "pixi", "feature") if file.name != "pixi.toml" else document.get("feature")
    for feature in features.values() if isinstance(features, dict) else ():
        tables.append(("pixi", _at(feature, "tasks")))
    environments = _at(tool, "hatch", "envs")
    for environment in environments.values() if isinstance(environments, dict) else ():
        tables.append(("hatch", _at(environment, "scripts")))
    if file.name == "Pipfile":
        tables.append(("pipenv", document.get("scripts")))
    if file.name.endswith("mise.toml"):
        tables.append(("mise", document.get("tasks")))
    for runner, table in tables:
        for name, value in table.items() if isinstance(table, dict) else ():
            texts = list(_texts(value))
            if texts:
                line = _line(file, name)
                needs = _at(value, "depends") or _at(value, "depends-on") or []
                names = tuple(n for n in needs if isinstance(n, str)) if isinstance(needs, list) else ()
                yield Task(runner, str(name), file, line, tuple((line, text) for text in texts), names)


def _at(table: object, *path: str) -> Any:
    for key in path:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _texts(value: object) -> Iterator[str]:
    """Shell text of a task given as a text, a list, or a table with `cmd`, `shell`, `run` or `sequence`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key in ("cmd", "shell", "run", "sequence", "composite"):
            inner = value.get(key)
            if key == "cmd" and isinstance(inner, list):
                yield " ".join(str(word) for word in inner)
            else:
                yield from _texts(inner)


def _line(file: File, text: str) -> int:
    pattern = re.compile(rf"(^|[\s.\"'\[]){re.escape(text.strip(chr(34)))}[\"'\]]*\s*[:=\]]")
    return next((number for number, _ in file.find(pattern)), 1)


# --- Python and YAML --------------------------------------------------------------------------------------------------


def _python_tasks(repo: Repo, file: File) -> Iterator[Task]:
    """Sessions of a noxfile and tasks of invoke: what they give to `.run(…)`."""
    module = repo.by_path.get(file.path)
    if module is None:
        return
    runner = "nox" if file.name == "noxfile.py" else "invoke"
    for function in module.functions.values():
        names = [module.resolve(d.func if isinstance(d, ast.Call) else d) for d in function.node.decorator_list]
        if not any(name in ("nox.session", "invoke.task", "invoke.tasks.task") for name in names):
            continue
        lines = []
        for call in module.calls:
            if call.scope is function and isinstance(call.node.func, ast.Attribute) and call.node.func.attr == "run":
                words = [module.literal(a) for a in call.node.args if not isinstance(a, ast.Starred)]
                text = " ".join(str(w) if isinstance(w, str) else "$x" for w in words)
                lines.append((call.node.lineno, text))
        yield Task(runner, function.node.name, file, function.node.lineno, tuple(lines))


def _yaml_tasks(repo: Repo, file: File) -> Iterator[Task]:
    kinds = {"dvc.yaml": ("dvc", "stages", "cmd"), "MLproject": ("mlproject", "entry_points", "command")}
    runner, section, key = kinds.get(file.name, ("task", "tasks", "cmds"))
    for document in repo.yaml(file).documents:
        table = document.get(section)
        for name, body in table.entries.items() if table is not None else ():
            command = body.get(key) or body.get("do", key) or body.get("cmd")
            lines = []
            for node in [command, *command.items] if command is not None else []:
                node = node.get("cmd") or node
                if node.kind == "scalar":
                    lines.extend(node.lines())
            if lines:
                yield Task(runner, name, file, body.key_line or body.line, tuple(lines))


def folder_of(task_folder: str, folder: str) -> str:
    """A folder that a command changes to, from the folder it is run in."""
    joined = posixpath.normpath(posixpath.join(task_folder, folder))
    return "" if joined == "." else joined
