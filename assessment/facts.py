"""What every Python file is asked: does it parse, and what does it import.

These facts are all that most files of a large tree are needed for, so they are taken in one pass over the statements,
in child processes where there are many files, and kept by content hash (`cache`). The tree itself is dropped at once:
ten thousand trees do not fit into memory.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ml_engineer.assessment import cache
from ml_engineer.assessment.files import File
from ml_engineer.assessment.parallel import shared_out
from ml_engineer.assessment.source import ParseError, Source, parse

PARALLEL_FROM_BYTES = 3_000_000  # below this a child process costs more than it saves


@dataclass(frozen=True, slots=True)
class Imported:
    """One imported name: dotted target as written, level of a relative import, line in the program's text."""

    target: str
    level: int
    line: int

    @property
    def top(self) -> str:
        """Top-level package, empty for a relative import."""
        return "" if self.level else self.target.split(".", 1)[0]


@dataclass(frozen=True, slots=True)
class Facts:
    """What one file imports, and where it does not parse."""

    imports: tuple[Imported, ...]
    errors: tuple[ParseError, ...]


def of_files(files: Iterable[File]) -> dict[str, Facts]:
    """Facts of many files, by path: from the cache where their bytes are known, else parsed."""
    wanted = list(files)
    known = cache.load_facts({file.path: file.sha256 for file in wanted})
    missing = [file for file in wanted if file.path not in known]
    fresh = dict(_parse_all(missing))
    if fresh:
        cache.store_facts({file.sha256: fresh[file.path] for file in missing})
    return known | fresh


def of_source(source: Source) -> Facts:
    """Facts of a parsed file."""
    return Facts(tuple(_imports(source.tree)), tuple(source.errors))


def _parse_all(files: list[File]) -> Iterator[tuple[str, Facts]]:
    if sum(file.size for file in files) < PARALLEL_FROM_BYTES:
        yield from _parse(files)
        return
    ordered = sorted(files, key=lambda file: file.size)  # dealt out in turn, the shares take about equally long
    for part in shared_out(_parse, ordered):
        yield from part


def _parse(files: Sequence[File]) -> list[tuple[str, Facts]]:
    return [(file.path, of_source(parse(file))) for file in files]


def _imports(tree: ast.Module) -> Iterator[Imported]:
    """Imports at any depth of statements; expressions hold none and are not entered."""
    stack: list[ast.stmt] = list(reversed(tree.body))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from (Imported(alias.name, 0, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                target = base if alias.name == "*" else f"{base}.{alias.name}".lstrip(".")
                yield Imported(target, node.level, node.lineno)
        else:
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                for child in reversed(getattr(node, block, ())):
                    if isinstance(child, ast.stmt):
                        stack.append(child)
                    elif isinstance(child, ast.ExceptHandler | ast.match_case):
                        stack.extend(reversed(child.body))
