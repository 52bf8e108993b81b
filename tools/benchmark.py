"""Benchmark: starts a server in the sandbox, sends it a mix of requests, and records latency, throughput and load."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_engineer.tools.base import Tool, ToolInput, ToolResult
from ml_engineer.tools.context import Context
from ml_engineer.tools.measurement import Figure, company, keep, neighbours, our_python, run_inside

_SLACK = 20  # seconds for starting, ending and writing
_MIB = 1 << 20
# A percentile of fewer requests is the time of one or two of them by chance.
_PERCENTILES = ((0.5, "p50", 1), (0.95, "p95", 40), (0.99, "p99", 200))
_BUSY = 0.7  # of a core: from here on the load generator itself may be what is measured

DESCRIPTION = """Measures a service: starts it in the sandbox, waits until it is ready, sends it a mix of requests.

- Gives latency (p50, p95, p99), throughput, error rate, CPU, memory and start-up time as measurements that a claim in
  state `measured` can cite by name. Names begin with label: give before and after a change different labels.
- command must stay in the foreground and listen on port. Give ready_path: many servers open the port long before they
  can answer. Start it as production does: a development server measures itself.
- requests should be shaped like real traffic: bodies that the service really accepts, in realistic shares.
- Without rate the load is closed: concurrency clients wait for their answers. That finds what the service can do. With
  rate it is open: requests come at that rate whatever happens. That finds what users wait at that traffic.
- It shares this machine's cores with the service: compare figures with each other, not with other machines."""


class RequestSpec(BaseModel):
    """One kind of request of the mix."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(pattern=r"^/", description="Path and query, such as /predict.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET"
    json_body: Any = Field(None, alias="json", description="Body, sent as JSON.")
    body_file: str | None = Field(None, description="File in the workspace whose bytes are the body, such as an image.")
    headers: dict[str, str] = Field(default_factory=dict)
    weight: float = Field(1.0, gt=0, description="Share of this request in the mix.")
    expect_status: int | None = Field(None, description="The status that counts as success (default: below 400).")


class BenchmarkInput(ToolInput):
    label: str = Field(min_length=1, max_length=60, description='What is measured, such as "POST /predict, gunicorn".')
    command: str = Field(min_length=1, description="Starts the service, in the foreground, from the workspace root.")
    port: int = Field(ge=1, le=65_535, description="The TCP port that the service listens on.")
    requests: list[RequestSpec] = Field(min_length=1, max_length=20, description="The mix of requests.")
    ready_path: str | None = Field(
        None, pattern=r"^/", description="Path that answers 2xx once it is ready (default: the port is open)."
    )
    rate: float | None = Field(None, gt=0, le=2_000, description="Open loop: requests a second on average.")
    concurrency: int = Field(4, ge=1, le=64, description="Closed loop: how many clients.")
    duration_seconds: float = Field(10, ge=0.2, le=120)
    max_requests: int = Field(20_000, ge=1, le=50_000, description="It ends early when so many were sent.")
    warmup_requests: int = Field(20, ge=0, le=1_000, description="Sent first, one by one, and not counted.")
    startup_seconds: float = Field(60, ge=1, le=300, description="How long it may take to become ready.")
    request_timeout_seconds: float = Field(10, ge=0.1, le=60)

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        for one in self.requests:
            if one.json_body is not None and one.body_file is not None:
                raise ValueError(f"{one.method} {one.path} has both json and body_file; give one of them")
        return self


async def run(context: Context, call: BenchmarkInput) -> ToolResult:
    spec = call.model_dump(by_alias=True)
    bound = call.startup_seconds + 2 * call.duration_seconds + 6 * call.request_timeout_seconds
    result, inside = await run_inside(context, our_python("measure_load"), spec, seconds=bound + _SLACK, loopback=True)
    figures, method = _figures(call, result), _method(call, result, inside.level)
    kept = keep(context, "benchmark", method, figures, raw={"input": spec, "method": method} | result)
    lines = [
        f"Benchmark “{call.label}”: {result['sent']:,} requests in {result['elapsed_seconds']:.1f} s",
        *kept.lines(),
    ]
    lines += [f"Method: {method}", *_cautions(call, result)]
    lines += [f"Raw figures: {kept.raw} in the run's directory. Cite a figure by its name."]
    return ToolResult("\n".join(lines), kept.data(inside) | {"method": method, "failures": result["failures"]})


def _figures(call: BenchmarkInput, result: dict[str, Any]) -> list[Figure]:
    ordered, sent, elapsed = sorted(result["latencies_ms"]), result["sent"], result["elapsed_seconds"]
    good = len(ordered)
    return [
        *(
            Figure(f"{call.label} latency {name}", percentile(ordered, share), "ms", good)
            for share, name, needed in _PERCENTILES
            if good >= needed
        ),
        Figure(f"{call.label} throughput", good / elapsed, "requests/s", good),
        Figure(f"{call.label} error rate", 100 * (sent - good) / sent, "%", sent),
        Figure(f"{call.label} CPU", result["cpu_seconds"] / elapsed, "cores", 1),
        Figure(f"{call.label} peak memory", result["peak_rss"] / _MIB, "MiB", result["looks"]),
        Figure(f"{call.label} start-up", result["startup_seconds"], "s", 1),
    ]


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that at least `share` of the sorted values do not exceed (nearest rank, no interpolation)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _method(call: BenchmarkInput, result: dict[str, Any], level: str) -> str:
    mix = ", ".join(f"{one.method} {one.path} × {one.weight:g}" for one in call.requests)
    if call.rate:
        load = f"open loop, Poisson arrivals at {call.rate:g}/s, latency counted from when a request was due"
    else:
        load = f"closed loop, {call.concurrency} clients without pauses"
    return (
        f"`{call.command}` on this machine, sandbox {level}, loopback; {load}, {result['elapsed_seconds']:.1f} s after "
        f"{result['warmup']} requests of warm-up; mix: {mix}; httpx2 with kept connections; latency of the requests "
        "that succeeded, percentiles by nearest rank; CPU and resident memory summed over the service's processes "
        f"every 0.1 s (shared pages count in each); {company(result)}"
    )


def _cautions(call: BenchmarkInput, result: dict[str, Any]) -> list[str]:
    """What must not be concluded."""
    good = len(result["latencies_ms"])
    missing = [name for _, name, needed in _PERCENTILES if good < needed]
    lines = []
    if missing:
        lines.append(f"{good} successful requests are too few for {' and '.join(missing)}; measure longer to have it.")
    if result["failures"]:
        what = ", ".join(f"{name} × {count}" for name, count in result["failures"].items())
        shown = f" The first wrong answer ends with: {result['example']}" if result["example"] else ""
        lines.append(f"Some requests failed ({what}); the latencies leave them out.{shown}")
    if result["generator_cpu"] > _BUSY:
        lines.append(
            f"The load generator was busy for {result['generator_cpu']:.0%} of a core: throughput and latency may be "
            "its own limit; the service may be faster."
        )
    lines += neighbours(result)
    if call.rate:
        lines.append("Not to conclude: how much it could carry at most (raise rate until latency climbs).")
    else:
        lines.append("Not to conclude: what users will wait at a given traffic (set rate for that).")
    lines.append("Nor figures of production: other hardware, other neighbours, and no network between.")
    return lines


BENCHMARK = Tool("Benchmark", DESCRIPTION, BenchmarkInput, run, read_only=False)
