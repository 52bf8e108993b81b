"""The process that stands between the tool and a command: sets limits, confines, watches, and leaves nobody behind.

    python -I -S -c BOOT folder [key=value …] -- argv…

It is a program of its own for three reasons. Nothing has to run between fork and exec of a process with threads. When
the tool is killed, this still ends the command. And the kernel's limit on processes exempts root and counts the whole
user, so that only a watcher can bound one command.

Keys: `processes`, `memory` (bytes; both over the whole tree of processes), and optionally `as cpu fsize nofile nproc`
(rlimits), `seccomp` (a filter, in hex), `seccomp_fd=1` (hand the filter to bwrap on descriptor 9, don't load it),
`landlock` (its ABI), `read` and `write` (paths, repeatable), `keep_caps` (numbers, repeatable; all others are dropped).
Exit code: the command's; 128 + n for signal n; 137 when a limit of the tree was passed; 126 when the command could not
be confined (it has not run then).

Start-up is paid by every command, so only C modules are imported (`signal` alone would cost a third of it), ctypes only
where it is needed, and BOOT imports this file instead of running it, which uses the compiled form.
"""

import os
import resource
import sys
import time

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

BOOT = "import sys; sys.path.append(sys.argv[1]); import sandbox_supervisor; sandbox_supervisor.main(sys.argv[2:])"
FILTER_FD = 9
GRACE = 0.1  # seconds between asking the tree to end and killing it
_PATIENCE = 5.0  # seconds for killing: a process in the middle of disk access dies late
_TICK = 0.05
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_RLIMITS = {
    "as": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "fsize": resource.RLIMIT_FSIZE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
}
_PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 38, 36, 22, 24
_PAGE = resource.getpagesize()

# Landlock rights by the ABI that brought them: a bit the kernel does not know is an error.
_READ = 0b1101  # execute, read a file, read a folder
_WRITE_BY_ABI = ((1, 0b1_1111_1111_0010 & ~(1 << 6) & ~(1 << 11)), (2, 1 << 13), (3, 1 << 14))
_HANDLED_BY_ABI = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
_FILE_RIGHTS = 0b111 | 1 << 14 | 1 << 15
_NET, _SCOPE = 0b11, 0b11  # TCP bind and connect (ABI 4); abstract sockets and signals (ABI 6)


def main(arguments: list[str]) -> None:
    """Runs the command and exits as it did."""
    split = arguments.index("--")
    options: dict[str, list[str]] = {}
    for argument in arguments[:split]:
        key, _, value = argument.partition("=")
        options.setdefault(key, []).append(value)
    command = arguments[split + 1 :]

    parent = os.getppid()
    if "seccomp_fd" not in options:  # bwrap has a process namespace: whoever loses the parent stays below its first
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    child = os.fork()
    if child == 0:
        _become(command, options)
    status = _watch(child, parent, int(options["processes"][0]), int(options["memory"][0]))
    end_all()
    os._exit(status)


# --- the command's side -----------------------------------------------------------------------------------------------


def _become(command: list[str], options: dict[str, list[str]]) -> None:
    """Confines this process and turns it into `command`. Never returns: what fails here must not run unconfined."""
    try:
        os.setsid()  # groups of its own: all of a group is ended at one stroke, however fast it forks
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")  # when memory runs out, the kernel takes the command and not the tool
        _set_limits(options)
        if "landlock" in options:
            _landlock(int(options["landlock"][0]), options.get("read", []), options.get("write", []))
        if "keep_caps" in options:
            _drop_capabilities({int(kept) for kept in options["keep_caps"]})
        if "seccomp" in options:
            _filter_calls(bytes.fromhex(options["seccomp"][0]), hand_on="seccomp_fd" in options)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and an ignored signal is inherited
        os.execvp(command[0], command)
    except BaseException as error:
        os.write(2, f"sandbox: the command was not run: {error}\n".encode())
    os._exit(126)


def _set_limits(options: dict[str, list[str]]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, which in _RLIMITS.items():
        if name in options:
            hard = resource.getrlimit(which)[1]
            value = int(options[name][0])
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (value, value))


def _drop_capabilities(kept: set[int]) -> None:
    """Takes rights of root away. What is not in the bounding set is not given to a program that root starts."""
    if os.geteuid() != 0:
        return  # nobody else has any, and no_new_privs keeps set-user-id programs from giving some
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in set(range(last + 1)) - kept:
        _prctl(_PR_CAPBSET_DROP, capability)


def _filter_calls(program: bytes, *, hand_on: bool) -> None:
    if hand_on:
        memory = os.memfd_create("seccomp", 0)
        os.write(memory, program)
        os.lseek(memory, 0, os.SEEK_SET)
        os.dup2(memory, FILTER_FD)
        if memory != FILTER_FD:
            os.close(memory)
        return
    import ctypes

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    loaded = Program(len(program) // 8, program)
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(loaded))


def _landlock(abi: int, read: list[str], write: list[str]) -> None:
    """Allows reading below `read`, reading and writing below `write`, and nothing else that the kernel can refuse."""
    handled = _rights(_HANDLED_BY_ABI, abi)
    sizes = 24 if abi >= 6 else 16 if abi >= 4 else 8
    attributes = b"".join(value.to_bytes(8, sys.byteorder) for value in (handled, 0, _SCOPE if abi >= 6 else 0))
    ruleset = _syscall(444, attributes, sizes, 0)
    writable = _READ | _rights(_WRITE_BY_ABI, abi)
    for paths, rights in ((read, _READ), (write, writable)):
        for path in paths:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = rights if os.path.isdir(path) else rights & _FILE_RIGHTS  # noqa: PTH112 - importing pathlib costs 10 ms
            rule = allowed.to_bytes(8, sys.byteorder) + descriptor.to_bytes(4, sys.byteorder)
            _syscall(445, ruleset, 1, rule, 0)
            os.close(descriptor)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _syscall(446, ruleset, 0)
    os.close(ruleset)


def _rights(table: tuple[tuple[int, int], ...], abi: int) -> int:
    return sum(bits for since, bits in table if abi >= since)


def _prctl(option: int, *values: int) -> None:
    import ctypes

    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *arguments) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}): {os.strerror(ctypes.get_errno())}")


def _syscall(number: int, *arguments: int | bytes) -> int:
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(call(ctypes.c_long(number), *wide))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"landlock call {number}: {os.strerror(ctypes.get_errno())}")
    return result


# --- the watcher's side -----------------------------------------------------------------------------------------------


def _watch(child: int, parent: int, processes: int, memory: int) -> int:
    """Waits for `child`; ends early when told to, when the tool is gone, or when the tree passes a limit."""
    while True:
        info = signal.sigtimedwait(_SIGNALS, _TICK)
        if info is not None and info.si_signo != signal.SIGCHLD:
            return 128 + info.si_signo
        status = _reap(child)
        if status is not None:
            return status
        if os.getppid() != parent:
            return 128 + signal.SIGHUP
        tree = descendants(os.getpid())
        if len(tree) > processes:
            return _stopped(f"more than {processes} processes")
        if sum(map(_resident, tree)) > memory and sum(map(_proportional, tree)) > memory:
            return _stopped(f"more than {memory >> 20} MiB of memory")


def _stopped(reason: str) -> int:
    os.write(2, f"sandbox: stopped, {reason}\n".encode())
    _signal_tree(signal.SIGKILL)
    return 128 + signal.SIGKILL


def _reap(child: int) -> int | None:
    """Collects every ended process; the exit code of `child` if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def end_all() -> None:
    """Ends what is left: asks, waits `GRACE`, kills until nobody is there. Says so when somebody cannot be ended."""
    deadline = time.monotonic() + GRACE
    if descendants(os.getpid()):
        _signal_tree(signal.SIGTERM)
    while descendants(os.getpid()) and time.monotonic() < deadline:
        time.sleep(0.005)
        _reap(0)
    deadline += _PATIENCE
    while (left := descendants(os.getpid())) and time.monotonic() < deadline:
        _signal_tree(signal.SIGKILL)
        time.sleep(0.002)
        _reap(0)
    if left:
        os.write(2, f"sandbox: {len(left)} processes could not be ended\n".encode())


def _signal_tree(number: int) -> None:
    """Signals every process group that a descendant is in. None of them can be in ours, which is another session."""
    for group in set(map(_group, descendants(os.getpid()))) - {0}:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or became another user's by a set-user-id program; end_all tells of those


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def descendants(root: int) -> list[int]:
    """All living processes below `root`. Orphans are among them, because they come back to the subreaper."""
    found: list[int] = []
    queue = [root]
    while queue:
        below = _children(queue.pop())
        found += below
        queue += below
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - importing pathlib costs 10 ms
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                children += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        return children  # it ended while we looked
    return children


def _resident(pid: int) -> int:
    """Bytes in memory, shared pages counted in full."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _proportional(pid: int) -> int:
    """Bytes in memory, each shared page counted by its share: forked data loaders share most of theirs."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return _resident(pid)
