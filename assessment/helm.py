"""Helm templates, filled in from the chart's own values as far as that goes, line for line.

`render(repo, file)` yields texts to try as YAML, the most faithful first. Lines are never added or removed, so a line
number in the rendered text is the one in the template. What cannot be known becomes the word `UNKNOWN`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import File

if TYPE_CHECKING:
    from ml_engineer.assessment.manifests import Node
    from ml_engineer.assessment.repo import Repo

UNKNOWN = "UNKNOWN"
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.S)
_CONTROL = re.compile(r"^(if|else|end|with|range|define|block|template|/\*|\$)")
_VALUE = re.compile(r"^\(?\s*\.Values\.([\w.]+)\s*\)?")
_TO_YAML = re.compile(r"toYaml\s+\(?\s*(\.Values\.[\w.]+|\.)")
_INDENT = re.compile(r"n?indent\s+(\d{1,3})\b")
_WITH = re.compile(r"^with\s+\.Values\.([\w.]+)")


def chart_of(repo: Repo, file: File) -> str | None:
    """Folder of the chart that a template belongs to, or None."""
    parts = file.path.split("/")
    for length in range(len(parts) - 1, 0, -1):
        if parts[length - 1] == "templates":
            folder = "/".join(parts[: length - 1])
            if (f"{folder}/Chart.yaml" if folder else "Chart.yaml") in repo.files:
                return folder
    return None


def values_of(repo: Repo, chart: str) -> Node | None:
    """The chart's values, or None where there are none."""
    file = repo.files.get(f"{chart}/values.yaml" if chart else "values.yaml")
    documents = repo.yaml(file).documents if file is not None else []
    return documents[0] if documents else None


def value_node(repo: Repo, file: File, line: int) -> Node | None:
    """The node of values.yaml that a template's line reads (its last `.Values` path), or None."""
    chart = chart_of(repo, file)
    values = values_of(repo, chart) if chart is not None else None
    if values is None or not 0 < line <= len(file.lines):
        return None
    found = [values.get(*path.split(".")) for path in re.findall(r"\.Values\.([\w.]+)", file.lines[line - 1])]
    known = [node for node in found if node is not None]
    return known[-1] if known else None


def render(repo: Repo, file: File) -> Iterator[str]:
    """Texts to try as YAML. None where the file is no template of a chart."""
    chart = chart_of(repo, file)
    if chart is None:
        return
    values = values_of(repo, chart)
    yield _fill(file.text, values, structures=True)
    yield _fill(file.text, values, structures=False)


def _fill(text: str, values: Node | None, *, structures: bool) -> str:
    scope: list[Node | None] = []  # what `.` stands for, by open block
    lines = []
    for line in _flat(text).split("\n"):
        stripped = line.strip()
        actions = _ACTION.findall(line)
        for action in actions:
            _track(action, scope, values)
        if len(actions) == 1 and _ACTION.fullmatch(stripped):
            lines.append(_whole_line(actions[0], scope, values, structures))
        else:
            lines.append(_ACTION.sub(lambda m: _inline(m[1], scope, values), line))
    return "\n".join(lines)


def _flat(text: str) -> str:
    """Comments and actions that run over several lines, blanked without losing a line."""
    return _ACTION.sub(lambda m: m[0] if "\n" not in m[0] else "\n" * m[0].count("\n"), text)


def _track(action: str, scope: list[Node | None], values: Node | None) -> None:
    if action.startswith(("if", "with", "range", "define", "block")):
        found = _WITH.match(action)
        scope.append(values.get(*found[1].split(".")) if found and values is not None else None)
    elif action == "end" and scope:
        scope.pop()


def _whole_line(action: str, scope: list[Node | None], values: Node | None, structures: bool) -> str:
    """A line that is nothing but one action: a block of YAML put in, or control that leaves no text."""
    if _CONTROL.match(action) or not structures:
        return ""
    found = _TO_YAML.match(action)
    indent = _INDENT.search(action)
    if not found or not indent:
        return ""
    node = _lookup(found[1], scope, values)
    return " " * int(indent[1]) + _flow(node)


def _lookup(path: str, scope: list[Node | None], values: Node | None) -> Node | None:
    if path == ".":
        return next((node for node in reversed(scope) if node is not None), None)
    return values.get(*path.removeprefix(".Values.").split(".")) if values is not None else None


def _flow(node: Node | None) -> str:
    return json.dumps(node.plain()) if node is not None else f"{{{UNKNOWN}: {UNKNOWN}}}"


def _inline(action: str, scope: list[Node | None], values: Node | None) -> str:
    if _CONTROL.match(action):
        return ""
    found = _TO_YAML.match(action)
    if found:
        return _flow(_lookup(found[1], scope, values))
    found = _VALUE.match(action)
    node = values.get(*found[1].split(".")) if found and values is not None else None
    if node is not None and node.kind == "scalar" and not node.is_null and "\n" not in node.text:
        return node.text
    default = re.search(r'default\s+"([^"]*)"', action)
    return default[1] if default else UNKNOWN
