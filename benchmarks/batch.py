"""How fast a batch is, what it takes, and whether poison reaches the others.

    python -m benchmarks.batch [--count 1000] [--sdists DIR]      throughput without a model
    python -m benchmarks.batch --poison [--count 990]             ten poisoned ones among them
    python -m benchmarks.batch --model [--count 16]               the scripted server, 429 one time in five

The repositories are small and differ: the examples with some of their files left out and some lines added, and, where
DIR is given, unpacked source distributions. Run it from the root of the repository, on a machine that does nothing
else. It measures; --poison fails where a report is another, --model below 85 % of the rate or above the cap.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ml_engineer.interfaces.batch.index import Job
from tests.interfaces.batch.conftest import tree

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(sysconfig.get_path("scripts")) / "ml-engineer"
EXAMPLES = ("churn", "vision", "churn-production")
CROWD, COMMITS = 2_000_000, 200_000  # files and commits of the poisoned repositories


# --- repositories -----------------------------------------------------------------------------------------------------


def make_repositories(folder: Path, count: int, sdists: Path | None) -> list[Path]:
    """`count` small repositories, every second one from a source distribution where there are some."""
    dice = random.Random(8)
    unpacked = sorted(path for path in sdists.iterdir() if path.is_dir()) if sdists else []
    made = []
    for number in range(count):
        root = folder / f"r{number:04d}"
        if unpacked and number % 2:
            _copy(unpacked[number // 2 % len(unpacked)], root, number, dice, keep=1.0)
        else:
            _copy(ROOT / "examples" / EXAMPLES[number // 2 % len(EXAMPLES)], root, number, dice, keep=0.6)
        made.append(root)
    return made


def _copy(source: Path, root: Path, number: int, dice: random.Random, keep: float) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink() and dice.random() < keep:
            target = root / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            if path.suffix == ".py":
                with target.open("a") as stream:
                    stream.write(f"\n\nVARIATION_{number} = {dice.random()}\n")
    root.mkdir(exist_ok=True)
    (root / "VARIATION.md").write_text(f"Variation {number}.\n")


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass
class Sampler:
    """Memory and CPU seconds of a process and all below it, twice a second. PSS: shared pages count once."""

    pid: int
    peak: int = 0
    cpu: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._over.wait(0.5):
            try:
                top = psutil.Process(self.pid)
                family = [top, *top.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.peak = max(self.peak, sum(_pss(one) for one in family))
            self.cpu = max(self.cpu, sum(_cpu(one) for one in family))

    def stop(self) -> None:
        self._over.set()


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def _cpu(process: psutil.Process) -> float:
    """With the children that it has waited for."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.Error:
        return 0.0


def batch(words: list[str], environment: dict[str, str]) -> None:
    """Run the command, and print what it took."""
    start = time.monotonic()
    child = subprocess.Popen([str(SCRIPT), "batch", *words], env=environment, stdout=subprocess.PIPE, text=True)
    sampler = Sampler(child.pid)
    threading.Thread(target=sampler.run, daemon=True).start()
    shown, _ = child.communicate()
    sampler.stop()
    print(shown.splitlines()[0])
    print(f"exit {child.returncode}, {time.monotonic() - start:.1f} s, {sampler.cpu:.1f} s of CPU,")
    print(f"peak memory {sampler.peak / 1e6:.0f} MB (PSS of all processes)")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def throughput(folder: Path, options: argparse.Namespace) -> None:
    roots = make_repositories(folder / "repos", options.count, options.sdists)
    files = sum(len(files) for root in roots for _, _, files in os.walk(root))
    print(f"{len(roots)} repositories, {files / len(roots):.0f} files each")
    start = time.monotonic()
    batch([str(folder / "repos" / "*"), "--out", str(folder / "out"), *options.words], _environment(folder))
    seconds = time.monotonic() - start
    print(f"{len(roots) / seconds:.1f} a second, start and summary included")


def _environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANTHROPIC_", "ML_ENGINEER_"))}
    return kept | {"ML_ENGINEER_HOME": str(folder / "home")}


# --- poison -----------------------------------------------------------------------------------------------------------


def poison(folder: Path, options: argparse.Namespace) -> int:
    """The reports of the good ones, with the poison among them and without it."""
    from tests.interfaces.batch.poison import make_poison
    from tests.interfaces.batch.test_poison import run

    os.environ["ML_ENGINEER_HOME"] = str(folder / "home")
    good = make_repositories(folder / "repos", options.count, options.sdists)
    begun = time.monotonic()
    bad = make_poison(folder / "poison", folders=CROWD // 1_000, each=1_000, commits=COMMITS)
    print(f"ten poisoned repositories, {CROWD:,} files in one, made in {time.monotonic() - begun:.0f} s", flush=True)
    dice = random.Random(8)
    mixed = [*good]
    for path in bad:
        mixed.insert(dice.randrange(len(mixed)), path)
    alone = run(folder / "alone", good, seconds=60, heard=Counted("without the poison", len(good)))
    rows = run(folder / "mixed", mixed, seconds=60, heard=Counted("with it", len(mixed)))
    for path in bad:
        row = rows[path.name]
        print(f"  {row.name}: {row.state} {row.error_kind or ''} {row.error or '; '.join(row.gaps)[:100]}")
    different = []
    for name, row in alone.items():
        ours, theirs = folder / "alone" / "reports" / row.folder, folder / "mixed" / "reports" / rows[name].folder
        if tree(ours) != tree(theirs):
            different.append(f"{name} ({row.state}, {rows[name].state} {rows[name].error or ''})")
    print(f"{len(alone) - len(different)} of {len(alone)} good repositories have the same bytes")
    print("\n".join(f"  another report: {line}" for line in different[:10]), end="\n" if different else "")
    ran = (folder / "poison" / "ran").exists()
    print("a hook has run" if ran else "no hook has run")
    return 1 if different or ran else 0


class Counted:
    """Says twice a minute how far a batch is."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self.begun = self.said = time.monotonic()

    def began(self, job: Job) -> None:
        pass

    def ended(self, job: Job, outcome: str, error: str = "") -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.said >= 30 or self.done == self.total:
            self.said = now
            print(f"  {self.what}: {self.done} of {self.total} after {now - self.begun:.0f} s", flush=True)


# --- with a model -----------------------------------------------------------------------------------------------------


WINDOW, TURN = 1.0, 2.0  # seconds of `retry-after`, and of an answer
LOOKS = 4  # turns of an agent before its last
# Of what the door lets through, until three quarters are done: then the cap begins to hold calls back at their most,
# and the last repositories are fewer than there is room for.
LEAST = 0.85
MODEL = "claude-sonnet-5-5"
USAGE = {"input_tokens": 2_000, "output_tokens": 300}


def refusing_server() -> Any:
    """The scripted server with two seconds a turn, behind a door: every fifth request is refused and shuts it for
    WINDOW seconds, in which all others are refused too."""
    from tests.support.answers import refusal
    from tests.support.messages_server import MessagesServer, Received, _send
    from tests.support.review import finish
    from tests.support.script import Agent, Script, Turn, call

    class Refusing(MessagesServer):
        asked = 0
        early = 0
        until = 0.0

        async def _answer(self, entry: Received, raw: bytes, writer: asyncio.StreamWriter) -> bool:
            now = time.monotonic()
            shut = now < self.until
            self.asked += 1
            if not shut and self.asked % 5:
                return await super()._answer(entry, raw, writer)
            self.early += shut
            self.until = max(self.until, now + WINDOW) if not shut else self.until
            reply = refusal(429, "slow down")
            reply.headers["retry-after"] = f"{self.until - now:.2f}"
            entry.fault = "429"
            self.requests.append(entry)
            return await _send(writer, reply)

    looks = [Turn([call("Glob", pattern=f"**/*{number}*")], usage=USAGE) for number in range(LOOKS)]
    return Refusing(Script([Agent([*looks, Turn([finish()], usage=USAGE)])], latency=TURN), keep_bodies=False)


def allowed(turns: int) -> float:
    """Seconds that so many turns take behind that door if nobody loses a moment: simulated, with as many requests under
    way as the door lets be."""
    now, until, asked, ends = 0.0, 0.0, 0, [0.0]
    while len(ends) <= turns:
        now = max(now, until)
        asked += 1
        if asked % 5 == 0:
            until = now + WINDOW
        else:
            ends.append(now + TURN)
    return max(ends)


def model(folder: Path, options: argparse.Namespace) -> int:
    """Turns of two seconds; one request in five is refused, and nothing is let pass until `retry-after` is over. The
    cap on cost allows a little less than all that there is to do."""
    from ml_engineer.agent import prices

    roots = make_repositories(folder / "repos", options.count, options.sdists)
    price = prices.bill(MODEL, USAGE)
    assert price is not None, f"the price of {MODEL} is known"
    cap = price * (len(roots) * 10 * (LOOKS + 1)) * 95 / 100
    server = refusing_server()
    with server:
        asked = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "k", "ML_ENGINEER_MODEL": MODEL}
        asked |= {"ML_ENGINEER_MAX_TOKENS": "1000"}  # a call in flight is held at its most
        words = [*map(str, roots), "--out", str(folder / "out"), "--workers", str(options.workers)]
        batch([*words, "--max-cost", f"{cap:.4f}", *options.words], _environment(folder) | asked)
    codes = Counter(one.fault or "answered" for one in server.requests)
    begun = min(one.received for one in server.requests)
    answered = sorted(one.answered - begun for one in server.requests if one.fault is None)
    print(f"{len(answered)} turns in {answered[-1]:.1f} s; refused {codes['429']},", end=" ")
    print(f"of them {server.early} while the door was shut")
    ratio = 0.0
    for what, turns in (("all", len(answered)), ("three quarters", len(answered) * 3 // 4)):
        ratio = allowed(turns) / answered[turns - 1]
        print(f"{what}: allowed are {allowed(turns):.1f} s, taken were {answered[turns - 1]:.1f} s: {ratio:.0%}")
    paid = price * len(answered)
    print(f"paid ${paid:.4f} of ${cap:.4f}; {json.loads((folder / 'out' / 'summary.json').read_text())['usage']}")
    return 0 if ratio >= LEAST and paid <= cap else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--count", type=int)
    parser.add_argument("--sdists", type=Path)
    parser.add_argument("--poison", action="store_true")
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("words", nargs="*", help="further options of the command, behind --")
    options = parser.parse_args()
    options.count = options.count or (16 if options.model else 990 if options.poison else 1_000)
    with tempfile.TemporaryDirectory(prefix="batch-") as name:
        if options.poison:
            return poison(Path(name), options)
        if options.model:
            return model(Path(name), options)
        throughput(Path(name), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
