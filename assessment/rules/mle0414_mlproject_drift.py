"""M4-14, fourth part: an MLproject entry point and its parameters do not fit each other."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.manifests import Node
    from ml_engineer.assessment.repo import Repo

_USED = re.compile(r"\{\s*(\w+)\s*\}")
_SCRIPT = re.compile(r"(?:python[\d.]*|bash|sh)\s+(?:-\w+\s+)*([\w./-]+\.(?:py|sh))")


@rule(
    id="MLE0414",
    part="mlproject",
    name="mlproject-drift",
    step=4,
    severity=MEDIUM,
    title="MLproject does not match its command",
    why="`mlflow run -P` accepts the parameter and records it, but the training never sees it, or the run fails.",
    remedy="Use every declared parameter in the command, and name a script that exists.",
    source="MLflow documentation of MLproject files",
    applies=lambda repo: bool(repo.glob("MLproject")),
)
def check(repo: Repo) -> Iterator[Hit]:
    for file in repo.glob("MLproject"):
        for document in repo.yaml(file).documents:
            entries = document.get("entry_points")
            for name, entry in entries.entries.items() if entries is not None and entries.kind == "map" else ():
                problems = list(_problems(repo, file, entry))
                if problems:
                    sites = [node.site(note=text, anchor=name) for text, node in problems]
                    yield Hit(sites, title=f"MLproject, entry point {name}: {problems[0][0]}")


def _problems(repo: Repo, file: File, entry: Node) -> Iterator[tuple[str, Node]]:
    command, parameters = entry.get("command"), entry.get("parameters")
    if command is None or command.kind != "scalar":
        return
    used = set(_USED.findall(command.text))
    declared = parameters.entries if parameters is not None and parameters.kind == "map" else {}
    for name, node in declared.items():
        if name not in used and "$" not in command.text:
            yield f"the parameter {name} is never used", node
    for name in sorted(used - set(declared)):
        yield f"the command uses {{{name}}}, which is not declared", command
    for script in _SCRIPT.findall(command.text):
        if posixpath.normpath(posixpath.join(file.folder, script)) not in repo.files:
            yield f"the command runs {script}, which does not exist", command
