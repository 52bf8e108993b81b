"""Programs that run what their arguments say: `timeout 5 make`, `xargs rm`, `sh -c '…'`, `find . -exec rm {} +`.

unwrap(["timeout", "5", "make"]) -> Inner(start=2, …)      # the command is words[2:]
unwrap(["sh", "-c", "rm x"])     -> Inner(script="rm x")
unwrap(["ls"])                   -> None                   # runs nothing else
unwrap(["env", "-S", "x y"])     -> "why it cannot be read"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
# Programs that run other commands in ways not read here. What they run is not known.
OPAQUE = frozenset(
    "parallel watch script su runuser chroot nsenter unshare ssh docker podman kubectl busybox flock strace ltrace gdb "
    "coproc mapfile readarray expect tmux screen at batch systemd-run bwrap firejail entr".split()
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=")


@dataclass(frozen=True)
class Inner:
    """What a wrapper runs: a slice of its own words, or the text of a script.

    `transparent`: the wrapper itself does nothing that would need judging.
    """

    start: int = 0
    stop: int | None = None
    script: str | None = None
    assignments: tuple[str, ...] = ()
    open_ended: bool = False
    privileged: bool = False
    transparent: bool = True


@dataclass(frozen=True)
class _Spec:
    """How a wrapper's own arguments end: flags without a value, flags with one, and a number of operands."""

    flags: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
    operands: int = 0
    assigns: bool = False
    open_ended: bool = False
    privileged: bool = False


def _spec(flags: str = "", valued: str = "", operands: int = 0, **rest: bool) -> _Spec:
    return _Spec(frozenset(flags.split()), frozenset(valued.split()), operands, **rest)


_WRAPPERS = {
    "env": _spec("-i - -0 --ignore-environment --null", "-u --unset", assigns=True),
    "nice": _spec("", "-n --adjustment"),
    "ionice": _spec("-t", "-c -n"),
    "nohup": _spec(),
    "setsid": _spec("-f -w -c --fork --wait --ctty"),
    "time": _spec("-p"),
    "timeout": _spec("--foreground --preserve-status -v --verbose", "-k -s --kill-after --signal", 1),
    "stdbuf": _spec("", "-i -o -e --input --output --error"),
    "taskset": _spec("", "-c --cpu-list"),
    "numactl": _spec("-l --localalloc", "-N -m -C -i --cpunodebind --membind --physcpubind --interleave"),
    "command": _spec("-p"),
    "builtin": _spec(),
    "exec": _spec("-c -l", "-a"),
    "caffeinate": _spec("-i -s -d -m"),
    "xargs": _spec(
        "-0 -r -t -x --null --no-run-if-empty --verbose --exit",
        "-n -P -I -L -d -s -E --max-args --max-procs --replace --max-lines --delimiter --max-chars",
        open_ended=True,
    ),
    "sudo": _spec("-n -E -H -S -b -A -k", "-u -g -h -p -C --user --group", assigns=True, privileged=True),
    "doas": _spec("-n", "-u -C", privileged=True),
}
_FIND_EXEC = frozenset({"-exec", "-execdir", "-ok", "-okdir"})


def unwrap(words: Sequence[str | None]) -> Inner | str | None:
    """What `words` runs in turn: an `Inner`, None for nothing, or a sentence when that cannot be read."""
    if not words or words[0] is None:
        return None
    name = words[0].rsplit("/", 1)[-1]
    if name in SHELLS:
        return _shell(name, words)
    if name == "eval":
        return _eval(words)
    if name == "trap":
        return _trap(words)
    if name == "find":
        return _find(words)
    if name == "command" and any(word in ("-v", "-V") for word in words[1:2]):
        return None
    if name in _WRAPPERS:
        return _wrapper(name, words, _WRAPPERS[name])
    return None


def _wrapper(name: str, words: Sequence[str | None], spec: _Spec) -> Inner | str | None:
    unreadable = f"arguments of {name} that are not understood"
    position = 1
    while position < len(words):
        word = words[position]
        if word is None:
            return unreadable
        if word == "--":
            position += 1
            break
        if not word.startswith("-") and word not in spec.flags:
            break
        option, equals, _ = word.partition("=")
        if word in spec.flags or (equals and option in spec.valued) or re.fullmatch(r"-\d+", word):
            position += 1
        elif word in spec.valued:
            position += 2
        elif len(word) > 2 and word[:2] in spec.valued and not word.startswith("--"):
            position += 1  # the value is glued to the flag: -n1
        else:
            return unreadable
    position += spec.operands
    if name == "taskset" and position < len(words) and re.fullmatch(r"0x[0-9a-f]+", words[position] or ""):
        position += 1
    assignments: list[str] = []
    while spec.assigns and position < len(words) and (match := _ASSIGNMENT.match(words[position] or "")):
        assignments.append(match[1])
        position += 1
    if position >= len(words):
        return None  # `env` alone, or `exec` with only redirections: it runs nothing else
    return Inner(position, assignments=tuple(assignments), open_ended=spec.open_ended, privileged=spec.privileged)


def _shell(name: str, words: Sequence[str | None]) -> Inner | str | None:
    """`sh -c TEXT`, also `bash -lc TEXT`. A shell that runs a file runs what is not seen here, as any program does."""
    valued = {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"}
    position, reads_text = 1, False
    while position < len(words):
        word = words[position]
        if word is None:
            return f"{name} with an argument that only the shell knows"
        if not word.startswith(("-", "+")) or word == "--":
            break
        reads_text = reads_text or bool(re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", word))
        position += 2 if word in valued else 1
    if not reads_text:
        return None if position < len(words) else f"{name} that reads its commands from elsewhere"
    if position < len(words) and words[position] == "--":
        position += 1
    text = words[position] if position < len(words) else None
    if text is None:
        return f"{name} -c with a text that only the shell knows"
    return Inner(script=text)


def _eval(words: Sequence[str | None]) -> Inner | str:
    texts = [word for word in words[1:] if word is not None]
    if len(texts) < len(words) - 1:
        return "eval of a text that only the shell knows"
    return Inner(script=" ".join(texts))


def _trap(words: Sequence[str | None]) -> Inner | str | None:
    operands = [word for word in words[1:] if word != "--"]
    if not operands or (operands[0] or "").startswith("-"):
        return None
    return "trap of a text that only the shell knows" if operands[0] is None else Inner(script=operands[0])


def _find(words: Sequence[str | None]) -> Inner | str | None:
    """The first `-exec`; with more than one, only that they are there."""
    starts = [i for i, word in enumerate(words) if word in _FIND_EXEC]
    if not starts:
        return None
    if len(starts) > 1:
        return "find with several -exec"
    start = starts[0] + 1
    stop = next((i for i in range(start, len(words)) if words[i] in (";", "+")), None)
    if stop is None or stop == start:
        return "find -exec without its end"
    return Inner(start, stop, open_ended=True, transparent=False)
