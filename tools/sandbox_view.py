"""What a confined command may see and change: one description for bubblewrap's mounts and for Landlock's rules.

View(workspace, home, temporary, writable) -> .hidden .readable .protected
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Parts of a home folder that hold programs and no secrets. `.cargo` and `.config` as a whole would hold both.
_TOOLCHAINS = (
    ".pyenv",
    ".rustup",
    ".nvm",
    ".volta",
    ".sdkman",
    ".cargo/bin",
    ".local/bin",
    ".local/lib",
    ".local/share/uv",
    ".local/share/pipx",
    ".local/share/mise",
    "miniconda3",
    "miniforge3",
    "mambaforge",
    "anaconda3",
    "micromamba",
    "go",
)
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")  # a folder with one of these is a Python environment


@dataclass(frozen=True)
class View:
    """All paths are absolute and resolved. `home` and `temporary` are the command's own HOME and /tmp.

    What depends on the machine is looked up once; `protected` each time, because a command may make a repository.
    """

    workspace: Path
    home: Path
    temporary: Path
    writable: bool = True

    @cached_property
    def real_homes(self) -> tuple[Path, ...]:
        """The user's home, and the folder of everybody's."""
        user = Path(os.environ.get("HOME") or "~").expanduser().resolve()
        return tuple(path for path in dict.fromkeys((Path("/home"), Path("/root"), user)) if path.is_dir())

    @cached_property
    def hidden(self) -> tuple[Path, ...]:
        """Folders that look empty from inside: homes (keys, tokens) and /run (sockets of agents and daemons)."""
        closed = (*self.real_homes, Path("/run"), Path("/var/tmp"))
        return tuple(path for path in closed if path.is_dir() and path != Path("/"))

    @cached_property
    def readable(self) -> tuple[Path, ...]:
        """Programs inside hidden folders that commands need: toolchains, environments on PATH, git's history."""
        found = [home / name for home in self.real_homes for name in _TOOLCHAINS]
        for entry in os.environ.get("PATH", "").split(os.pathsep):
            folder = Path(entry)
            if not folder.is_absolute():
                continue
            environment = any(os.access(folder.parent / mark, os.R_OK) for mark in _ENVIRONMENT_MARKS)
            found.append(folder.parent if environment else folder)
        found += [Path(sys.prefix), Path(sys.base_prefix), *_git_folders(self.workspace)]
        wanted = [path for path in dict.fromkeys(found) if os.access(path, os.R_OK) and self._in_hidden(path)]
        return tuple(path for path in wanted if not any(other in path.parents for other in wanted))

    @property
    def protected(self) -> tuple[Path, ...]:
        """What stays read-only inside the workspace: git would run hooks and commands that it says."""
        return tuple(path for path in (self.workspace / ".git",) if self.writable and path.exists())

    def _in_hidden(self, path: Path) -> bool:
        hidden = (*self.hidden, Path("/tmp"))
        real = path.resolve()
        return any(real.is_relative_to(folder) and real != folder for folder in hidden)


def _git_folders(workspace: Path) -> list[Path]:
    """Where the history of a linked worktree lies: its `.git` is a file that points into the main repository."""
    link = workspace / ".git"
    if not link.is_file():
        return []
    target = link.read_text(encoding="utf-8", errors="replace").removeprefix("gitdir:").strip()
    own = (workspace / target).resolve()
    common = own / "commondir"
    return [(own / common.read_text(encoding="utf-8").strip()).resolve()] if common.is_file() else [own]
