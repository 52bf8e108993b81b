"""Lists of sources in a file: text, CSV or JSON lines.

    read_list(Path("team.csv"), host)   -> [Source, …]

Text has a source a line; what follows `#` at the start of a line is a comment. CSV has a head with the column `url` (or
`path`, `source`, `repository`) and, as it pleases, `revision`, `scope` and `owner`; other columns are kept as labels.
JSON lines are strings, or objects with the same names. A relative path counts from the list's folder.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_engineer.interfaces.batch.sources import Source, SourceError, source_of

PLACES = ("url", "path", "source", "repository")
_KNOWN = ("revision", "scope", "owner")
MAX_BYTES = 64_000_000


def read_list(path: Path, host: str | None = None) -> list[Source]:
    """The sources of a list. Raises SourceError, naming the line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SourceError(f"{path}: the list is larger than {MAX_BYTES // 1_000_000} MB; split it")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: the list cannot be read as UTF-8 text ({error})") from error
    rows = {".csv": _csv, ".jsonl": _json, ".ndjson": _json}.get(path.suffix.lower(), _text)
    found = []
    for number, row in rows(text, path):
        try:
            found.append(_source(row, host, path.resolve().parent))
        except SourceError as error:
            raise SourceError(f"{path}, line {number}: {error}") from error
    if not found:
        raise SourceError(f"{path}: the list is empty; name a repository a line")
    return found


def _source(row: Mapping[str, Any], host: str | None, base: Path) -> Source:
    place = next((str(row[key]) for key in PLACES if row.get(key)), "")
    if not place:
        raise SourceError(f"it names no repository; give one of {', '.join(PLACES)}")
    labels = {key: str(value) for key, value in row.items() if key not in (*PLACES, *_KNOWN) and value}
    return source_of(
        place,
        host=host,
        base=base,
        revision=str(row["revision"]) if row.get("revision") else None,
        scope=str(row.get("scope") or ""),
        owner=str(row.get("owner") or ""),
        labels=labels,
    )


def _text(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, {"source": line.strip()}


def _csv(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True, skipinitialspace=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        if not set(names) & set(PLACES):
            raise SourceError(f"{path}: its first line must name the columns, one of them {' or '.join(PLACES)}")
        reader.fieldnames = names
        for row in reader:
            if None in row:
                raise SourceError(f"{path}, line {reader.line_num}: more fields than columns; put quotes around commas")
            yield reader.line_num, {key: value.strip() for key, value in row.items() if value}
    except csv.Error as error:
        raise SourceError(f"{path}, line {reader.line_num}: this is no CSV ({error})") from error


def _json(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path}, line {number}: this is no JSON ({error})") from error
        if isinstance(row, str):
            row = {"source": row}
        if not isinstance(row, dict):
            raise SourceError(f"{path}, line {number}: give a string or an object")
        yield number, row
