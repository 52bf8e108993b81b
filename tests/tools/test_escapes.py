"""Attempts to get out of the sandbox, each run for real at each level. The data is escapes.yaml.

`python tests/tools/test_escapes.py` writes the table in docs/security.md anew; a test here says when it is stale.
"""

from __future__ import annotations

import asyncio
import os
import pty
import random
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from ml_engineer.tools.context import open_context
from ml_engineer.tools.launch import Limits
from ml_engineer.tools.registry import invoke
from ml_engineer.tools.sandbox import PROMISES, Level, Sandbox, Tree, choose
from ml_engineer.tools.sandbox_landlock import kernel_abi
from ml_engineer.tools.sandbox_view import View
from ml_engineer.tools.shells import Shells
from ml_engineer.tools.terminal import neutralise
from ml_engineer.tools.truncate import Spills

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "docs" / "security.md"
DATA: dict[str, list[dict[str, Any]]] = yaml.safe_load((HERE / "escapes.yaml").read_text())
COMMANDS = [attempt for attempts in DATA.values() for attempt in attempts if "run" in attempt]
CALLS = DATA["File tools"]
WORDS = {"S": "stopped", "L": "limited", "O": "not promised"}


def promised(attempt: dict[str, Any], level: Level) -> str:
    return WORDS[attempt["promise"][list(Level).index(level)]]


# Where nothing is promised there is nothing to check, but that the attempt is a real one.
CASES = [
    (attempt, level)
    for attempt in COMMANDS
    for level in Level
    if promised(attempt, level) != "not promised" or (level is Level.OFF and attempt.get("proof"))
]
SECRET = "SECRET-b7e1"
OUTPUT_CAP = 1 << 20
SMALL = (Limits(cpu_seconds=1, file_bytes=10 << 20), Tree(processes=40, memory_bytes=200 << 20))


@dataclass
class Arena:
    """A workspace and all that lies outside of it, with traps that show when something got there."""

    base: Path
    sockets: dict[str, socket.socket]
    victim: subprocess.Popen[bytes]
    terminal: int
    pts: str
    nap: str = field(default_factory=lambda: str(random.SystemRandom().randrange(10**7, 10**9)))

    @property
    def workspace(self) -> Path:
        return self.base / "workspace"

    def fill(self, text: str) -> str:
        """`text` with its @names replaced."""
        names = {
            "@abstract": f"ml-engineer-{self.nap}",
            "@harness": str(os.getpid()),
            "@victim": str(self.victim.pid),
            "@port6": str(self.sockets["port6"].getsockname()[1]) if "port6" in self.sockets else "1",
            "@port": str(self.sockets["port"].getsockname()[1]),
            "@udp": str(self.sockets["udp"].getsockname()[1]),
            "@sock": str(self.base / "socket"),
            "@home": str(self.base / "home"),
            "@out": str(self.base / "outside"),
            "@pts": self.pts,
            "@nap": self.nap,
            "@py": f"{shlex.quote(sys.executable)} -I -S",
            "@ws": str(self.workspace),
        }
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    def state(self, *, git: bool) -> dict[str, object]:
        """Content, mode, times and attributes of everything that must stay as it is."""
        folders = [self.base / "outside", self.base / "home", *([self.workspace / ".git"] if git else [])]
        found: dict[str, object] = {}
        for folder in folders:
            for path in [folder, *sorted(folder.rglob("*"))] if folder.exists() else []:
                facts = path.lstat()
                times = facts.st_mtime_ns if path.name == "victim" else 0
                content = path.read_bytes() if path.is_file() and path.name != "index" else b""
                found[str(path)] = (facts.st_mode, times, content, os.listxattr(path))
        return found

    def reached(self) -> str | None:
        """The listener or terminal that something got through to."""
        for name, listener in self.sockets.items():
            try:
                if listener.type == socket.SOCK_DGRAM:
                    listener.recv(1)
                else:
                    listener.accept()[0].close()
            except BlockingIOError:
                continue
            return name
        try:
            return "the terminal" if os.read(self.terminal, 1) else None
        except BlockingIOError:
            return None

    def survivors(self) -> list[int]:
        return [
            process.pid for process in psutil.process_iter(["cmdline"]) if self.nap in (process.info["cmdline"] or [])
        ]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose own configuration and hooks would leave a trace when they ran."""
    folder = tmp_path_factory.mktemp("template") / "workspace"
    folder.mkdir()
    for arguments in (
        ["init", "-q", "-b", "main", "--template="],
        ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"],
        ["config", "core.fsmonitor", "touch ran; true"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    hook = folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    return folder


@pytest.fixture
def arena(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    base = tmp_path.resolve()
    shutil.copytree(repository, base / "workspace")
    for folder in ("outside", "home/.ssh"):
        (base / folder).mkdir(parents=True)
    (base / "outside" / "victim").write_text("untouched\n")
    (base / "home" / ".ssh" / "id_ed25519").write_text(SECRET)
    secrets = {
        "HOME": str(base / "home"),
        "ANTHROPIC_API_KEY": SECRET,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "HF_TOKEN": SECRET,
        "WANDB_API_KEY": SECRET,
        "DB_PASSWORD": SECRET,
        "DATABASE_URL": f"postgres://me:{SECRET}@db/x",
        "SSH_AUTH_SOCK": str(base / "agent"),
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack:
        terminal, line = pty.openpty()
        stack.callback(os.close, terminal)
        stack.callback(os.close, line)
        os.set_blocking(terminal, False)
        victim = stack.enter_context(subprocess.Popen(["sleep", "60"], cwd=base / "home"))
        stack.callback(victim.kill)
        found = Arena(base, {}, victim, terminal, os.ttyname(line))
        wanted: list[tuple[str, int, int, Any]] = [
            ("port", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("a path socket", socket.AF_UNIX, socket.SOCK_STREAM, str(base / "socket")),
            ("an abstract socket", socket.AF_UNIX, socket.SOCK_STREAM, f"\0ml-engineer-{found.nap}"),
        ]
        if socket.has_ipv6:
            wanted.append(("port6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)))
        for name, family, kind, address in wanted:
            listener = stack.enter_context(socket.socket(family, kind))
            listener.setblocking(False)
            listener.bind(address)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            found.sockets[name] = listener
        yield found


@pytest.fixture(scope="session")
def levels(tmp_path_factory: pytest.TempPathFactory) -> dict[Level, str]:
    """Why a level cannot be tested on this machine; empty for those that can."""
    reasons = {}
    for level in Level:
        chosen = choose(tmp_path_factory.mktemp("workspace"), tmp_path_factory.mktemp("scratch"), strongest=level)
        if chosen.level is not level:
            reasons[level] = chosen.refused[0].reason
    return reasons


@dataclass
class Result:
    output: str
    exit_code: int | None
    total: int
    stored: int


async def run(arena: Arena, attempt: dict[str, Any], level: Level) -> Result:
    """The attempt, as the Bash tool runs its commands."""
    limits, tree = SMALL if "bound" in attempt else (Limits(), Tree())
    scratch = arena.base / "scratch"
    view = View(arena.workspace, scratch / "home", scratch / "tmp")
    for folder in (view.home, view.temporary):
        folder.mkdir(parents=True)
    command = arena.fill(attempt["run"])
    launch = Sandbox(level, view, limits, tree).prepare(command, cwd=arena.workspace)
    shells = Shells(Spills(arena.base / "outputs", cap=OUTPUT_CAP))
    shell = await shells.start(launch, command)
    if await shell.wait(attempt.get("timeout", 15)) is None:
        await shell.stop()
    output = neutralise(shell.output.text())
    result = Result(output, shell.exit_code, shell.output.total, shell.output.path.stat().st_size)
    await shells.close()
    return result


def succeeded(arena: Arena, result: Result, before: dict[str, object], *, git: bool) -> str | None:
    """How the attempt has got out, or None."""
    after = arena.state(git=git)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    reached = arena.reached()
    if changed:
        return f"changed {changed}"
    if reached:
        return f"reached {reached}"
    if SECRET in result.output or "ESCAPED" in result.output:
        return f"printed {result.output!r}"
    if "\x1b" in result.output:
        return "sent an escape sequence"
    if arena.victim.poll() is not None:
        return "ended a process outside"
    if result.exit_code == -9:
        return "ended its watcher"
    if arena.survivors():
        return "left a process behind"
    return None


@pytest.mark.parametrize(("attempt", "level"), CASES, ids=[f"{attempt['name']}-{level}" for attempt, level in CASES])
def test_escape(attempt: dict[str, Any], level: Level, arena: Arena, levels: dict[Level, str]) -> None:
    if level in levels:
        pytest.skip(f"the level {level} does not work on this machine: {levels[level]}")
    if shutil.which(attempt.get("needs", "sh")) is None:
        pytest.skip(f"{attempt['needs']} is not installed")
    if level is Level.LANDLOCK and (kernel_abi() or 0) < attempt.get("landlock_abi", 0):
        pytest.skip(f"promised from Landlock ABI {attempt['landlock_abi']} on, and this kernel has {kernel_abi()}")
    git = not attempt.get("git_may_change", False)
    before = arena.state(git=git)
    result = asyncio.run(run(arena, attempt, level))
    how = succeeded(arena, result, before, git=git)
    promise = promised(attempt, level)
    if promise == "stopped":
        assert how is None, result.output
    elif promise == "limited":
        assert how is None, result.output
        assert BOUNDS[attempt["bound"]](result), result
    else:
        assert how is not None, f"the attempt proves nothing, it fails without a sandbox too: {result.output}"


# What a bounded attempt must have run into.
BOUNDS: dict[str, Callable[[Result], bool]] = {
    "processes": lambda result: "more than 40 processes" in result.output,
    "memory": lambda result: "MiB of memory" in result.output,
    "cpu": lambda result: result.exit_code in (128 + 9, 128 + 24),
    "file": lambda result: result.exit_code is not None,
    "output": lambda result: result.total > OUTPUT_CAP and result.stored <= OUTPUT_CAP,
}


@pytest.mark.parametrize("attempt", CALLS, ids=[attempt["name"] for attempt in CALLS])
def test_escape_by_a_file_tool(attempt: dict[str, Any], arena: Arena) -> None:
    if "before" in attempt:
        subprocess.run(arena.fill(attempt["before"]), shell=True, cwd=arena.workspace, check=True)
    before = arena.state(git=True)
    call = {key: arena.fill(value) for key, value in attempt["input"].items()}

    async def called() -> str:
        async with open_context(arena.workspace, arena.base / "run", fsync=False) as context:
            return (await invoke(attempt["tool"], call, context)).text

    text = asyncio.run(asyncio.wait_for(called(), 10))
    assert succeeded(arena, Result(text, 0, 0, 0), before, git=True) is None
    assert str(arena.base / "outside" / "victim") not in text


# --- the document -----------------------------------------------------------------------------------------------------


def tables() -> str:
    """The part of docs/security.md that is made from the code and from escapes.yaml."""
    lines = ["| Level | What it promises | What is missing | How to get more |", "|---|---|---|---|"]
    for level, promise in PROMISES.items():
        lines.append(f"| `{level}` | {promise.kept} | {promise.missing} | {promise.remedy} |")
    total = len(COMMANDS) + len(CALLS)
    lines += [
        "",
        f"{total} attempts, {len(COMMANDS)} of them judged at every level. Each is carried out wherever",
        "something is promised. At `off` all that depend neither on the user's rights nor on the kernel must",
        "succeed, which shows that they are real. `limited`: the attempt runs into a bound, and the bound is checked.",
    ]
    for group, attempts in DATA.items():
        calls = "tool" in attempts[0]
        lines += [
            "",
            f"### {group}",
            "",
            "| Attempt | " + " | ".join(f"`{one}`" for one in Level) + " |",
            "|---|---|---|---|---|",
        ]
        for attempt in attempts:
            words = ["stopped"] * len(Level) if calls else [promised(attempt, level) for level in Level]
            note = " (`landlock` from Linux 6.12)" if "landlock_abi" in attempt else ""
            lines.append(f"| {attempt['name']}{note} | {' | '.join(words)} |")
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- made by tests/tools/test_escapes.py -->\n", "<!-- end -->\n"


def document() -> str:
    text = DOCUMENT.read_text()
    return text.partition(BEGIN)[0] + BEGIN + tables() + END + text.partition(END)[2]


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == document(), "run: python tests/tools/test_escapes.py"


def test_there_are_enough_attempts_and_each_has_its_own_name() -> None:
    names = [attempt["name"] for attempts in DATA.values() for attempt in attempts]
    assert len(set(names)) == len(names) >= 60
    assert all(set(attempt["promise"]) <= set(WORDS) and len(attempt["promise"]) == len(Level) for attempt in COMMANDS)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
