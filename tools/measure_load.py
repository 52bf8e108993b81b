"""Inside the sandbox: starts a server, waits until it answers, sends it requests, and reports how it did.

The load generator is a small loop over httpx2's asyncio client, and that is a decision. Locust brings gevent, Flask and
some thirty packages for features of clusters; wrk and oha are no Python packages and mostly not there; wrk cannot keep
a rate. httpx2 comes with the Anthropic client, is well kept, and manages some thousand requests a second, above what a
service with a model in it answers on one machine. Where it is itself the limit, its own CPU share shows that, and the
result says so.

Closed loop: each of N clients sends its next request when it has its answer. That measures what the server can do, not
what users wait at a given traffic: a slow server slows the load down too. Open loop (with `rate`): requests start at
random times of that average rate (Poisson, fixed seed) whatever the answers do, and a request's time counts from when
it was due, so that waiting in the queue is not left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from ml_engineer.tools.measure_watch import Failed, Watched, report

_SEED = 20_240_101
_IN_FLIGHT = 256  # open loop: more than these at a time wait, and their waiting counts
_POLL = 0.05
_TRIED = 3  # requests of the warm-up that are tried in any case
_SHOWN = 300  # characters of an answer


class Load:
    """What was sent and what came back. Times in seconds."""

    def __init__(self, client: httpx2.AsyncClient, spec: dict[str, Any]) -> None:
        self._client = client
        self._spec = spec
        self._mix = [(self._prepare(one), one.get("expect_status")) for one in spec["requests"]]
        self._weights = [one["weight"] for one in spec["requests"]]
        self._random = random.Random(_SEED)
        self.sent = 0
        self.taken: list[float] = []  # of the requests that went well
        self.failures: Counter[str] = Counter()
        self.example = ""  # the first wrong answer

    def _prepare(self, one: dict[str, Any]) -> dict[str, Any]:
        """Arguments of a request. A body is made once, so that making it is not measured."""
        headers = dict(one.get("headers", {}))
        content = b""
        if one.get("json") is not None:
            content = json.dumps(one["json"]).encode()
            headers = {"Content-Type": "application/json"} | headers
        elif one.get("body_file"):
            try:
                content = Path(one["body_file"]).read_bytes()
            except OSError as error:
                raise Failed(f"body_file {one['body_file']} cannot be read: {error.strerror}") from None
        return {"method": one["method"], "url": one["path"], "headers": headers, "content": content}

    async def one(self, due: float) -> None:
        """Sends one request of the mix; its time counts from `due`."""
        arguments, expected = self._random.choices(self._mix, self._weights)[0]
        self.sent += 1
        name = f"{arguments['method']} {arguments['url']}"
        try:
            async with asyncio.timeout(self._spec["request_timeout_seconds"]):  # waiting for a connection included
                answer = await self._client.request(**arguments)
        except (httpx2.HTTPError, TimeoutError) as error:
            self.failures[f"{name}: {type(error).__name__}"] += 1
            return
        good = answer.status_code == expected if expected else answer.status_code < 400
        if good:
            self.taken.append(time.perf_counter() - due)
            return
        self.failures[f"{name}: status {answer.status_code}"] += 1
        self.example = self.example or answer.text.strip()[-_SHOWN:]

    async def closed(self, seconds: float) -> None:
        """`concurrency` clients, one request at a time each."""
        over = time.perf_counter() + seconds

        async def client() -> None:
            while (now := time.perf_counter()) < over and self.sent < self._spec["max_requests"]:
                await self.one(now)

        await asyncio.gather(*(client() for _ in range(self._spec["concurrency"])))

    async def open(self, seconds: float) -> None:
        """Requests at random times, `rate` a second on average."""
        due = begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._spec["max_requests"]):
                due += self._random.expovariate(self._spec["rate"])
                if due > begin + seconds:
                    break
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self.one(due))


async def benchmark(spec: dict[str, Any]) -> dict[str, Any]:
    """Starts the server, measures, ends it. Raises Failed."""
    if _listens(spec["port"]):
        raise Failed(f"something answers on port {spec['port']} already, before the command was started")
    server = Watched(spec["command"])
    limits = httpx2.Limits(max_connections=_IN_FLIGHT, max_keepalive_connections=_IN_FLIGHT)
    address = f"http://127.0.0.1:{spec['port']}"
    try:
        async with httpx2.AsyncClient(base_url=address, limits=limits, timeout=None, trust_env=False) as client:
            startup = await _ready(server, client, spec)
            warm = await _warm_up(server, client, spec)
            return {"startup_seconds": startup, "warmup": warm, **await _measure(server, client, spec)}
    finally:
        server.stop()


async def _measure(server: Watched, client: httpx2.AsyncClient, spec: dict[str, Any]) -> dict[str, Any]:
    load = Load(client, spec)
    server.begin()
    own, begin = time.process_time(), time.perf_counter()
    await (load.open if spec.get("rate") else load.closed)(spec["duration_seconds"])
    elapsed = time.perf_counter() - begin
    own_share, usage = (time.process_time() - own) / elapsed, server.usage()
    if server.exit_code() is not None:
        raise Failed(f"the command ended with exit code {server.exit_code()} under load", server.tail())
    if not load.taken:
        raise Failed(f"all {load.sent} requests failed ({_failures(load)}){_answer(load)}", server.tail())
    return {
        "elapsed_seconds": elapsed,
        "sent": load.sent,
        "latencies_ms": [round(seconds * 1000, 3) for seconds in load.taken],
        "failures": dict(load.failures),
        "example": load.example,
        **usage,
        "other_cores": max(0.0, usage["other_cores"] - own_share),
        "cores": os.cpu_count() or 1,
        "generator_cpu": own_share,
    }


async def _ready(server: Watched, client: httpx2.AsyncClient, spec: dict[str, Any]) -> float:
    """Seconds from the start until the port is open, and `ready_path` (if given) answers with 2xx."""
    seen = "nothing listens there"
    while time.monotonic() - server.started < spec["startup_seconds"]:
        if server.exit_code() is not None:
            raise Failed(f"the command ended with exit code {server.exit_code()} before it listened", server.tail())
        if _listens(spec["port"]):
            if not spec.get("ready_path"):
                return time.monotonic() - server.started
            seen = f"{spec['ready_path']} did not answer"
            with suppress(httpx2.HTTPError):
                answer = await client.get(spec["ready_path"], timeout=2.0)
                if answer.is_success:
                    return time.monotonic() - server.started
                seen = f"{spec['ready_path']} answers with status {answer.status_code}"
        await asyncio.sleep(_POLL)
    raise Failed(f"not ready on 127.0.0.1:{spec['port']} after {spec['startup_seconds']:g} s: {seen}", server.tail())


async def _warm_up(server: Watched, client: httpx2.AsyncClient, spec: dict[str, Any]) -> int:
    """Sends requests that are not counted, no longer than the measurement takes. When all fail, there is none."""
    load = Load(client, spec)
    over = time.perf_counter() + spec["duration_seconds"]
    while load.sent < spec["warmup_requests"] and (time.perf_counter() < over or load.sent < _TRIED):
        await load.one(time.perf_counter())
        if load.sent >= _TRIED and not load.taken:
            break
    if load.sent and not load.taken:
        raise Failed(f"the first {load.sent} requests all failed ({_failures(load)}){_answer(load)}", server.tail())
    return load.sent


def _failures(load: Load) -> str:
    return ", ".join(f"{name} × {count}" for name, count in load.failures.most_common(5))


def _answer(load: Load) -> str:
    return f"; the answer ends with: {load.example}" if load.example else ""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    try:
        report(asyncio.run(benchmark(json.loads(sys.argv[1]))))
    except Failed as failed:
        report({"error": str(failed), "tail": failed.tail})
