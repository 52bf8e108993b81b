"""M4-14, first part: dvc.yaml names scripts, inputs or parameters that are not there, or leaves the script out."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.manifests import Node
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

_SCRIPT = re.compile(r"(?<![\w/.-])((?:\.{0,2}/)?[\w./-]+\.(?:py|sh|R|ipynb))(?![\w/])")


@rule(
    id="MLE0414",
    name="dvc-drift",
    step=4,
    severity=MEDIUM,
    title="dvc.yaml does not match the repository",
    why="`dvc repro` fails, or does not notice that something it depends on has changed.",
    remedy="Correct the path or key in the stage, and list the script among its deps.",
    source="DVC documentation of dvc.yaml",
    applies=lambda repo: bool(repo.glob("dvc.yaml")),
)
def check(repo: Repo) -> Iterator[Hit]:
    for file in repo.glob("dvc.yaml"):
        for document in repo.yaml(file).documents:
            stages = document.get("stages")
            if stages is None or stages.kind != "map":
                continue
            made = _made(stages)
            for name, stage in stages.entries.items():
                problems = list(_problems(repo, file, stage, made))
                if problems:
                    text = problems[0][0]
                    yield Hit(
                        [node.site(note=note, anchor=name) for note, node in problems],
                        title=f"dvc.yaml, stage {name}: {text}",
                        anchor=f"{file.path}\0{name}",
                    )


def _made(stages: Node) -> set[str]:
    """What the stages put out."""
    found = set()
    for stage in stages.entries.values():
        for key in ("outs", "metrics", "plots"):
            node = stage.get(key)
            found.update(node.strings() if node is not None else [])
            for item in node.items if node is not None else []:
                found.update(item.entries)
    return {posixpath.normpath(path) for path in found}


def _problems(repo: Repo, file: File, stage: Node, made: set[str]) -> Iterator[tuple[str, Node]]:
    command, deps = stage.get("cmd"), stage.get("deps")
    stage_folder = stage.get("wdir")
    folder = posixpath.normpath(posixpath.join(file.folder, stage_folder.text if stage_folder is not None else ""))
    listed = deps.strings() if deps is not None and deps.kind == "list" else []
    for node in [command] if command is not None and command.kind == "scalar" else command.items if command else []:
        if "${" in node.text or re.search(r"\bcd\s", node.text):
            continue
        for script in _SCRIPT.findall(node.text):
            path = _join(folder, script)
            if path not in repo.files:
                if posixpath.normpath(script) not in made:
                    yield f"the command runs {script}, which does not exist", node
            elif not any(path == _join(folder, d) or path.startswith(_join(folder, d) + "/") for d in listed):
                yield f"{script} is not among the deps, so a change of it is not noticed", node
    for node in deps.items if deps is not None and deps.kind == "list" else []:
        if node.kind == "scalar" and _is_absent(repo, folder, node.text, made):
            yield f"the dependency {node.text} does not exist and no stage makes it", node
    yield from _missing_params(repo, folder, stage)
    if command is not None and command.kind == "scalar" and "${" not in command.text:
        yield from _unlisted_params(repo, folder, stage, command)


def _unlisted_params(repo: Repo, folder: str, stage: Node, command: Node) -> Iterator[tuple[str, Node]]:
    """Sections of params.yaml that the script of a stage reads and the stage does not list."""
    file = repo.files.get(_join(folder, "params.yaml"))
    params, deps = stage.get("params"), stage.get("deps")
    if file is None or "params.yaml" in (deps.strings() if deps is not None and deps.kind == "list" else []):
        return
    documents = repo.yaml(file).documents
    sections = set(documents[0].entries) if documents and documents[0].kind == "map" else set()
    listed = {item.text.split(".")[0] for item in (params.items if params is not None else []) if item.kind == "scalar"}
    if any(item.kind != "scalar" for item in (params.items if params is not None else [])):
        return
    for script in _SCRIPT.findall(command.text):
        module = repo.by_path.get(_join(folder, script))
        if module is None or "params.yaml" not in module.file.text:
            continue
        read: set[str] = set()
        for node in module.nodes(ast.Subscript):
            match node:
                case ast.Subscript(value=value, slice=ast.Constant(value=str() as name)) if _is_params(module, value):
                    read.add(name)
        for name in sorted(read & sections - listed):
            yield f"{script} reads the parameter {name}, which the stage does not list", command


def _is_params(module: Module, node: ast.expr) -> bool:
    """Whether a value is what `yaml.safe_load(open("params.yaml"))` gives."""
    made = module.value(node) or node
    return isinstance(made, ast.Call) and "params.yaml" in ast.unparse(made) and "load" in ast.unparse(made.func)


def _join(folder: str, path: str) -> str:
    joined = posixpath.normpath(posixpath.join(folder, path))
    return "" if joined == "." else joined


def _is_absent(repo: Repo, folder: str, path: str, made: set[str]) -> bool:
    if "${" in path or "://" in path or path.startswith(("/", "~")) or "*" in path:
        return False
    full = _join(folder, path)
    plain = posixpath.normpath(path)
    if any(plain == out or plain.startswith(out + "/") or out.startswith(plain + "/") for out in made):
        return False
    tracked = [p for p in repo.files if p == full or p.startswith(full + "/") or p.endswith(".dvc")]
    if any(p == full or p.startswith(full + "/") for p in tracked):
        return False
    outs = {_join(posixpath.dirname(p), posixpath.basename(p).removesuffix(".dvc")) for p in tracked}
    return not any(full == out or full.startswith(out + "/") for out in outs)


def _missing_params(repo: Repo, folder: str, stage: Node) -> Iterator[tuple[str, Node]]:
    """Keys of params.yaml (or of a named file) that are not there."""
    params = stage.get("params")
    for item in params.items if params is not None and params.kind == "list" else []:
        pairs = [("params.yaml", item)] if item.kind == "scalar" else _named(item)
        for name, node in pairs:
            file = repo.files.get(_join(folder, name))
            if "${" in node.text or not name.endswith((".yaml", ".yml")):
                continue
            if file is None:
                yield f"the parameter file {name} does not exist", node
                continue
            documents = repo.yaml(file).documents
            if documents and documents[0].get(*node.text.split(".")) is None:
                yield f"the parameter {node.text} is not in {name}", node


def _named(item: Node) -> list[tuple[str, Node]]:
    return [(name, node) for name, keys in item.entries.items() for node in keys.items if node.kind == "scalar"]
