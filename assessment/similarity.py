"""Code that is the same but for names of locals, comments, docstrings and layout.

shape(statement)                 equal for equal code
function_shape(function)         equal for equal functions, whatever they are called
alike(left, right)               how much of two modules is equal, 0 to 1
runs(left, right, 8)             runs of at least 8 statements that stand in both, names included
working(module, body)            the simple statements that compute something, by their text
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import statements, walk

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Function, Module


def shape(node: ast.AST) -> str:
    """Digest of a statement's structure. Names of locals are numbered by their first use, docstrings left out."""
    return hashlib.sha1(_dump(node, {}).encode(), usedforsecurity=False).hexdigest()


def _dump(node: object, names: dict[str, str]) -> str:
    parts: list[str] = []
    stack: list[object] = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, ast.AST):
            parts.append(type(current).__name__)
            for field, value in reversed(list(ast.iter_fields(current))):
                if field in ("ctx", "type_comment", "kind", "annotation", "returns", "decorator_list"):
                    continue
                if (
                    field in ("id", "arg", "name")
                    and isinstance(value, str)
                    and not isinstance(current, ast.keyword | ast.alias)
                ):
                    value = names.setdefault(value, f"${len(names)}")
                if field == "body" and isinstance(value, list):
                    value = without_docstring(value)
                stack.append(value)
        elif isinstance(current, list | tuple):
            parts.append(f"[{len(current)}")
            stack.extend(reversed(current))
        else:
            parts.append(repr(current))
    return " ".join(parts)


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def size(body: Sequence[ast.stmt]) -> int:
    """How many statements, nested ones included."""
    return sum(isinstance(node, ast.stmt) for node in statements(body))


def function_shape(function: Function) -> str:
    """Equal for functions with equal parameters and bodies, whatever they and their locals are called."""
    names: dict[str, str] = {}
    dumped = [_dump(function.node.args, names)]
    dumped += [_dump(statement, names) for statement in without_docstring(function.node.body)]
    return hashlib.sha1("\n".join(dumped).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Run:
    """Statements that stand in two places, one list for each."""

    left: list[ast.stmt]
    right: list[ast.stmt]


def runs(left: Sequence[ast.stmt], right: Sequence[ast.stmt], least: int) -> Iterator[Run]:
    """Longest runs of at least `least` neighbouring statements that stand in both lists with the same names."""
    ours, theirs = [ast.dump(s) for s in left], [ast.dump(s) for s in right]
    places: dict[tuple[str, ...], int] = {}
    for start in range(len(theirs) - least + 1):
        places.setdefault(tuple(theirs[start : start + least]), start)
    position = 0
    while position <= len(ours) - least:
        other = places.get(tuple(ours[position : position + least]))
        if other is None:
            position += 1
            continue
        length = least
        while (
            position + length < len(ours)
            and other + length < len(theirs)
            and ours[position + length] == theirs[other + length]
        ):
            length += 1
        yield Run(list(left[position : position + length]), list(right[other : other + length]))
        position += length


_SHORT = 18  # characters; what is shorter stands in every program
_SAID = re.compile(r"(self\.)?_?(print|log(ger|ging)?|warnings?)[.(]|plt\.|parser\.add_argument")
_COMPUTES = re.compile(r"[(\[.+*/-]")


def working(module: Module, body: Sequence[ast.stmt]) -> dict[str, ast.stmt]:
    """Simple statements at any depth that compute something, by their text without its spaces and kinds of quotes.
    What only tells of the work (prints, logs, plots, arguments of a command line) is left out."""
    lines = module.source.lines
    found: dict[str, ast.stmt] = {}
    for node in statements(body):
        if not isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr | ast.Return):
            continue
        if node.value is None or isinstance(node.value, ast.Constant):
            continue
        last = node.end_lineno or node.lineno
        taken = [line.encode() for line in lines[node.lineno - 1 : last]]
        if taken:
            taken[-1] = taken[-1][: node.end_col_offset]
            taken[0] = taken[0][node.col_offset :]
        text = "".join(b" ".join(taken).decode(errors="replace").split()).replace("'", '"')
        if len(text) >= _SHORT and _COMPUTES.search(text) and not _SAID.match(text):
            found.setdefault(text, node)
    return found


def alike(left: Module, right: Module) -> float:
    """Share of the statements of the larger module that stand in the other one too, whatever their order."""
    ours, theirs = _shapes(left), _shapes(right)
    total = max(sum(ours.values()), sum(theirs.values()))
    return sum((ours & theirs).values()) / total if total else 0.0


def _shapes(module: Module) -> Counter[str]:
    found: Counter[str] | None = module.__dict__.get("_statement_shapes")
    if found is None:
        found = Counter(
            shape(node)
            for node in walk(module.tree)
            if isinstance(node, ast.stmt)
            and not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        )
        module.__dict__["_statement_shapes"] = found
    return found
