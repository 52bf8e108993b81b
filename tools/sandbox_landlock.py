"""Level `landlock`: the kernel refuses file access outside the view; no program is needed, no namespace either.

    kernel_abi() -> int | None
    read_paths(view), write_paths(view) -> list[Path]      # rules for the supervisor, which restricts the child

Landlock only adds rights, path by path: what is hidden is left out, and so its parents are listed entry by entry.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

from ml_engineer.tools.sandbox_view import View

_CREATE_RULESET, _VERSION_FLAG = 444, 1  # the same number on all architectures
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "shm")
_GPU_DEVICES = ("nvidia*", "kfd", "dri")


def kernel_abi() -> int | None:
    """Landlock's ABI, or None when the kernel has none or it is switched off. ABI 1 and 2 let files be truncated."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    abi = int(libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_long(0), ctypes.c_long(_VERSION_FLAG)))
    return abi if abi > 0 else None


@cache
def read_paths(view: View) -> tuple[Path, ...]:
    """Everything but the hidden folders, and inside those only the toolchains."""
    closed = (*view.hidden, Path("/tmp"), Path("/dev"))
    paths = _around(Path("/"), closed)
    return (*paths, *view.readable, view.workspace)


def write_paths(view: View) -> list[Path]:
    """The workspace, the command's HOME and temporary folder, and the devices that hold nothing."""
    devices = [Path("/dev") / name for name in _DEVICES]
    devices += [device for pattern in _GPU_DEVICES for device in Path("/dev").glob(pattern)]
    own = [view.home, view.temporary, *([view.workspace] if view.writable else [])]
    return [*own, *(device for device in devices if device.exists())]


def _around(folder: Path, closed: tuple[Path, ...]) -> list[Path]:
    """The entries below `folder` that neither are nor contain a closed one."""
    found: list[Path] = []
    if not os.access(folder, os.R_OK):
        return found  # what cannot be listed cannot be opened to commands either
    for entry in sorted(folder.iterdir()):
        if entry in closed or entry.is_symlink():
            continue
        if any(path.is_relative_to(entry) for path in closed):
            found += _around(entry, closed)
        else:
            found.append(entry)
    return found
