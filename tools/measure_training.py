"""Inside the sandbox: runs a training command to its end and collects the metrics that it wrote or printed.

A metrics file counts only when this run wrote it: what was there before is named, and not taken for a result. The
patterns are searched here and not in the tool, because a bad regular expression can run for ever: it ends with the
sandbox's time.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

from ml_engineer.tools.measure_watch import Failed, Watched, report

_FILES = 20
_FILE_BYTES = 1 << 20
_METRICS = 100  # of all files together
_OUTPUT = 1 << 20  # bytes of the end of the output in which patterns are looked for
_SLACK = 2.0  # seconds that a file system's clock may be behind


def train(spec: dict[str, Any]) -> dict[str, Any]:
    """Runs the command. Raises Failed when it does not end well in time."""
    begin = time.time()
    training = Watched(spec["command"])
    try:
        training.begin()
        code = training.wait(spec["time_limit_seconds"])
        elapsed = time.monotonic() - training.started
        if code is None:
            raise Failed(f"it still ran after {spec['time_limit_seconds']:g} s and was ended", training.tail())
        if code != 0:
            raise Failed(f"it ended with exit code {code}", training.tail())
        usage, spent = training.usage(), resource.getrusage(resource.RUSAGE_CHILDREN)
        files, unchanged, notes = _files(spec["metrics_files"], begin - _SLACK)
        printed, missing = _printed(spec["output_patterns"], training.output(_OUTPUT))
        return {
            "elapsed_seconds": elapsed,
            **usage,
            "cores": os.cpu_count() or 1,
            "cpu_seconds": spent.ru_utime + spent.ru_stime,
            "files": files,
            "printed": printed,
            "missing": missing,
            "unchanged": unchanged,
            "notes": notes,
            "tail": training.tail(),
        }
    finally:
        training.stop()


def _files(patterns: list[str], since: float) -> tuple[dict[str, dict[str, float]], list[str], list[str]]:
    """Numbers by file and dotted key; files that this run did not write; what could not be used, and why."""
    found = sorted({path for pattern in patterns for path in Path().glob(pattern) if path.is_file()})
    fresh = [path for path in found if path.stat().st_mtime >= since]
    unchanged = [str(path) for path in found if path not in fresh]
    numbers: dict[str, dict[str, float]] = {}
    notes = [f"{len(fresh) - _FILES} more files match and were not read"] if len(fresh) > _FILES else []
    room = _METRICS
    for path in fresh[:_FILES]:
        try:
            if path.stat().st_size > _FILE_BYTES:
                raise ValueError(f"it is larger than {_FILE_BYTES:,} bytes")
            flat = _numbers(json.loads(path.read_text(encoding="utf-8")), "")
        except (OSError, ValueError, RecursionError) as error:
            notes.append(f"{path} was not used: {error}")
            continue
        if len(flat) > room:
            notes.append(f"{path} holds {len(flat)} numbers, only {room} were taken: {_METRICS} are kept of a run")
        numbers[str(path)] = dict(flat[:room])
        room -= len(numbers[str(path)])
    return numbers, unchanged, notes


def _numbers(value: Any, name: str) -> list[tuple[str, float]]:
    """Finite numbers by dotted key. Lists are histories or tables, no metrics, and are left out."""
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _numbers(inner, f"{name}.{key}" if name else str(key))]
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return [(name or "value", float(value))]
    return []


def _printed(patterns: dict[str, str], output: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """For each name the last line that its pattern matches: {"value", "line"}; and the names that match nowhere."""
    lines = output.splitlines()
    printed: dict[str, dict[str, Any]] = {}
    for name, pattern in patterns.items():
        compiled = re.compile(pattern)
        for line in reversed(lines):
            match = compiled.search(line[:2000])
            number = _number(match.group(1)) if match else None
            if number is not None:
                printed[name] = {"value": number, "line": line.strip()[:300]}
                break
    return printed, [name for name in patterns if name not in printed]


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def main() -> None:
    try:
        report(train(json.loads(sys.argv[1])))
    except Failed as failed:
        report({"error": str(failed), "tail": failed.tail})
