"""What need not be worked out twice, kept by content hash below the user's cache directory.

Two kinds: facts of single files, and whole assessments of trees in which no byte has changed. Every key carries a
digest of the engine's own source, so that another release, or an edit of a rule, never meets old results. The cache is
only ever a short cut: what cannot be read, written or understood is worked out again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from ml_engineer.report.atomic import write_atomic

if TYPE_CHECKING:
    import sqlite3

    from ml_engineer.assessment.facts import Facts

MAX_ASSESSMENTS = 64
MAX_FACTS = 400_000
_BATCH = 500  # placeholders in one SQL statement


def folder() -> Path:
    """The cache directory: below `ML_ENGINEER_HOME`, or the platform's place for caches."""
    override = os.environ.get("ML_ENGINEER_HOME")
    return Path(override) / "cache" if override else Path(platformdirs.user_cache_dir("ml-engineer", appauthor=False))


@functools.cache
def engine_digest() -> str:
    """Digest of the engine's own files (names, sizes, times): other code, other results."""
    digest = hashlib.sha256()
    here = Path(__file__).resolve().parent
    for path in sorted([*here.rglob("*.py"), *(here.parent / "report").glob("*.py")]):
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


# --- whole assessments ------------------------------------------------------------------------------------------------


def load_assessment(key: str) -> bytes | None:
    """The JSON of an assessment made earlier of the same bytes by the same engine, or None."""
    try:
        return zlib.decompress((folder() / "assessments" / key).read_bytes())
    except (OSError, zlib.error):
        return None


def store_assessment(key: str, data: bytes) -> None:
    """Keep an assessment, and let the oldest go. What cannot be written is not kept."""
    place = folder() / "assessments"
    with contextlib.suppress(OSError):
        write_atomic(place / key, zlib.compress(data, 1))
        kept = sorted(place.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in kept[:-MAX_ASSESSMENTS]:
            path.unlink(missing_ok=True)


# --- facts of files ---------------------------------------------------------------------------------------------------


def load_facts(wanted: Mapping[str, str]) -> dict[str, Facts]:
    """Known facts by path, for files given as path -> what their content is known by."""
    import sqlite3

    found: dict[str, bytes] = {}
    keys = list({_fact_key(content) for content in wanted.values()})
    with _database() as database:
        if database is None:
            return {}
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            marks = ",".join("?" * len(part))
            with contextlib.suppress(sqlite3.Error):
                found.update(database.execute(f"SELECT key, data FROM facts WHERE key IN ({marks})", part))
    known: dict[str, Facts] = {}
    for path, content in wanted.items():
        data = found.get(_fact_key(content))
        facts = _decode(data) if data is not None else None
        if facts is not None:
            known[path] = facts
    return known


def store_facts(facts: Mapping[str, Facts]) -> None:
    """Keep facts by what the content of the file they were taken of is known by."""
    import sqlite3

    with _database() as database:
        if database is None:
            return
        rows = [(_fact_key(content), _encode(item)) for content, item in facts.items()]
        with contextlib.suppress(sqlite3.Error), database:
            database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)
            (count,) = database.execute("SELECT count(*) FROM facts").fetchone()
            if count > MAX_FACTS:
                database.execute(
                    "DELETE FROM facts WHERE rowid IN (SELECT rowid FROM facts ORDER BY rowid LIMIT ?)",
                    (count - MAX_FACTS // 2,),
                )


def _fact_key(content: str) -> str:
    return f"{content} {engine_digest()[:8]}"


@contextlib.contextmanager
def _database() -> Iterator[sqlite3.Connection | None]:
    """The facts' database, or None where it cannot be had."""
    import sqlite3

    try:
        folder().mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(folder() / "facts.db", timeout=1)
        database.execute("PRAGMA synchronous=OFF")  # a lost cache costs a parse, nothing else
        database.execute("CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, data BLOB)")
    except (OSError, sqlite3.Error):
        yield None
        return
    try:
        yield database
    finally:
        database.close()


def _encode(facts: Facts) -> bytes:
    lines = [f"{i.line}\t{i.level}\t{i.target}" for i in facts.imports]
    lines += [f"@{name}" for name in facts.classes]
    lines += [f"!{e.line}\t{e.message}".replace("\n", " ") for e in facts.errors]
    return "\n".join(lines).encode("utf-8", "replace")


def _decode(data: bytes) -> Facts | None:
    from ml_engineer.assessment.facts import Facts, Imported
    from ml_engineer.assessment.source import ParseError

    imports: list[Imported] = []
    errors: list[ParseError] = []
    classes: list[str] = []
    try:
        for line in data.decode().split("\n"):
            if line.startswith("!"):
                number, message = line[1:].split("\t", 1)
                errors.append(ParseError(int(number), message))
            elif line.startswith("@"):
                classes.append(line[1:])
            elif line:
                number, level, target = line.split("\t", 2)
                imports.append(Imported(target, int(level), int(number)))
    except ValueError:
        return None
    return Facts(tuple(imports), tuple(errors), frozenset(classes))
