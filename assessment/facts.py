"""What every Python file is asked: does it parse, what does it import, which classes does it seem to have.

These facts are all that most files of a large tree are needed for, so there they are taken without a syntax tree
(`headers`), in child processes, and kept by content hash (`cache`). Tests are only asked what they import.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ml_engineer.assessment import cache, headers
from ml_engineer.assessment.files import File
from ml_engineer.assessment.index import statements
from ml_engineer.assessment.parallel import portions, shared_out
from ml_engineer.assessment.source import ParseError, Source, parse
from ml_engineer.report.decoding import decode

PARALLEL_FROM_BYTES = 3_000_000  # below this a child process costs more than it saves
CACHED_FROM = 20  # files: fewer are looked into sooner than the cache is open
_CLASS = re.compile(rb"class (\w+)")
PORTION = 100  # files


class Imported(NamedTuple):
    """One imported name: dotted target as written, level of a relative import, line in the program's text."""

    target: str
    level: int
    line: int

    @property
    def top(self) -> str:
        """Top-level package, empty for a relative import."""
        return "" if self.level else self.target.split(".", 1)[0]


class Facts(NamedTuple):
    """What one file imports, where it does not parse, and the names behind the word `class` in it."""

    imports: tuple[Imported, ...]
    errors: tuple[ParseError, ...]
    classes: frozenset[str]

    @property
    def tops(self) -> set[str]:
        """Top-level packages that are imported absolutely."""
        return {item.target.split(".", 1)[0] for item in self.imports if not item.level}


def of_files(files: Iterable[File]) -> dict[str, Facts]:
    """Facts of many files, by path: from the cache where their bytes are known."""
    wanted = {file.path: file for file in files}
    if len(wanted) < CACHED_FROM:
        return dict(_take_all([*wanted.values()]))
    keys = {path: _key(file) for path, file in wanted.items()}
    known = cache.load_facts(keys)
    fresh = dict(_take_all([file for path, file in wanted.items() if path not in known]))
    if fresh:
        cache.store_facts({keys[path]: facts for path, facts in fresh.items()})
    return known | fresh


def of_source(source: Source) -> Facts:
    """Facts of a parsed file."""
    return Facts(tuple(_imported(_statements(source.tree))), tuple(source.errors), _classes(source.file))


def _key(file: File) -> str:
    return f"{file.sha256[:40]}{'' if _is_checked(file) else ' unchecked'}"


def _is_checked(file: File) -> bool:
    """Whether it matters that the file parses."""
    return "test" not in file.roles


def _take_all(files: list[File]) -> Iterator[tuple[str, Facts]]:
    if sum(file.size for file in files) < PARALLEL_FROM_BYTES:
        yield from _take(files)
        return
    for part in shared_out(_take, portions(sorted(files, key=lambda file: file.size), PORTION)):
        yield from part


def _take(files: Sequence[File]) -> list[tuple[str, Facts]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [(file.path, _of_file(file)) for file in files]


def _of_file(file: File) -> Facts:
    with file.borrowed():
        if file.suffix == ".py":
            statements = headers.imports_of(decode(file.data), checked=_is_checked(file))
            if statements is not None:
                return Facts(tuple(_imported(statements)), (), _classes(file))
        return of_source(parse(file))


def _classes(file: File) -> frozenset[str]:
    return frozenset(map(bytes.decode, _CLASS.findall(file.data)))


def _imported(statements: Iterable[ast.Import | ast.ImportFrom]) -> Iterator[Imported]:
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (Imported(alias.name, 0, node.lineno) for alias in node.names)
        else:
            base = node.module or ""
            for alias in node.names:
                target = base if alias.name == "*" else f"{base}.{alias.name}".lstrip(".")
                yield Imported(target, node.level, node.lineno)


def _statements(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """Import statements by line, at any depth of statements."""
    found = [node for node in statements(tree.body) if isinstance(node, ast.Import | ast.ImportFrom)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))
