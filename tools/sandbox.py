"""The sandbox: which level confines a command, what that level promises, and how it was proved.

    choose(workspace, scratch, …) -> Sandbox            # the first level whose self-test passes
    Sandbox.prepare(command, cwd=…) -> Launch           # the `Launcher` that the Bash tool uses
    Sandbox.level, .promise, .refused                   # for the banner, the JSON and the report

Every level stands on layer 0: resource limits, a watcher over the whole tree of processes, a clean environment, HOME
and the temporary folder replaced. A level counts only when a command has been run in it and could not do what the level
forbids; that a program is installed, or a kernel new enough, proves nothing. A level is never lowered silently: what
was tried and why it failed is in `refused`.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ml_engineer.tools import sandbox_bwrap, sandbox_landlock, sandbox_seccomp, sandbox_supervisor
from ml_engineer.tools.launch import SHELL, Launch, LaunchError, Limits, clean_environment
from ml_engineer.tools.sandbox_view import View

_SELF_TEST_SECONDS = 20
# What root keeps without a user namespace: to work on files of other users, as in a container with a mounted folder
# (CHOWN, DAC_OVERRIDE, FOWNER, FSETID), and to change to another user (SETGID, SETUID).
_KEPT_CAPABILITIES = (0, 1, 3, 4, 6, 7)


class Level(StrEnum):
    """From strongest to weakest."""

    BWRAP = "bwrap"
    LANDLOCK = "landlock"
    NETWORK_ONLY = "network-only"
    OFF = "off"


@dataclass(frozen=True)
class Promise:
    """What a level keeps, what it does not, and how to get more. One sentence each."""

    kept: str
    missing: str
    remedy: str


_GET_BWRAP = "Install bubblewrap (`apt install bubblewrap`), or the extra `ml-engineer[sandbox]`."
PROMISES = {
    Level.BWRAP: Promise(
        "Commands write only in the workspace and in folders of their own, see no home folder, reach no network and no "
        "process outside, and cannot change the workspace's .git.",
        "Unix sockets with a path outside the home folders, /run and /tmp can still be reached, and hard links that "
        "were in the workspace before lead out of it.",
        "Keep control sockets (Docker, databases) under /run.",
    ),
    Level.LANDLOCK: Promise(
        "Commands write only in the workspace and in folders of their own, read no home folder, make no sockets at all "
        "and cannot look into processes outside.",
        "The workspace's .git can be changed, modes and times of files outside can be changed, before Linux 6.12 other "
        "processes can be signalled, and programs that need sockets (a server under test, data loader workers) fail.",
        _GET_BWRAP,
    ),
    Level.NETWORK_ONLY: Promise(
        "Commands make no sockets at all, cannot trace other processes, and have lost most rights of root.",
        "Files are not confined: a command can read and write all that the user can.",
        _GET_BWRAP + " Where namespaces are refused (gVisor, Docker's default), a kernel with Landlock does.",
    ),
    Level.OFF: Promise(
        "Commands have limits on time, memory and processes, a clean environment, and leave no process behind.",
        "Neither files nor the network are confined: every command is asked for, and without a person it is refused.",
        _GET_BWRAP,
    ),
}


@dataclass(frozen=True)
class Tree:
    """Limits over a command and all its descendants together, kept by the supervisor."""

    processes: int = 512
    memory_bytes: int = field(
        default_factory=lambda: int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.9)
    )


@dataclass(frozen=True)
class Refusal:
    """A level that could not be used here, and why."""

    level: Level
    reason: str


@dataclass(frozen=True)
class Sandbox:
    """Starts commands at one level. Use `choose`, which proves the level first."""

    level: Level
    view: View
    limits: Limits = field(default_factory=Limits)
    tree: Tree = field(default_factory=Tree)
    refused: tuple[Refusal, ...] = ()

    @property
    def promise(self) -> Promise:
        return PROMISES[self.level]

    def banner(self) -> str:
        """One line for a person: the level, and the first reason for not being stronger."""
        why = "; ".join(f"{refusal.level} not available: {refusal.reason}" for refusal in self.refused)
        advice = f" ({why}. {self.promise.remedy})" if why else ""
        return f"sandbox: {self.level}. {self.promise.kept}{advice}"

    def prepare(self, command: str, *, cwd: Path, network: bool = False) -> Launch:
        """How to start `command`; `network` opens the network for this one. `cwd` must lie in the workspace."""
        cwd = cwd.resolve()
        if not cwd.is_relative_to(self.view.workspace):
            raise LaunchError(f"{cwd} is outside the workspace {self.view.workspace}; give a folder inside it")
        env = clean_environment(os.environ, home=self.view.home, network=network)
        env["TMPDIR"] = "/tmp" if self.level is Level.BWRAP else str(self.view.temporary)
        watcher = [sys.executable, "-I", "-S", "-c", sandbox_supervisor.BOOT, str(Path(__file__).resolve().parent)]
        argv = [*watcher, *self._options(network=network), "--"]
        if self.level is Level.BWRAP:
            argv += [*sandbox_bwrap.arguments(_bwrap(), self.view, cwd=cwd, network=network), "--"]
        return Launch([*argv, *SHELL, command], env, cwd, None, str(self.level))

    def _options(self, *, network: bool) -> list[str]:
        limits = {
            "cpu": self.limits.cpu_seconds,
            "fsize": self.limits.file_bytes,
            "nproc": self.limits.processes,
            "as": self.limits.address_space,
            "nofile": self.limits.open_files,
            "processes": self.tree.processes,
            "memory": self.tree.memory_bytes,
        }
        options = [f"{key}={value}" for key, value in limits.items() if value is not None]
        if self.level is Level.OFF:
            return options
        namespaced = self.level is Level.BWRAP
        options.append(f"seccomp={sandbox_seccomp.program(sockets=network or namespaced).hex()}")
        if namespaced:
            options.append("seccomp_fd=1")
        else:
            options += [f"keep_caps={capability}" for capability in _KEPT_CAPABILITIES]
        if self.level is Level.LANDLOCK:
            options.append(f"landlock={sandbox_landlock.kernel_abi() or 0}")
            options += [f"read={path}" for path in sandbox_landlock.read_paths(self.view)]
            options += [f"write={path}" for path in sandbox_landlock.write_paths(self.view)]
        return options


def choose(
    workspace: Path,
    scratch: Path,
    *,
    writable: bool = True,
    strongest: Level = Level.BWRAP,
    limits: Limits | None = None,
    tree: Tree | None = None,
) -> Sandbox:
    """The strongest level that passes its self-test here, not above `strongest`.

    `scratch` is a folder outside the workspace; the commands' HOME and temporary folder are made in it.
    `writable=False` makes the workspace read-only for commands, where the level confines files. Raises LaunchError
    where commands cannot be watched (no Linux, no /proc) or the workspace is the whole file system.
    """
    if not Path("/proc/thread-self/children").exists():
        raise LaunchError("commands cannot be watched here: that needs Linux with /proc mounted and PROC_CHILDREN")
    if workspace.resolve() == Path("/"):
        raise LaunchError("the workspace is the root of the file system; choose a folder")
    view = View(workspace.resolve(), scratch.resolve() / "home", scratch.resolve() / "tmp", writable)
    for folder in (view.home, view.temporary):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    refused: list[Refusal] = []
    levels = list(Level)
    for level in levels[levels.index(strongest) :]:
        sandbox = Sandbox(level, view, limits or Limits(), tree or Tree(), tuple(refused))
        reason = self_test(sandbox)
        if reason is None:
            return sandbox
        refused.append(Refusal(level, reason))
    raise LaunchError("no command can be started: " + "; ".join(f"{item.level}: {item.reason}" for item in refused))


def self_test(sandbox: Sandbox) -> str | None:
    """Runs a probe in the sandbox: None when it could do all that it must and nothing that it must not, else why."""
    missing = _missing(sandbox.level)
    if missing is not None:
        return missing
    view = sandbox.view
    with tempfile.TemporaryDirectory(dir=view.home.parent) as outside, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        values = [outside, str(view.temporary), str(listener.getsockname()[1]), str(view.workspace)]
        probe = shlex.join([sys.executable, "-I", "-S", "-c", _PROBE, *values])
        launch = sandbox.prepare(f"exec {probe}", cwd=view.workspace)
        try:
            done = subprocess.run(
                launch.argv, env=launch.env, cwd=launch.cwd, capture_output=True, text=True,
                stdin=subprocess.DEVNULL, start_new_session=True, timeout=_SELF_TEST_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"the self-test did not end within {_SELF_TEST_SECONDS} s"
    if done.returncode != 0:
        return _explain(done.stderr.strip() or f"the self-test ended with {done.returncode}")
    could = set(done.stdout.split())
    if "write_inside" not in could:
        return "in the self-test a command could not write in its own folder"
    if view.writable and os.access(view.workspace, os.W_OK) and "write_workspace" not in could:
        return "a command could not write in the workspace, which belongs to another user"
    wrong = sorted(could & _FORBIDDEN[sandbox.level])
    return f"in the self-test a command could {' and '.join(wrong)}" if wrong else None


# Each function tries one thing; the names of those that succeeded are printed.
_PROBE = """
import os, socket, sys
outside, own, port, workspace = sys.argv[1:]
def write_inside(): open(own + "/probe", "w").close()
def write_outside(): open(outside + "/probe", "w").close()
def write_workspace(): os.access(workspace, os.W_OK) or os.close(-1)
def connect(): socket.create_connection(("127.0.0.1", int(port)), 2).close()
for act in (write_inside, write_outside, write_workspace, connect):
    try: act()
    except OSError: continue
    print(act.__name__)
"""


_FORBIDDEN = {
    Level.BWRAP: {"write_outside", "connect"},
    Level.LANDLOCK: {"write_outside", "connect"},
    Level.NETWORK_ONLY: {"connect"},
    Level.OFF: set[str](),
}


def _bwrap() -> Path:
    found = sandbox_bwrap.find_bwrap()
    if found is None:
        raise LaunchError(f"bubblewrap is gone. {_GET_BWRAP}")
    return found


def _missing(level: Level) -> str | None:
    """Why the level cannot even be tried, in words that say what to do."""
    if level is Level.BWRAP and sandbox_bwrap.find_bwrap() is None:
        return "bubblewrap is not installed"
    if level is Level.LANDLOCK and (sandbox_landlock.kernel_abi() or 0) < 3:
        return "the kernel offers no Landlock, or one older than ABI 3 (Linux 6.2), which lets files be emptied"
    if level is not Level.OFF:
        try:
            sandbox_seccomp.program(sockets=False)
        except OSError as error:
            return str(error)
    return None


def _explain(stderr: str) -> str:
    """bubblewrap's own message, and what it means for those that people meet."""
    last = stderr.splitlines()[-1]
    if "uid map" in last or "new namespace" in last or "loopback" in last:
        return (
            f"{last} - user namespaces are refused here (a container's seccomp profile, or on Ubuntu 24.04 and later "
            "`kernel.apparmor_restrict_unprivileged_userns`)"
        )
    return last
