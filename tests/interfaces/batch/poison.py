"""Repositories that are poison, and a unit of work that dies where a real one cannot be made to.

A folder that holds a file `POISON` is not reviewed: the word in it says how the child ends. All others are.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from ml_engineer.interfaces.batch.unit import review_unit
from ml_engineer.interfaces.jobs import Listen

MARK = "POISON"


def work(given: dict[str, Any], send: Listen) -> dict[str, Any]:
    """`review_unit`, or what the mark says."""
    root = Path(given["source"]["place"])
    mark = root / MARK
    match mark.read_text() if mark.is_file() else "":
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise RuntimeError("a fault of ours")
        case "hang":
            subprocess.Popen(["sleep", "1234567"])
            time.sleep(10_000)
        case "memory":
            hoard = [bytearray(10_000_000) for _ in range(10_000)]
            raise AssertionError(len(hoard))
        case "forks":
            for _ in range(20):
                subprocess.Popen(["sleep", "1234567"])
            os.abort()
        case "once":
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        case "twice":
            mark.write_text("once")
            return {"again": "the server is away"}
    return review_unit(given, send)


def make_poison(root: Path) -> list[Path]:
    """Ten repositories as nobody wants them, real ones as far as files can be."""
    from tests.interfaces.batch.conftest import make_repository

    def repository(name: str) -> Path:
        return make_repository(root / name)

    found = [repository(name) for name in ("crash", "bomb", "forks")]
    for path in found:
        (path / MARK).write_text({"bomb": "memory"}.get(path.name, path.name))
    hang = repository("hang")  # git opens its configuration and waits for a writer for ever
    _git(hang, "init", "-q")
    (hang / ".git" / "config").unlink()
    os.mkfifo(hang / ".git" / "config")
    hooks = repository("hooks")
    _git(hooks, "init", "-q")
    for name in ("post-checkout", "pre-commit", "post-index-change", "fsmonitor"):
        hook = hooks / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {root / 'ran'}\n")
        hook.chmod(0o755)
    _git(hooks, "config", "core.fsmonitor", ".git/hooks/fsmonitor")
    links = repository("links")
    for name, to in {
        "etc": "/etc",
        "up": "..",
        "loop": "loop",
        "zero.py": "/dev/zero",
        "train.py": "/etc/hosts",
    }.items():
        (links / name).symlink_to(to)
    broken = repository("broken")
    (broken / ".git" / "objects").mkdir(parents=True)
    (broken / ".git" / "refs").mkdir()
    (broken / ".git" / "HEAD").write_bytes(b"\0\xff" * 50)
    large = repository("large")
    with (large / "large.py").open("wb") as stream:
        stream.truncate(5_000_000_000)
    crowd = repository("crowd")
    for folder in range(20):
        (crowd / f"d{folder}").mkdir()
        for number in range(200):
            (crowd / f"d{folder}" / f"{number}.csv").touch()
    history = repository("history")
    _git(history, "init", "-q", "-b", "main")
    commit = "commit refs/heads/main\ncommitter a <a@b> {} +0000\ndata 1\nx\n"
    stream = "".join(commit.format(1_700_000_000 + number) for number in range(5_000))
    subprocess.run(["git", "-C", str(history), "fast-import", "--quiet"], input=stream.encode(), check=True)
    return [*found, hang, hooks, links, broken, large, crowd, history]


def _git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)
