"""How lean the agent is: side by side with bare loops and two frameworks, against a scripted server.

    python -m benchmarks.lean [--repeats 3] [--only single|batch|parallel] [--peers-python PATH]

`--peers-python` names an interpreter in whose environment deepagents (with langchain-anthropic) and pydantic-ai are
installed; without it they are left out, and the table says so. The server is a process of its own that answers at once
or after a second; it notes when each request has come and when its answer was handed over, on the clock that all
processes share. The gap between the two is what a loop costs per turn, tools and persistence included. Peers come in
turn within each repeat, so that a busy neighbour slows all of them; figures are medians over the repeats. Last comes a
whole review whose answers take two seconds (lean_review). Below the tables stands what is wanted, beside what was
reached.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks import lean_review

ROOT = Path(__file__).resolve().parent.parent
BARE = ("sdk", "sdk_stream", "langgraph", "ours")
FRAMEWORKS = ("deepagents", "pydantic_ai")
IMPORTED = {
    "deepagents": "import deepagents, langchain_anthropic",
    "pydantic_ai": "import pydantic_ai.models.anthropic",
}


@dataclass(frozen=True)
class Scenario:
    """`size` in bytes of the file that each turn reads, `latency` of the server in seconds."""

    name: str
    turns: int
    size: int
    sessions: int = 1
    latency: float = 0.0


SINGLE = (Scenario("50 turns, 0.6 KB results", 50, 600), Scenario("50 turns, 8 KB results", 50, 8_000))
ONE = Scenario("1 run, 8 turns of 1 s", 8, 600, 1, 1.0)
SIXTEEN = Scenario("16 at once, 8 turns of 1 s", 8, 600, 16, 1.0)
MANY = Scenario("128 at once, 5 turns of 1 s", 5, 600, 128, 1.0)
BATCH = (ONE, SIXTEEN, MANY)
WANTED = {SIXTEEN: 100, MANY: 950}  # runs per minute


@dataclass(frozen=True)
class Figures:
    """Of one run of one peer: seconds, milliseconds, megabytes, as the names say."""

    start: float
    gap: float
    early: float
    late: float
    cpu: float
    cpu_turn: float
    rss: float
    sent: float
    per_minute: float


def script(scenario: Scenario) -> dict[str, Any]:
    """What the server answers: a file to read per turn, and an end."""
    turns: list[Any] = [
        [{"text": f"I read file {number}."}, {"call": "Read", "input": {"file_path": f"data_{number}.txt"}}]
        for number in range(scenario.turns - 1)
    ]
    return {"latency": scenario.latency, "agents": [{"turns": [*turns, [{"text": "Done."}]]}]}


@contextmanager
def server(answers: dict[str, Any], folder: Path, *options: str) -> Iterator[tuple[str, Path]]:
    """The scripted server in a child process. Gives its address and the file of its records."""
    script, record = folder / "script.yaml", folder / "requests.jsonl"
    script.write_text(yaml.safe_dump(answers))
    record.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.support.messages_server", "--script", script, "--record", record, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), record
        finally:
            process.terminate()


def measure(peer: str, python: str, scenario: Scenario, folder: Path) -> Figures:
    """Run one peer once. Raises RuntimeError with what it said when it failed."""
    work = folder / "repository"
    work.mkdir(exist_ok=True)
    for number in range(scenario.turns):
        line = f"value_{number} = 'some text'  # of file {number}\n"
        (work / f"data_{number}.txt").write_text((line * (scenario.size // len(line) + 1))[: scenario.size - 1] + "\n")
    with server(script(scenario), folder, "--lean") as (url, record):
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}  # compiled once
        env = {**kept, "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "scripted", "PYTHONPATH": str(ROOT)}
        env |= {"ML_ENGINEER_MODEL": "scripted", "ML_ENGINEER_PROFILE": "anthropic", "LANGSMITH_TRACING": "false"}
        command = [python, str(ROOT / "benchmarks" / "lean_peers.py"), peer, "--sessions", str(scenario.sessions)]
        spawned = time.monotonic()
        done = subprocess.run(command, check=False, cwd=work, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{peer}: {done.stderr.strip()[-600:]}")
    used = json.loads(done.stdout)
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    if len(entries) != scenario.turns * scenario.sessions:
        raise RuntimeError(f"{peer}: {len(entries)} requests instead of {scenario.turns * scenario.sessions}")
    entries.sort(key=lambda entry: entry["received"])
    gaps = [(after["received"] - before["answered"]) * 1000 for before, after in pairwise(entries)]
    return Figures(
        start=entries[0]["received"] - spawned,
        gap=statistics.median(gaps),
        early=statistics.median(gaps[4:15] or gaps),
        late=statistics.median(gaps[39:] or gaps),
        cpu=used["cpu"],
        cpu_turn=used["turns_cpu"] * 1000 / len(entries),
        rss=used["rss"],
        sent=sum(entry["size"] for entry in entries) / 1e6,
        per_minute=scenario.sessions * 60 / (used["ended"] - spawned),
    )


def compare(scenario: Scenario, peers: dict[str, str], repeats: int) -> dict[str, Figures]:
    """Medians by peer."""
    runs: dict[str, list[Figures]] = {peer: [] for peer in peers}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for peer, python in peers.items():
                sys.stderr.write(f"{scenario.name}, repeat {repeat + 1}: {peer}\n")
                runs[peer].append(measure(peer, python, scenario, Path(folder)))
    names = list(Figures.__dataclass_fields__)
    return {
        peer: Figures(*(statistics.median(getattr(one, name) for one in of_peer) for name in names))
        for peer, of_peer in runs.items()
    }


def table(scenario: Scenario, figures: dict[str, Figures]) -> list[str]:
    """Markdown; in brackets the ratio to the bare SDK loop."""
    base = figures["sdk"]
    lines = [f"### {scenario.name}", ""]
    if scenario.latency:
        lines += ["| loop | runs per minute | peak RSS, MB | CPU, s | start, s |", "|---|--:|--:|--:|--:|"]
        for peer, one in figures.items():
            lines.append(f"| {peer} | {one.per_minute:.0f} | {one.rss:.0f} | {one.cpu:.2f} | {one.start:.2f} |")
        return [*lines, ""]
    columns = ("loop", "start to 1st request, s", "per turn, ms", "early → late, ms", "CPU, s", "CPU per turn, ms")
    lines.append(f"| {' | '.join((*columns, 'peak RSS, MB', 'MB sent'))} |")
    lines.append("|---|--:|--:|--:|--:|--:|--:|--:|")
    for peer, one in figures.items():

        def cell(name: str, digits: int = 2, one: Figures = one) -> str:
            value = getattr(one, name)
            return f"{value:.{digits}f} ({value / getattr(base, name):.2f})"

        flat = f"{one.early:.2f} → {one.late:.2f} ({one.late / one.early:.2f})"
        cells = [peer, cell("start"), cell("gap"), flat, cell("cpu"), cell("cpu_turn"), cell("rss", 0), cell("sent")]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def reached(found: dict[Scenario, dict[str, Figures]]) -> list[str]:
    """What is wanted of our loop, beside what it has reached."""
    rows: list[tuple[str, float, str]] = []
    for scenario, figures in found.items():
        ours, base = figures["ours"], figures["sdk"]
        if not scenario.latency:
            rows += [
                (f"{scenario.name}: start to 1st request, bare loop = 1", ours.start / base.start, "≤ 1.30"),
                (f"{scenario.name}: time per turn, bare loop = 1", ours.gap / base.gap, "≤ 2.00"),
                (f"{scenario.name}: turns 40–50, turns 5–15 = 1", ours.late / ours.early, "≤ 1.30"),
                (f"{scenario.name}: peak memory, bare loop = 1", ours.rss / base.rss, "≤ 1.35"),
                (f"{scenario.name}: bytes sent, bare loop = 1", ours.sent / base.sent, "≤ 1.25"),
            ]
        elif scenario in WANTED:
            rows.append((f"{scenario.name}: runs per minute", ours.per_minute, f"≥ {WANTED[scenario]}"))
    if ONE in found and SIXTEEN in found:
        grown = found[SIXTEEN]["ours"].rss / found[ONE]["ours"].rss
        rows.append((f"{SIXTEEN.name}: peak memory, of one run = 1", grown, "≤ 1.10"))
    lines = [f"| {what} | {value:.2f} | {wanted} |" for what, value, wanted in rows]
    return ["| wanted of ours | reached | goal |", "|---|--:|--:|", *lines, ""] if lines else []


def find_peers(python: str | None) -> tuple[dict[str, str], list[str]]:
    """Interpreter by peer, and a word on each that is left out."""
    peers, left_out = dict.fromkeys(BARE, sys.executable), []
    for name in FRAMEWORKS:
        if python is None:
            left_out.append(f"{name} is left out: no --peers-python")
        elif subprocess.run([python, "-c", IMPORTED[name]], check=False, capture_output=True).returncode:
            left_out.append(f"{name} is left out: {python} cannot import it")
        else:
            peers[name] = python
    return peers, left_out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers-python", help="interpreter with deepagents, langchain-anthropic and pydantic-ai")
    parser.add_argument("--only", choices=["single", "batch", "parallel"], help="leave the other scenarios out")
    options = parser.parse_args()
    scenarios = {"single": SINGLE, "batch": BATCH, "parallel": ()}.get(options.only, SINGLE + BATCH)
    lines = [f"{os.cpu_count()} cores, {options.repeats} repeats, medians; in brackets the ratio to the bare loop."]
    if scenarios:
        peers, left_out = find_peers(options.peers_python)
        found = {scenario: compare(scenario, peers, options.repeats) for scenario in scenarios}
        lines += [*left_out, ""]
        for scenario, figures in found.items():
            lines += table(scenario, figures)
        lines += reached(found)
    if options.only in (None, "parallel"):
        with tempfile.TemporaryDirectory() as folder:
            lines += ["", *lean_review.measure(server, Path(folder))]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
