"""How a shell command is started: what every launcher gives back, and layer 0 of the sandbox.

    Launcher.prepare(command, cwd=…, network=…) -> Launch(argv, env, cwd, preexec_fn, level)

A `Launch` is everything `asyncio.create_subprocess_exec` needs. The Bash tool adds what must hold at each level and is
not the launcher's business: a session of its own, stdin closed, output collected and capped, the whole group killed.
`PlainLauncher` confines nothing: it limits resources and hands on a clean environment. The sandbox builds on both.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SHELL = ("bash", "--noprofile", "--norc", "-c")  # not a login shell: that costs 100 ms and runs the user's profile

# What a build, a test run or a training script needs. All else stays out: a list of what is secret is never complete.
_KEPT_NAME = re.compile(
    r"""
    PATH | LANG | LANGUAGE | LC_\w+ | TZ | TMPDIR | USER | LOGNAME | VIRTUAL_ENV | LD_LIBRARY_PATH | LIBRARY_PATH
    | PYTHONPATH | PYTHONHASHSEED | PYTHONDONTWRITEBYTECODE | PYTHONWARNINGS | PYTHONUTF8 | PYENV_VERSION | CONDA_\w+
    | CC | CXX | CFLAGS | CXXFLAGS | CPATH | PKG_CONFIG_PATH | JAVA_HOME | SPARK_HOME | GOPATH | GOFLAGS | NODE_ENV
    | SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | SOURCE_DATE_EPOCH | HF_HUB_OFFLINE | TOKENIZERS_PARALLELISM
    | CUDA_\w+ | NVIDIA_\w+ | OMP_\w+ | MKL_\w+ | OPENBLAS_\w+ | TF_CPP_MIN_LOG_LEVEL
    """,
    re.VERBOSE,
)
_PROXIES = frozenset({"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_URL_WITH_LOGIN = re.compile(r"://[^/\s@]+@")

# Programs that would ask a question, page or colour get told that nobody is there. Git runs neither hooks nor a
# file-system monitor: both are commands that the repository under review may have written.
_FIXED = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "true",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.hooksPath",
    "GIT_CONFIG_VALUE_0": "/dev/null",
    "GIT_CONFIG_KEY_1": "core.fsmonitor",
    "GIT_CONFIG_VALUE_1": "false",
    "PYTHONUNBUFFERED": "1",  # so that a command that is stopped leaves the output it had made
    "DEBIAN_FRONTEND": "noninteractive",
}


@dataclass(frozen=True)
class Limits:
    """Resource limits of one command and its children; None leaves a limit as it is.

    `processes` is counted by the kernel over the whole user, not over the command, and root is exempt from it.
    """

    cpu_seconds: int | None = 3600
    file_bytes: int | None = 8 << 30
    processes: int | None = 4096
    address_space: int | None = None  # bytes; off, because CUDA and memory-mapped models reserve far more than they use
    open_files: int | None = 4096

    def apply(self) -> None:
        """Sets the limits in the calling process. Runs between fork and exec, so it does as little as possible."""
        wanted = (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, self.cpu_seconds),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_NPROC, self.processes),
            (resource.RLIMIT_AS, self.address_space),
            (resource.RLIMIT_NOFILE, self.open_files),
        )
        for which, value in wanted:
            if value is None:
                continue
            hard = resource.getrlimit(which)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (value, value))


@dataclass(frozen=True)
class Launch:
    """A process ready to be started.

    `preexec_fn` runs in the child before exec. `level` names what confines the command:
    "bwrap", "landlock", "network-only" or "off".
    """

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    preexec_fn: Callable[[], None] | None
    level: str


class Launcher(Protocol):
    """Turns a shell command into a `Launch`. Raises `LaunchError` when the command may not run at all."""

    def prepare(self, command: str, *, cwd: Path, network: bool = False) -> Launch: ...


class LaunchError(Exception):
    """The command cannot be started; the message says why and what to do."""


def clean_environment(source: Mapping[str, str], *, home: Path | None = None, network: bool = False) -> dict[str, str]:
    """The environment a command gets: known-harmless names of `source`, no secrets, nobody to ask.

    `home` replaces HOME (None: the real one is kept). Proxies are handed on only with `network`.
    """
    env = {
        name: value
        for name, value in source.items()
        if (_KEPT_NAME.fullmatch(name) or (network and name in _PROXIES))
        and not _SECRET_NAME.search(name)
        and not _URL_WITH_LOGIN.search(value)
    }
    env.setdefault("PATH", os.defpath)
    real_home = source.get("HOME")
    if home is not None:
        env["HOME"] = str(home)
    elif real_home is not None:
        env["HOME"] = real_home
    return env | _FIXED


@dataclass(frozen=True)
class PlainLauncher:
    """Layer 0: limits and a clean environment, nothing confined. HOME is `home` when given."""

    home: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def prepare(self, command: str, *, cwd: Path, network: bool = False) -> Launch:
        env = clean_environment(os.environ, home=self.home, network=network)
        return Launch([*SHELL, command], env, cwd, self.limits.apply, level="off")
