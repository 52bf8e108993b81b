"""How quick and how light the chat is in a real terminal: the installed console script in a pty, driven and read.

    python benchmarks/terminal.py            prints a line per figure; run it on a machine that does nothing else

first prompt    seconds from the start of the process to the prompt on the screen; median of five starts
key echo        milliseconds from a key to its character on the screen, while an answer streams at 200 tokens a second
10,000 lines    seconds to print an answer of so many lines, memory at its end, how often the screen was cleared,
                and how many bytes were written for each line (a renderer that draws again what stands already writes
                more with every line)
"""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.paced_server import Paced, PacedServer, Plays
from tests.support.terminal import Terminal, clean_environment

TOKENS_PER_SECOND = 200
KEYS = 60
LINES = 10_000
PLAYS = Plays(
    {
        "#stream": [
            Paced([f"token{number} " + ("\n\n" if number % 60 == 59 else "") for number in range(6000)], 0.005)
        ],
        "#lines": [
            Paced(["".join(f"- line {at + n} with `code`\n" for n in range(50)) for at in range(0, LINES, 50)], 0)
        ],
    }
)


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The address of the scripted server, in a process of its own: it must not wait for the one that measures."""
    own, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield own.recv()
    finally:
        process.terminate()


def serve(pipe: Connection) -> None:
    with PacedServer(PLAYS.script, plays=PLAYS) as server:
        pipe.send(server.url)
        threading.Event().wait()


def first_prompt(root: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds that passed, and seconds of processor time."""
    with Terminal(["chat", root], environment) as terminal:
        terminal.wait_for("›")
        seen, used = time.monotonic() - terminal.started, processor_time(terminal)
        terminal.wait_for("mode ask")
        return seen, used


def processor_time(terminal: Terminal) -> float:
    times = psutil.Process(terminal.process.pid).cpu_times()
    return times.user + times.system


def key_echo(terminal: Terminal) -> list[float]:
    """Milliseconds of each of some keys: from writing it until a read brings it, before anything interprets that."""
    terminal.say("#stream")
    terminal.wait_for("token50 ")
    waits = []
    for number in range(KEYS):
        key = "ABCDEFGHIJ"[number % 10]  # no character of what streams
        seen = len(terminal.raw)
        began = time.monotonic()
        terminal.send(key)
        terminal.wait(lambda seen=seen, key=key: key.encode() in _without_colours(terminal.raw[seen:]), f"the {key}")
        waits.append((_read_with(terminal, seen, key) - began) * 1000)
        time.sleep(0.03)  # nobody types faster
    terminal.send("ctrl-c")
    terminal.wait_for("Stopped.")
    return waits


def _without_colours(raw: bytearray) -> bytes:
    return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", bytes(raw))


def _read_with(terminal: Terminal, seen: int, key: str) -> float:
    """When the bytes were read in which the key is."""
    return next(
        at for at, size in terminal.read_at if size > seen and key.encode() in _without_colours(terminal.raw[seen:size])
    )


def many_lines(terminal: Terminal) -> str:
    process = psutil.Process(terminal.process.pid)
    before, used = len(terminal.raw), processor_time(terminal)
    began = time.perf_counter()
    terminal.say("#lines")
    terminal.wait_for(f"line {LINES - 1} with", 300)
    seconds = time.perf_counter() - began
    raw = bytes(terminal.raw[before:])
    memory = process.memory_info().rss / 1e6
    clears = len(re.findall(rb"\x1b\[2J|\x1b\[\?1049h", raw))
    used = processor_time(terminal) - used
    return (
        f"{LINES:,} lines: {seconds:.1f} s ({used:.1f} s of a processor), {memory:.0f} MB at the end, "
        f"{clears} times the whole screen was cleared, {len(raw) / LINES:.0f} bytes a line"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, served() as url:
        root = Path(folder) / "repository"
        root.mkdir()
        (root / "app.py").write_text("import flask\n")
        settings = {"ANTHROPIC_BASE_URL": url, "ML_ENGINEER_MODEL": "scripted"}
        environment = clean_environment(Path(folder), **settings)
        starts = sorted(first_prompt(root, environment) for _ in range(5))
        seconds, used = (statistics.median(column) for column in zip(*starts, strict=True))
        print(
            f"first prompt: {seconds:.2f} s (from {starts[0][0]:.2f} to {starts[-1][0]:.2f}), "
            f"{used:.2f} s of a processor"
        )
        with Terminal(["chat", root], environment, columns=100, rows=40) as terminal:
            terminal.wait_for("mode ask")
            began, used = time.monotonic(), processor_time(terminal)
            waits = sorted(key_echo(terminal))
            share = (processor_time(terminal) - used) / (time.monotonic() - began)
            print(
                f"key echo at {TOKENS_PER_SECOND} tokens/s: median {statistics.median(waits):.1f} ms, "
                f"95 % within {waits[int(len(waits) * 0.95)]:.1f} ms, worst {waits[-1]:.1f} ms; "
                f"{share:.0%} of a processor"
            )
            print(many_lines(terminal))


if __name__ == "__main__":
    main()
