"""How long a review takes, next to `ruff check` and `bandit` on the same trees.

    python benchmarks/review.py [LARGE_TREE]

Prints a table: whole processes, wall and CPU seconds, peak memory of the largest process; median of the rounds. The
churn example is reviewed cold; LARGE_TREE (unpack a few large source distributions into it) once with an empty cache
and then with a warm one. Start-up of `--help` and `rules` is timed as well. It measures; nothing fails by the clock.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(sysconfig.get_path("scripts"))
CHURN = Path(__file__).resolve().parents[1] / "examples" / "churn"


@dataclass(frozen=True)
class Timing:
    """One run of a command: seconds and MB. Peak memory is that of the largest process."""

    wall: float
    cpu: float
    peak: float


def timed(command: list[str], environment: dict[str, str]) -> Timing:
    """Run a command to its end; its output is thrown away."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return Timing(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(timings: list[Timing]) -> Timing:
    return Timing(*(statistics.median(getattr(t, name) for t in timings) for name in ("wall", "cpu", "peak")))


def row(name: str, timings: list[Timing], wanted: str = "") -> None:
    middle = median(timings)
    fastest = min(t.wall for t in timings)
    print(
        f"| {name} | {middle.wall:.2f} | {fastest:.2f} | {middle.cpu:.2f} | {middle.peak:.0f} | {wanted} |", flush=True
    )


def main() -> None:
    large = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    ours = str(SCRIPTS / "ml-engineer")
    rivals = {
        name: [str(path), *options]
        for name, options in (("ruff", ["check", "--no-cache", "-q"]), ("bandit", ["-r", "-q"]))
        if (path := shutil.which(str(SCRIPTS / name)) or shutil.which(name))
    }
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "ML_ENGINEER_HOME": home}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else what was edited is compiled in every round
        print("| command | wall, s (median) | fastest | CPU, s | peak, MB | goal |\n|---|--:|--:|--:|--:|---|")
        timed([ours, "--help"], environment)
        for command in ("--help", "rules"):
            row(f"`{command}`", [timed([ours, command], environment) for _ in range(7)], "0.15 s")
        review = [ours, "review", "--offline", "--format", "json"]
        timed([*review, str(CHURN)], environment)
        row("review, churn example", [timed([*review, str(CHURN)], environment) for _ in range(7)], "1.0 s")
        for name, command in rivals.items():
            row(f"{name}, churn example", [timed([*command, str(CHURN)], environment) for _ in range(3)])
        if large is not None:
            shutil.rmtree(Path(home) / "cache", ignore_errors=True)
            row("review, large tree, cold", [timed([*review, str(large)], environment)], "20 s, 600 MB")
            row("review, large tree, warm", [timed([*review, str(large)], environment) for _ in range(3)], "3 s")
            for name, command in rivals.items():
                row(f"{name}, large tree", [timed([*command, str(large)], environment)])


if __name__ == "__main__":
    main()
