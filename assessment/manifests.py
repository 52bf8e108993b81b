"""YAML with line numbers, read from parser events so that no tag, alias or depth can hurt.

`read(file)` gives the documents of a file as `Node` trees and the reason where some of it could not be parsed.

    node.get("spec", "template", 0)     the node below, or None
    node.text / node.plain()            scalar as written / plain Python value
    node.line, node.site()              where it stands, 1-based

Aliases share the node they name and are never expanded; a file whose expansion, nesting or size is above the limits
is refused. A Helm chart's templates are filled in from its values first (`helm.render`), line for line. Any other
templated YAML that does not parse is unknown, not broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import yaml

from ml_engineer.assessment.files import File
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

MAX_YAML_BYTES = 1_000_000
MAX_DEPTH = 100
MAX_NODES = 200_000  # nodes of one file, aliases counted as if they were expanded
MAX_PROBED_FILES = 2_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]{0,300})$")  # Python refuses to convert thousands of digits
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*)?\.?[0-9]+([eE][-+]?[0-9]+)?$")
_TEMPLATED = re.compile(r"\{\{|\{%")

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


@dataclass(eq=False, slots=True)
class Node:
    """A YAML value with its place. Exactly one of `scalar`, `items`, `entries` is meant, as `kind` says."""

    file: File
    line: int
    line_end: int
    kind: str  # "scalar", "list" or "map"
    scalar: str = ""
    quoted: bool = False
    block: bool = False  # a literal or folded block: its text starts on the line after `line`
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    key_line: int = 0  # where the key stands that leads here, 0 for none
    tag: str = ""
    weight: int = 1  # nodes below, as if aliases were expanded

    def get(self, *path: str | int) -> Node | None:
        """The node that the keys and indices lead to, or None."""
        node: Node | None = self
        for step in path:
            if node is None:
                return None
            if isinstance(step, int):
                node = node.items[step] if node.kind == "list" and -len(node.items) <= step < len(node.items) else None
            else:
                node = node.entries.get(step)
        return node

    @property
    def text(self) -> str:
        """A scalar as written, without quotes; empty for a list or a map."""
        return self.scalar

    @property
    def is_null(self) -> bool:
        return self.kind == "scalar" and not self.quoted and self.scalar in ("", "~", "null", "Null", "NULL")

    @property
    def children(self) -> list[Node]:
        return self.items if self.kind == "list" else list(self.entries.values())

    def strings(self) -> list[str]:
        """A scalar as a list of one, a list's scalars, a map's keys."""
        if self.kind == "scalar":
            return [] if self.is_null else [self.scalar]
        if self.kind == "list":
            return [item.scalar for item in self.items if item.kind == "scalar"]
        return list(self.entries)

    def plain(self) -> Plain:
        """The value as plain Python data. Numbers, `true`, `false` and null are converted, all else stays text."""
        if self.kind == "list":
            return [item.plain() for item in self.items]
        if self.kind == "map":
            return {key: value.plain() for key, value in self.entries.items()}
        if self.quoted or self.block or self.tag.endswith(":str"):
            return self.scalar
        if self.is_null:
            return None
        if self.scalar.lower() in ("true", "false"):
            return self.scalar.lower() == "true"
        if _INT.match(self.scalar):
            return int(self.scalar.replace("_", ""))
        if _FLOAT.match(self.scalar):
            return float(self.scalar.replace("_", ""))
        return self.scalar

    def integer(self) -> int | None:
        """A whole number, written with or without quotes."""
        return int(self.scalar) if self.kind == "scalar" and re.fullmatch(r"\d{1,9}", self.scalar) else None

    def truth(self) -> bool | None:
        """`true` or `false`, in the spellings that YAML 1.1 knows; None for anything else."""
        word = self.scalar.lower() if self.kind == "scalar" else ""
        if word in ("true", "yes", "on"):
            return True
        return False if word in ("false", "no", "off") else None

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Every node below with the key it stands under (of its list, for an item), this one first."""
        stack = [("", self)]
        while stack:
            key, node = stack.pop()
            yield key, node
            if node.kind == "map":
                stack.extend(reversed(list(node.entries.items())))
            else:
                stack.extend((key, item) for item in reversed(node.items))

    def lines(self) -> list[tuple[int, str]]:
        """The lines of a text with their numbers. Folded and quoted text may be off where it is wrapped."""
        first = self.line + 1 if self.block else self.line
        return [(first + number, line) for number, line in enumerate(self.scalar.split("\n")) if line.strip()]

    def site(self, *, note: str | None = None, anchor: str = "") -> Site:
        """The line of the key that leads here (or of the value itself), for a map or list only its heading."""
        first = self.key_line or self.line
        last = self.line_end if self.kind == "scalar" and self.line_end >= first else first
        return self.file.site(first, last, note=note, anchor=anchor)


@dataclass(eq=False)
class Parsed:
    """What a YAML file holds. `templated`: values may be missing or stand for something else."""

    file: File
    documents: list[Node] = field(default_factory=list)
    problem: tuple[int, str] | None = None  # line, reason
    templated: bool = False


def read(repo: Repo, file: File) -> Parsed:
    """The documents of a YAML file. Never raises for what the file holds."""
    if file.size > MAX_YAML_BYTES:
        return Parsed(file, templated=True)  # data, not configuration: its content is unknown here
    text = file.text
    templated = _TEMPLATED.search(text) is not None
    if templated:
        from ml_engineer.assessment import helm

        for rendered in helm.render(repo, file):
            found = parse(file, rendered)
            if found.problem is None:
                found.templated = True
                return found
    found = parse(file, text)
    if templated and found.problem is not None:
        return Parsed(file, templated=True)
    found.templated = file.name.endswith((".j2", ".tpl", ".tmpl"))
    return found


def parse(file: File, text: str) -> Parsed:
    """Documents of a YAML text that stands in `file`; those before a mistake are kept."""
    found = Parsed(file)
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
            if builder.nodes > MAX_NODES:
                found.problem = (_line(event.start_mark), "too large, or its aliases expand without end")
                break
            if len(builder.stack) > MAX_DEPTH:
                found.problem = (_line(event.start_mark), f"nested more than {MAX_DEPTH} levels deep")
                break
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "not valid YAML"
        found.problem = (mark.line + 1 if mark is not None else 1, str(reason))
    except _AliasError as error:
        found.problem = (error.line, str(error))
    found.documents = builder.documents
    return found


class _Mark(Protocol):
    line: int
    column: int


def _line(mark: _Mark | None) -> int:
    """1-based line of a mark. The parser marks every event."""
    return mark.line + 1 if mark is not None else 1


def _column(mark: _Mark | None) -> int:
    return mark.column if mark is not None else 0


class _AliasError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Builder:
    """Puts nodes together from parser events, without recursion."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.documents: list[Node] = []
        self.stack: list[tuple[Node, str]] = []  # open collection, its anchor
        self.keys: list[Node | None] = []  # for each open map the key that waits for its value
        self.anchors: dict[str, Node | None] = {}  # None while it is still open
        self.nodes = 0

    def feed(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self.anchors.clear()
            case yaml.ScalarEvent():
                first = _line(event.start_mark)
                last = _line(event.end_mark) - (0 if _column(event.end_mark) else 1)
                node = Node(self.file, first, max(first, last), "scalar", event.value, tag=event.tag or "")
                node.quoted = event.style in ("'", '"')
                node.block = event.style in ("|", ">")
                self._name(event.anchor, node)
                self._add(node)
            case yaml.AliasEvent():
                named = self.anchors.get(event.anchor or "")
                if named is None:
                    raise _AliasError(_line(event.start_mark), f"alias *{event.anchor} has no finished anchor")
                self._add(named)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
                node = Node(self.file, _line(event.start_mark), _line(event.start_mark), kind, tag=event.tag or "")
                if event.anchor:
                    self.anchors[event.anchor] = None
                self.stack.append((node, event.anchor or ""))
                self.keys.append(None)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                node, anchor = self.stack.pop()
                self.keys.pop()
                node.line_end = max(node.line, _line(event.end_mark) - (0 if _column(event.end_mark) else 1))
                _merge(node)
                self._name(anchor, node)
                self._add(node)

    def _name(self, anchor: str | None, node: Node) -> None:
        if anchor:
            self.anchors[anchor] = node

    def _add(self, node: Node) -> None:
        self.nodes += 1
        if not self.stack:
            self.documents.append(node)
            return
        parent = self.stack[-1][0]
        parent.weight += node.weight
        self.nodes = max(self.nodes, parent.weight)
        if parent.kind == "list":
            parent.items.append(node)
            return
        key = self.keys[-1]
        if key is None:
            self.keys[-1] = node
            return
        self.keys[-1] = None
        if node.key_line == 0:
            node.key_line = key.line
        parent.entries[key.scalar if key.kind == "scalar" else "?"] = node


def _merge(node: Node) -> None:
    """Resolve the merge key `<<`: what the map says itself wins."""
    merged = node.entries.pop("<<", None)
    if merged is None:
        return
    for source in merged.items if merged.kind == "list" else [merged]:
        for key, value in source.entries.items():
            node.entries.setdefault(key, value)


# --- what is wrong with the files a review reads ----------------------------------------------------------------------


def parse_problems(repo: Repo) -> list[tuple[Site, str]]:
    """Places where YAML or a Dockerfile cannot be parsed, with the reason. Test data and vendored files left out."""
    problems: list[tuple[Site, str]] = []
    candidates = [f for f in repo.glob("*.yaml", "*.yml") if "test" not in f.roles]
    for file in candidates[:MAX_PROBED_FILES]:
        found = repo.yaml(file)
        if found.problem is not None:
            line, reason = found.problem
            problems.append((file.site(line), reason))
    for dockerfile in repo.dockerfiles:
        problems.extend((dockerfile.file.site(line), reason) for line, reason in dockerfile.problems)
    return problems
