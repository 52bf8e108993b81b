"""Sealing: canonical JSON, its digest, and reports written and read as a whole.

A sealed report carries the SHA-256 of its own canonical JSON (keys sorted, no white space, `digest` empty), so that an
alteration shows, however the file is indented. A file is written beside its place and renamed, never half.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from ml_engineer.report.atomic import write_atomic
from ml_engineer.report.schema import SCHEMA_VERSION, Report


class ReportError(ValueError):
    """A report that cannot be sealed or read. The message says why, and what to do."""


def canonical_json(report: Report) -> bytes:
    """The bytes that the digest is taken over: keys sorted, no white space, UTF-8, `digest` empty."""
    data = report.model_dump(mode="json")
    data["digest"] = ""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(report: Report) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(report)).hexdigest()


def seal(report: Report) -> Report:
    """A copy with its digest set.

    The report first makes the round trip through JSON, so that what is hashed is what a reader will load: a number that
    is not finite, or text that UTF-8 cannot carry, is a `ReportError` here and not in the reader's hands.
    """
    try:
        settled = Report.model_validate_json(report.model_dump_json())
    except (ValidationError, PydanticSerializationError, UnicodeEncodeError) as error:
        raise ReportError(f"the report cannot be sealed: {_first_problem(error)}") from error
    return settled.model_copy(update={"digest": digest(settled)})


def save(report: Report, path: Path) -> None:
    """Write the report's JSON to `path`, whole or not at all."""
    write_atomic(path, report.to_json().encode())


def load(path: Path) -> Report:
    """Read a sealed report. `ReportError` where it is missing, of another schema, or altered since it was sealed."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path} is not JSON ({error}); give the report.json of a run") from error
    report = _validated(data, path)
    if not report.digest:
        raise ReportError(f"{path} is not sealed: it has no digest; run the review again")
    if report.digest != digest(report):
        raise ReportError(f"{path} was altered after it was sealed: its digest does not match; run the review again")
    return report


def _validated(data: Any, path: Path) -> Report:
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version is None:
        raise ReportError(f"{path} is not a report of ml-engineer: it has no schema_version")
    if version != SCHEMA_VERSION:
        raise ReportError(
            f"{path} has report schema {version!r}, this version reads {SCHEMA_VERSION!r}; "
            "render it with the version of ml-engineer that wrote it, or run the review again"
        )
    try:
        return Report.model_validate(data)
    except ValidationError as error:
        raise ReportError(f"{path} is not a valid report: {_first_problem(error)}") from error


def _first_problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    more = error.error_count() - 1
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}" + (f" (and {more} more)" if more else "")
