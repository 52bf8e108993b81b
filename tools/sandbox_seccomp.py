"""The system-call filter of every sandbox level but `off`, as a classic BPF program.

    program(sockets: bool) -> bytes      # struct sock_filter[], ready for prctl(PR_SET_SECCOMP) or `bwrap --seccomp`

Default is to allow. Refused with EPERM: what reaches into other processes, the kernel or the mount table. Refused with
EACCES: sockets of unusual families (VSOCK reaches the host of a virtual machine, past any network namespace), or with
`sockets=False` all of them but `socketpair`, which reaches nobody else. `clone3` gives ENOSYS, because its flags lie in
memory where a filter cannot look; the C library then falls back to `clone`, whose flags can be checked.
"""

from __future__ import annotations

import errno
import platform
import struct
from functools import cache

# struct sock_filter {u16 code; u8 jt; u8 jf; u32 k}
_LOAD, _AND, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_OFFSET_NUMBER, _OFFSET_ARCH = 0, 4  # in struct seccomp_data; argument n stands at 16 + 8 n, low word first

_CLONE_NAMESPACES = 0x7E020080  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET} and NEWTIME
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # both put keystrokes into somebody's terminal
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
_X32_BIT = 0x40000000


_NO_CALL = 0xFFFF  # no such number on this architecture: the test on it never holds

# name: (x86_64, aarch64)
_REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "open_by_handle_at": (304, 265),
    "iopl": (172, _NO_CALL),
    "ioperm": (173, _NO_CALL),
}
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_MKNOD, _MKNODAT, _SOCKET, _CLONE, _CLONE3, _IOCTL = (
    (133, _NO_CALL),
    (259, 33),
    (41, 198),
    (56, 220),
    (435, 435),
    (16, 29),
)
_S_IFMT, _S_IFBLK, _S_IFCHR = 0xF000, 0x6000, 0x2000


@cache
def program(*, sockets: bool, machine: str | None = None) -> bytes:
    """The filter for `machine` (default: this one). Raises OSError on an architecture without a table."""
    machine = machine or platform.machine()
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no system-call table for {machine}; known are {', '.join(_MACHINES)}")
    audit_arch, column = _MACHINES[machine]

    code = [
        _op(_LOAD, _OFFSET_ARCH),
        _op(_JUMP_EQ, audit_arch, 1, 0),  # another word size would bring other numbers for the same calls
        _op(_RETURN, _KILL),
        _op(_LOAD, _OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        code += [_op(_JUMP_GE, _X32_BIT, 0, 1), _op(_RETURN, _KILL)]
    for numbers in _REFUSED.values():
        code += _refuse_call(numbers[column])
    code += [_op(_JUMP_EQ, _CLONE3[column], 0, 1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    code += _refuse_if_flags(_CLONE[column], _CLONE_NAMESPACES)
    for request in (_TIOCSTI, _TIOCLINUX):
        code += _refuse_argument(_IOCTL[column], 1, request)
    for device in (_S_IFBLK, _S_IFCHR):
        code += _refuse_device(_MKNOD[column], 1, device) + _refuse_device(_MKNODAT[column], 2, device)
    code += _sockets(_SOCKET[column], _FAMILIES if sockets else ())
    code.append(_op(_RETURN, _ALLOW))
    return b"".join(code)


def _op(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, k)


def _refuse_call(number: int) -> list[bytes]:
    return [_op(_JUMP_EQ, number, 0, 1), _op(_RETURN, _ERRNO | errno.EPERM)]


def _refuse_if_flags(number: int, flags: int) -> list[bytes]:
    """EPERM when argument 0 has any of `flags`; the call's number is loaded again afterwards."""
    return [
        _op(_JUMP_EQ, number, 0, 4),
        _op(_LOAD, 16),
        _op(_JUMP_SET, flags, 0, 1),
        _op(_RETURN, _ERRNO | errno.EPERM),
        _op(_LOAD, _OFFSET_NUMBER),
    ]


def _refuse_argument(number: int, index: int, value: int) -> list[bytes]:
    """EPERM when the low word of argument `index` equals `value`."""
    return [
        _op(_JUMP_EQ, number, 0, 4),
        _op(_LOAD, 16 + 8 * index),
        _op(_JUMP_EQ, value, 0, 1),
        _op(_RETURN, _ERRNO | errno.EPERM),
        _op(_LOAD, _OFFSET_NUMBER),
    ]


def _refuse_device(number: int, index: int, kind: int) -> list[bytes]:
    """EPERM when argument `index`, a file mode, makes a device of this `kind`; pipes and files stay possible."""
    return [
        _op(_JUMP_EQ, number, 0, 5),
        _op(_LOAD, 16 + 8 * index),
        _op(_AND, _S_IFMT),
        _op(_JUMP_EQ, kind, 0, 1),
        _op(_RETURN, _ERRNO | errno.EPERM),
        _op(_LOAD, _OFFSET_NUMBER),
    ]


def _sockets(number: int, families: tuple[int, ...]) -> list[bytes]:
    """EACCES for socket() unless argument 0 is one of `families`. Comes last: the call's number is not loaded again."""
    checks = [_op(_JUMP_EQ, family, len(families) - i, 0) for i, family in enumerate(families)]
    return [
        _op(_JUMP_EQ, number, 0, len(checks) + 2),
        _op(_LOAD, 16),
        *checks,
        _op(_RETURN, _ERRNO | errno.EACCES),
    ]
