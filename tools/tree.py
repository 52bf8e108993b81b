"""The state of the whole workspace around a shell command, so that what the command changed can be told and undone.

    tree = scan(workspace)            before: path -> Entry (stat only)
    changed(tree, scan(workspace))    after: the paths that may differ

Not walked: `.git`, which is not ours to restore, and folders that tools fill and can fill again (`DERIVED`).
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import Any

from ml_engineer.tools.workspace import TEMPORARY, Workspace

_CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".ipynb_checkpoints", "__pycache__")
DERIVED = frozenset((".git", "node_modules", ".venv", "venv", ".tox", ".nox", *_CACHES))
MAX_ENTRIES = 200_000
# A file written this close before the scan may be written again without its time stamp moving on.
_CLOCK_GRAIN_NS = 20_000_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """What stat says of one file or link. `sha256` is set when its content is kept."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str | None = None

    def same_stat(self, other: Entry) -> bool:
        return (self.mode, self.size, self.mtime_ns, self.ctime_ns, self.inode) == (
            (other.mode, other.size, other.mtime_ns, other.ctime_ns, other.inode)
        )

    def to_json(self) -> list[Any]:
        return [self.mode, self.size, self.mtime_ns, self.ctime_ns, self.inode, self.sha256]


@dataclass
class Tree:
    """All files and links by path. `complete` is False when there were more than MAX_ENTRIES."""

    started_ns: int
    entries: dict[str, Entry]
    complete: bool = True

    def settled(self, entry: Entry) -> bool:
        """Whether an unchanged stat of `entry` proves unchanged content."""
        return entry.ctime_ns < self.started_ns - _CLOCK_GRAIN_NS

    def to_json(self) -> dict[str, Any]:
        entries = {path: entry.to_json() for path, entry in self.entries.items()}
        return {"started_ns": self.started_ns, "complete": self.complete, "entries": entries}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tree:
        entries = {path: Entry(*values) for path, values in data["entries"].items()}
        return cls(data["started_ns"], entries, data["complete"])


def scan(workspace: Workspace) -> Tree:
    """Stats the whole workspace, links not followed."""
    tree = Tree(time.time_ns(), {})
    with workspace.directory(".") as fd:
        _scan(fd, "", tree)
    return tree


def _scan(fd: int, prefix: str, tree: Tree) -> None:
    with os.scandir(fd) as listing:
        entries = list(listing)
    for entry in entries:
        try:
            info = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # gone since it was listed
        if stat.S_ISDIR(info.st_mode):
            if entry.name not in DERIVED:
                _descend(fd, entry.name, f"{prefix}{entry.name}/", tree)
        elif stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
            if len(tree.entries) >= MAX_ENTRIES:
                tree.complete = False
                return
            if not entry.name.endswith(TEMPORARY):
                tree.entries[prefix + entry.name] = Entry(
                    info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino
                )


def _descend(parent: int, name: str, prefix: str, tree: Tree) -> None:
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError:
        tree.complete = False  # unreadable, or swapped for a link: what is in it is not covered
        return
    try:
        _scan(fd, prefix, tree)
    finally:
        os.close(fd)


def changed(before: Tree, after: Tree) -> list[str]:
    """Paths that were added, removed or may have been written between the two scans, sorted."""
    paths = [path for path in before.entries if path not in after.entries]
    for path, now in after.entries.items():
        then = before.entries.get(path)
        if then is None or not then.same_stat(now) or not before.settled(now):
            paths.append(path)
    return sorted(paths)
