"""ProfileModel: loads an artefact in the sandbox, under the target's own Python, and times predict by batch size."""

from __future__ import annotations

import statistics
from typing import Any, Self

from pydantic import Field, model_validator

from ml_engineer.tools.base import Tool, ToolInput, ToolResult
from ml_engineer.tools.context import Context
from ml_engineer.tools.measurement import Figure, company, keep, neighbours, run_inside, their_python

_MIB = 1 << 20
_SLACK = 20
LOADERS = ("joblib", "pickle", "torch", "onnxruntime")

DESCRIPTION = """Measures a model file: loads it in the sandbox with the repository's Python and times predict.

- Gives load time, memory and the median time of predict per batch size with its spread, as measurements that a claim in
  state `measured` can cite by name. Names begin with label: give before and after a change different labels.
- python is what starts the repository's Python, such as .venv/bin/python or `poetry run python`. loader is joblib,
  pickle, torch, onnxruntime, or a function of the repository as module:function, called with artefact.
- The input: rows (JSON rows; objects become a DataFrame, lists an array), shape (random rows of that shape), or
  make_batch (module:function of the repository, called with the number of rows). Use rows that look like real ones.
- It times the model's call alone: no server, no parsing, no feature code unless the loader or make_batch brings it."""


class ProfileModelInput(ToolInput):
    label: str = Field(min_length=1, max_length=60, description='What is measured, such as "churn model".')
    artefact: str = Field("", description="Path of the model file; empty only with a loader that takes none.")
    loader: str = Field("joblib", description="joblib, pickle, torch, onnxruntime, or module:function.")
    python: str = Field("python", min_length=1, description="What starts the repository's Python.")
    method: str = Field("", description="Method to time, such as predict_proba (default: predict, else the call).")
    rows: list[Any] | None = Field(None, min_length=1, description="Input rows, repeated to fill a batch.")
    shape: list[int] | None = Field(None, min_length=1, description="Shape of one row of random float32 input.")
    make_batch: str | None = Field(None, pattern=r"^[\w.]+:[\w.]+$", description="module:function(n) giving a batch.")
    batch_sizes: list[int] = Field([1, 8, 64], min_length=1, max_length=10)
    warmup: int = Field(3, ge=0, le=100, description="Calls per batch size that are not counted.")
    repeats: int = Field(50, ge=3, le=1_000)
    seconds_per_batch: float = Field(10, gt=0, le=60, description="Repeats of one batch size end after that.")
    load_seconds: float = Field(120, ge=1, le=600, description="How long loading may take.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.loader not in LOADERS and ":" not in self.loader:
            raise ValueError(f"loader {self.loader!r} is none of {', '.join(LOADERS)} and no module:function")
        if not self.artefact and ":" not in self.loader:
            raise ValueError(f"the loader {self.loader} needs artefact, the path of the model file")
        if sum(given is not None for given in (self.rows, self.shape, self.make_batch)) != 1:
            raise ValueError("give the input by exactly one of rows, shape and make_batch")
        if any(not 1 <= size <= 100_000 for size in self.batch_sizes):
            raise ValueError("batch_sizes must be between 1 and 100,000")
        return self


async def run(context: Context, call: ProfileModelInput) -> ToolResult:
    spec = call.model_dump()
    bound = call.load_seconds + 3 * call.seconds_per_batch * len(call.batch_sizes)
    result, inside = await run_inside(context, their_python(call.python, "measure_model"), spec, seconds=bound + _SLACK)
    method = _method(call, result, inside.level)
    kept = keep(context, "model", method, _figures(call, result), raw={"input": spec, "method": method} | result)
    lines = [f"Model “{call.label}”: {result['model']}", *kept.lines(), f"Method: {method}", *_cautions(result)]
    lines += [f"Raw figures: {kept.raw} in the run's directory. Cite a figure by its name."]
    return ToolResult("\n".join(lines), kept.data(inside) | {"method": method, "model": result["model"]})


def _figures(call: ProfileModelInput, result: dict[str, Any]) -> list[Figure]:
    figures = [
        Figure(f"{call.label} load time", result["load_seconds"], "s", 1),
        Figure(f"{call.label} memory before loading", result["rss_before"] / _MIB, "MiB", 1),
        Figure(f"{call.label} memory after loading", result["rss_after"] / _MIB, "MiB", 1),
        Figure(f"{call.label} peak memory", result["rss_peak"] / _MIB, "MiB", 1),
    ]
    for batch in result["batches"]:
        taken, name = batch["milliseconds"], f"{call.label} batch {batch['size']}"
        figures += [
            Figure(f"{name} median", statistics.median(taken), "ms", len(taken)),
            Figure(f"{name} spread", _spread(taken), "ms", len(taken)),
        ]
    return figures


def _spread(values: list[float]) -> float:
    """Interquartile range: what the middle half of the repeats lies within."""
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return third - first


def _method(call: ProfileModelInput, result: dict[str, Any], level: str) -> str:
    environment = result["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    source = "given rows, repeated" if call.rows else f"random rows {call.shape}" if call.shape else call.make_batch
    return (
        f"{call.artefact or call.loader} loaded by {call.loader} and {call.method or 'predict'} called in one process "
        f"of `{call.python}` (Python {environment['python']}; {versions or 'no libraries'}; {environment['cpus']} "
        f"CPUs), sandbox {level}; input: {source}; {call.warmup} calls of warm-up, then up to {call.repeats} timed "
        f"calls a batch size within {call.seconds_per_batch:g} s; median and interquartile range; "
        f"resident memory from /proc; {company(result)}"
    )


def _cautions(result: dict[str, Any]) -> list[str]:
    wide = [
        str(batch["size"])
        for batch in result["batches"]
        if _spread(batch["milliseconds"]) > 0.5 * statistics.median(batch["milliseconds"])
    ]
    lines = (
        [f"Batch {', '.join(wide)}: the repeats differ by more than half; do not compare small gains."] if wide else []
    )
    return [
        *lines,
        *neighbours(result),
        "Load time (measured once) and memory after loading include the libraries that the artefact imports.",
        "Not to conclude: the latency of a service (parsing, features and queues come on top), nor its capacity.",
    ]


PROFILE_MODEL = Tool("ProfileModel", DESCRIPTION, ProfileModelInput, run, read_only=False)
