"""The shell grammar: which simple commands a text has, and what it refuses to judge."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_engineer.tools.shell_grammar import parse


def commands(source: str) -> list[str]:
    """Each simple command as one text; `?` stands for a word that only the shell knows."""
    return [
        " ".join("?" if text is None else text for text in one.texts) for one in parse(source).commands if one.words
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ls", ["ls"]),
        ("git log | head -3 && rm x; (cd y; make)", ["git log", "head -3", "rm x", "cd y", "make"]),
        ("echo $(curl x) `id` <(ls)", ["echo ? ? ?", "curl x", "id", "ls"]),
        ("for f in *; do cat $f; done", ["cat ?"]),
        ("if true; then a; elif b; then c; else d; fi", ["true", "a", "b", "c", "d"]),
        ("case $x in y) ls;; esac", ["ls"]),
        ("! ls & wait", ["ls", "wait"]),
        ("x=$(ls)", ["ls"]),
        ("export A=$(id)", ["export", "id"]),
        ("cat <<EOF\n$(id)\nEOF", ["cat", "id"]),
        ("cat <<'EOF'\n$(id)\nEOF", ["cat"]),
        ('cat <<< "$(id)"', ["cat", "id"]),
        ("echo ${x:-$(id)} $((1 + $(id)))", ["echo ? ?", "id", "id"]),
        ("bash -c 'rm x | sort'", ["rm x", "sort"]),
        ("bash -lc \"sh -c 'rm x'\"", ["rm x"]),
        ("eval rm -r x", ["rm -r x"]),
        ("trap 'rm x' EXIT", ["rm x"]),
        ("sudo -u me timeout -k 1 5 nice -n 3 env -u B A=1 rm x", ["rm x"]),
        ("xargs -0 -n1 rm", ["rm"]),
        ("find . -name a -exec rm {} +", ["find . -name a -exec rm {} +", "rm {}"]),
        ("command -v git", ["command -v git"]),
        ("r''m -r\"f\" a\\ b", ["rm -rf a b"]),
        ("taskset -c 0-3 numactl -N 0 python a.py", ["python a.py"]),
        ("pip install \\\n  numpy", ["pip install numpy"]),
    ],
)
def test_every_simple_command_is_found(source: str, expected: list[str]) -> None:
    assert sorted(commands(source)) == sorted(expected)
    assert parse(source).unknown == ()


@pytest.mark.parametrize(
    "source",
    [
        "ls; ;;",
        "echo 'open",
        "echo !(x)",
        "f() { ls; }; f",
        "rm -r\\\nf x",
        "ls\u00a0-la",
        "ls \u202e",
        "ls \x07",
        "ls\r\n",
        "bash",
        "cat x | sh",
        'bash -c "$x"',
        'eval "$x"',
        "sudo --unheard-of rm x",
        "env -S 'rm x'",
        "find . -exec rm {}",
        "[[ 'a[$(id)]' -eq 1 ]]",
        "bash -c 'bash -c \"echo ( \"'",
    ],
)
def test_what_cannot_be_read_with_certainty_is_said_to_be_unknown(source: str) -> None:
    assert parse(source).unknown


def test_redirections_are_files_that_are_read_or_written() -> None:
    found = [
        (redirect.target.text, redirect.writes)
        for command in parse("(a < in; b) > out 2>> err; c &> both 2>&1 3>&-; cat <<X > here\nX\n").commands
        for redirect in command.redirects
    ]
    assert sorted(found, key=str) == [("both", True), ("err", True), ("here", True), ("in", False), ("out", True)]


def test_wrappers_mark_what_they_run() -> None:
    (command,) = parse("A=1 sudo xargs env B=2 rm x").commands
    assert command.privileged
    assert command.open_ended
    assert command.assignments == ("A", "B")


def test_shells_inside_shells_end_somewhere() -> None:
    source = "ls"
    for _ in range(9):
        source = "bash -c " + "'" + source.replace("'", "'\\''") + "'"
    assert "more than" in parse(source).unknown[0]


_PIECES = st.sampled_from([*"ab '\"\\$(){}[]|&;<>`#!*?~=\n\t", "echo ", "$(", "<<E\n", "E\n", "\u200b", "\x00", "é"])


@settings(max_examples=300)
@given(st.lists(_PIECES, max_size=25).map("".join))
def test_no_text_is_too_strange_to_be_taken_apart(source: str) -> None:
    script = parse(source)
    assert script.unknown or all(
        command.words or command.assignments or command.redirects for command in script.commands
    )


_QUOTED = st.sampled_from(
    ["a", "'b c'", '"d"', "e\\ f", "-x", "i=j", "\\\\", "''", '"\\$x"', '"\\x"', "%", "@", "\\'", '"\'"', "#"]
)


@settings(max_examples=60)
@given(st.lists(st.lists(_QUOTED, min_size=1, max_size=3).map("".join), min_size=1, max_size=4))
def test_quotes_come_off_as_bash_takes_them_off(words: list[str]) -> None:
    source = "printf '%s\\0' a" + " a".join(words)  # no word starts with `#`, which would begin a comment
    real = subprocess.run(["bash", "-c", source], capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    (command,) = parse(source).commands
    assert command.texts[2:] == real
