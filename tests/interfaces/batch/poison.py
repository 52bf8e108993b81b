"""Repositories that are poison, and a unit of work that dies where a real one cannot be made to.

A folder that holds a file `POISON` is not reviewed: the word in it says how the child ends. All others are.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from ml_engineer.interfaces.batch.unit import review_unit
from ml_engineer.interfaces.jobs import Listen

MARK = "POISON"
_CAPABILITIES_3 = 0x20080522


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
        case "unreadable":
            obey_permissions()
        case "once":
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        case "twice":
            mark.write_text("once")
            return {"again": "the server is away"}
    return review_unit(given, send)


def obey_permissions() -> None:
    """From now on this process reads only what it may, also as root: nothing passes permissions by."""
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0 and libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def make_poison(root: Path, *, folders: int = 20, each: int = 200, commits: int = 5_000) -> list[Path]:
    """Ten repositories as nobody wants them, real ones as far as files can be: a crash, a hang, a flood of memory, a
    fork bomb in every hook, links that lead out, a broken git, a file of 5 GB, a crowd of `folders` times `each` files,
    files that may not be read, and a history of so many commits."""
    from tests.interfaces.batch.conftest import make_repository

    def repository(name: str) -> Path:
        return make_repository(root / name)

    marked = [repository(name) for name in ("crash", "bomb")]
    for path in marked:
        (path / MARK).write_text({"bomb": "memory"}.get(path.name, path.name))
    hang = repository("hang")  # git opens its configuration and waits for a writer for ever
    _git(hang, "init", "-q")
    (hang / ".git" / "config").unlink()
    os.mkfifo(hang / ".git" / "config")
    large = repository("large")
    with (large / "large.py").open("wb") as stream:
        stream.truncate(5_000_000_000)
    crowd = repository("crowd")
    for folder in range(folders):
        (crowd / f"d{folder}").mkdir()
        for number in range(each):
            os.mknod(crowd / f"d{folder}" / f"{number}.csv")
    others = [_hooks(repository("hooks")), _links(repository("links")), _broken(repository("broken"))]
    others += [_unreadable(repository("unreadable")), _history(repository("history"), commits)]
    return [*marked, hang, large, crowd, *others]


def _hooks(root: Path) -> Path:
    """A fork bomb, though one with an end, in everything that git could run. None of it must."""
    _git(root, "init", "-q")
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "fsmonitor"):
        (hooks / name).write_text(
            f"#!/bin/sh\ntouch {root.parent / 'ran'}\n[ ${{1:-0}} -gt 5 ] && exec sleep 1234567\n"
            '"$0" $((${1:-0} + 1)) & "$0" $((${1:-0} + 1)) &\n'
        )
        (hooks / name).chmod(0o755)
    for setting in ("core.fsmonitor", "core.sshCommand", "core.pager", "filter.bomb.clean", "diff.external"):
        _git(root, "config", setting, str(hooks / "fsmonitor"))
    (root / ".gitattributes").write_text("* filter=bomb\n")
    return root


def _links(root: Path) -> Path:
    targets = {"etc": "/etc", "up": "..", "loop": "loop", "zero.py": "/dev/zero", "train.py": "/etc/hosts"}
    for name, to in targets.items():
        (root / name).symlink_to(to)
    return root


def _broken(root: Path) -> Path:
    (root / ".git" / "objects").mkdir(parents=True)
    (root / ".git" / "refs").mkdir()
    (root / ".git" / "HEAD").write_bytes(b"\0\xff" * 50)
    return root


def _unreadable(root: Path) -> Path:
    """A file and a folder that nobody may read, a pipe instead of a file, and a name that is no text."""
    (root / MARK).write_text("unreadable")
    (root / "secret.py").write_text("import torch\n")
    (root / "secret.py").chmod(0)
    os.mkfifo(root / "pipe.py")
    (root / os.fsdecode(b"\xff\xfe.py")).touch()
    (root / "closed").mkdir()
    (root / "closed" / "train.py").touch()
    (root / "closed").chmod(0)
    return root


def _history(root: Path, commits: int) -> Path:
    _git(root, "init", "-q", "-b", "main")
    commit = "commit refs/heads/main\ncommitter a <a@b> {} +0000\ndata 1\nx\n"
    stream = "".join(commit.format(1_700_000_000 + number) for number in range(commits))
    subprocess.run(["git", "-C", str(root), "fast-import", "--quiet"], input=stream.encode(), check=True)
    return root


def _git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)
