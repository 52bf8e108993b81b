"""What the sandbox costs: wall time of the empty command at each level, and of choosing a level at the start.

    python benchmarks/sandbox.py [ROUNDS]

The target is under 30 ms a command with bubblewrap. Prints a Markdown table in milliseconds over ROUNDS (40), with the
levels taken in turn so that a busy moment of the machine meets all of them. On a busy machine `fastest` is nearest to
what a quiet one would show.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from ml_engineer.tools.launch import Launch, PlainLauncher
from ml_engineer.tools.sandbox import Level, Sandbox, choose


def timed(launch: Launch) -> float:
    """Milliseconds from starting `launch` to its end."""
    begun = time.perf_counter()
    subprocess.run(launch.argv, env=launch.env, cwd=launch.cwd, stdin=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begun) * 1e3


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace, scratch = Path(folder, "workspace"), Path(folder, "scratch")
        workspace.mkdir()
        launchers: dict[str, PlainLauncher | Sandbox] = {"bash alone": PlainLauncher()}
        starts = {}
        for level in Level:
            begun = time.perf_counter()
            chosen = choose(workspace, scratch, strongest=level)
            if chosen.level is level:
                starts[str(level)] = (time.perf_counter() - begun) * 1e3
                launchers[str(level)] = chosen
        figures: dict[str, list[float]] = {name: [] for name in launchers}
        for _ in range(rounds):
            for name, launcher in launchers.items():
                figures[name].append(timed(launcher.prepare("true", cwd=workspace)))
    base = median(figures["bash alone"])
    sys.stdout.write(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {rounds} rounds\n\n")
    sys.stdout.write(
        "| level | fastest | median | 95th | above bash alone | choosing it, once |\n|---|---|---|---|---|---|\n"
    )
    for name, values in figures.items():
        start = f"{starts[name]:.0f}" if name in starts else ""
        middle, slowest = median(values), quantiles(values, n=20)[-1]
        row = (f"{min(values):.1f}", f"{middle:.1f}", f"{slowest:.1f}", f"{middle - base:.1f}", start)
        sys.stdout.write(f"| {name} | {' | '.join(row)} |\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
