"""RunTraining: runs a training command in the sandbox, with a time limit, and records the metrics that it wrote."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from pydantic import Field, field_validator

from ml_engineer.tools.base import Tool, ToolInput, ToolResult
from ml_engineer.tools.context import Context
from ml_engineer.tools.measurement import Figure, company, keep, neighbours, our_python, run_inside
from ml_engineer.tools.terminal import neutralise

_MIB = 1 << 20
_SLACK = 20
_ACCOUNT = "CPU by the kernel's account; memory: highest sum of its processes' resident memory, every 0.1 s"

DESCRIPTION = """Runs a training command in the sandbox with a time limit and collects the metrics it wrote or printed.

- Gives time, CPU, peak memory and each metric as measurements that a claim in state `measured` can cite by name. Names
  begin with label: give before and after a change different labels.
- metrics_files are patterns relative to the workspace, such as metrics.json or reports/*.json: JSON objects, whose
  numbers are taken by dotted key. Only files that this run wrote count.
- output_patterns maps a metric's name to a regular expression (Python) with one group, such as
  "Final accuracy: ([0-9.]+)". The last line that matches counts.
- It changes the workspace as the command does (models are overwritten); standard input is closed."""


class RunTrainingInput(ToolInput):
    label: str = Field(min_length=1, max_length=60, description='What is measured, such as "baseline training".')
    command: str = Field(min_length=1, description="The training command, run from the workspace root.")
    time_limit_seconds: float = Field(600, ge=1, le=14_400, description="It is ended after that, and gives no metrics.")
    metrics_files: list[str] = Field(["metrics.json"], max_length=20, description="Patterns of JSON files.")
    output_patterns: dict[str, str] = Field({}, max_length=20, description="Metric name to regular expression.")

    @field_validator("metrics_files")
    @classmethod
    def _inside(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            path = PurePosixPath(pattern)
            if not pattern or path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{pattern!r} must be a pattern relative to the workspace, without ..")
        return patterns

    @field_validator("output_patterns")
    @classmethod
    def _one_group(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"the pattern of {name} is no valid regular expression: {error}") from None
            if groups < 1:
                raise ValueError(f'the pattern of {name} needs a group around the number, such as "{name}: ([0-9.]+)"')
        return patterns


async def run(context: Context, call: RunTrainingInput) -> ToolResult:
    spec = call.model_dump()
    seconds = call.time_limit_seconds + _SLACK
    result, inside = await run_inside(context, our_python("measure_training"), spec, seconds=seconds)
    method = f"`{call.command}` run once on this machine, sandbox {inside.level}, exit code 0; {company(result)}"
    metrics = _metrics(call, result)
    raw = {"input": spec, "method": method} | result
    kept = keep(context, "training", method, [*_resources(call, result), *metrics], raw)
    lines = [f"Training “{call.label}”: `{call.command}` ended well", *kept.lines(), f"Method: {method}; {_ACCOUNT}"]
    lines += _notes(result, found=bool(metrics))
    lines += [f"Raw figures: {kept.raw} in the run's directory. Cite a figure by its name."]
    if inside.changes.paths:
        lines.append(f"Changed in the workspace: {', '.join(inside.changes.paths[:20])}")
    return ToolResult("\n".join(lines), kept.data(inside) | {"method": method, "output": neutralise(result["tail"])})


def _resources(call: RunTrainingInput, result: dict[str, Any]) -> list[Figure]:
    return [
        Figure(f"{call.label} duration", result["elapsed_seconds"], "s", 1),
        Figure(f"{call.label} CPU time", result["cpu_seconds"], "s", 1, _ACCOUNT),
        Figure(f"{call.label} peak memory", result["peak_rss"] / _MIB, "MiB", result["looks"], _ACCOUNT),
    ]


def _metrics(call: RunTrainingInput, result: dict[str, Any]) -> list[Figure]:
    """What the program reports about itself. It names no units."""
    several = len(result["files"]) > 1
    figures = [
        Figure(
            f"{call.label} {path + ' ' if several else ''}{neutralise(key)}",
            value, "", 1, f"read from {path}, the program's own figure",
        )
        for path, numbers in result["files"].items()
        for key, value in numbers.items()
    ]  # fmt: skip
    return figures + [
        Figure(
            f"{call.label} {name}",
            found["value"], "", 1, f"printed as “{neutralise(found['line'])}”, the program's own figure",
        )
        for name, found in result["printed"].items()
    ]  # fmt: skip


def _notes(result: dict[str, Any], *, found: bool) -> list[str]:
    notes = [neutralise(note) + "." for note in result["notes"]] + neighbours(result)
    if result["unchanged"]:
        notes.append(f"Not written by this run, so not counted: {', '.join(result['unchanged'][:10])}.")
    if result["missing"]:
        notes.append(f"No line of the output matches the pattern of {', '.join(result['missing'])}.")
    if not found:
        notes.append(f"No metrics were found. The output ends with:\n{neutralise(result['tail']) or '(nothing)'}")
    else:
        notes.append(
            "Not to conclude: that a metric is right. It is what the program says; a leak, a test set that was trained "
            "on or a lucky split gives the same. One run has no spread: repeat with other seeds before comparing."
        )
    return notes


RUN_TRAINING = Tool("RunTraining", DESCRIPTION, RunTrainingInput, run, read_only=False)
