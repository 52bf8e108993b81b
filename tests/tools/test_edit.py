"""An edit changes what it was asked to change and not one byte more."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ml_engineer.tools.base import ToolError
from ml_engineer.tools.edit import EditInput, apply, text_of
from ml_engineer.tools.nomatch import explain
from ml_engineer.tools.replace import ManyMatches, NoMatch, replace
from ml_engineer.tools.textfile import decode
from ml_engineer.tools.write import encode

LINE = st.text(alphabet="ab \t{}'é\u20ac\U0001f600", max_size=6)
ENDING = st.sampled_from(["\n", "\r\n"])
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "latin-1", "damaged"]


def as_bytes(text: str, encoding: str) -> bytes:
    """The text in one of the encodings; "damaged" is UTF-8 with a byte that is none at either end."""
    if encoding == "damaged":
        return b"\xff" + text.encode() + b"\xe9"
    if encoding == "latin-1":
        return (text.replace("\u20ac", "E").replace("\U0001f600", "S") + "\xe9").encode("latin-1")
    return text.encode(encoding)


def edited(raw: bytes, old: str, new: str, replace_all: bool = False) -> bytes:
    file = text_of(raw, "f")
    call = EditInput(file_path="f", old_string=old, new_string=new, replace_all=replace_all)
    return encode(file, apply(file.text, call, "f").text, "f")


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str, str]:
    """Text with any mix of endings, with or without a last one; a piece of it as Read shows it; another piece."""
    lines = draw(st.lists(st.tuples(LINE, ENDING), min_size=1, max_size=8))
    text = "".join(line + ending for line, ending in lines)
    if draw(st.booleans()):
        text = text.removesuffix("\n").removesuffix("\r")
    view = text.replace("\r\n", "\n")
    start = draw(st.integers(0, max(0, len(view) - 1)))
    old = view[start : start + draw(st.integers(1, 12))]
    new = draw(st.one_of(st.just(""), LINE, st.lists(LINE, max_size=4).map("\n".join)))
    assume(old and old != new)
    return text, old, new


@settings(max_examples=400)
@given(files(), st.sampled_from(ENCODINGS))
def test_bytes_outside_the_replaced_span_are_identical(case: tuple[str, str, str], encoding: str) -> None:
    text, old, new = case
    raw = as_bytes(text, encoding)
    file = decode(raw)
    assume(file is not None)
    assert file is not None
    view = file.text.replace("\r\n", "\n")
    assume(view.count(old) == 1 and view.find(old, view.find(old) + 1) < 0)
    try:
        after = edited(raw, old, new)
    except ToolError as error:
        assert file.encoding == "latin-1", error  # the new text has a character that the file's encoding has not
        assert "LATIN-1" in str(error)
        return
    done = decode(after)
    assert done is not None or not after
    # What the edit says: the same as in the text with plain endings.
    start = view.index(old)
    expected = view[:start] + new + view[start + len(old) :]
    assert file.encode(expected) == file.encode((done.text if done else "").replace("\r\n", "\n")) or done_as(
        after, file.encoding, expected
    )
    # What it leaves: every byte before and after the span, its line endings included.
    before, behind = raw_sides(file.text, view, start, len(old))
    assert after.startswith(file.bom + before.encode(*codec(file)))
    assert after.endswith(behind.encode(*codec(file)))


def codec(file: Any) -> tuple[str, str]:
    return file.encoding, file.errors


def done_as(after: bytes, encoding: str, expected: str) -> bool:
    """After the edit the bytes may be recognised as another encoding: then compare in the one they were in."""
    return after.decode(encoding, "surrogateescape").replace("\r\n", "\n") == expected


def raw_sides(text: str, view: str, start: int, length: int) -> tuple[str, str]:
    """The text before and after the span, found by walking both spellings side by side."""
    positions, at = [], 0
    for _ in view:
        positions.append(at)
        at += 2 if text.startswith("\r\n", at) else 1
    positions.append(len(text))
    return text[: positions[start]], text[positions[start + length] :]


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["a", "b", "a\n", "b\r\n", "\r\n"]), max_size=12).map("".join),
    st.sampled_from(["a", "a\n", "\n", "b"]),
)
def test_replace_all_replaces_each_and_nothing_else(text: str, old: str) -> None:
    view = text.replace("\r\n", "\n")
    assume(old in view)
    done = replace(text, old, "<x>", replace_all=True)
    assert done.text.replace("\r\n", "\n") == view.replace(old, "<x>")
    assert len(done.spans) == view.count(old)


@pytest.mark.parametrize(
    ("raw", "old", "new", "expected"),
    [
        (b"a\r\nb\r\nc\r\n", "a\nb", "a\nx\nb", b"a\r\nx\r\nb\r\nc\r\n"),
        (b"a\nb\r\nc\n", "b\nc", "b\nx\nc", b"a\nb\r\nx\nc\n"),
        (b"a\r\nb\r\nc", "a\r\nb", "a\nb", b"a\nb\r\nc"),  # who writes carriage returns means them
        (b"\xef\xbb\xbfa = 1\n", "a = 1", "a = 2", b"\xef\xbb\xbfa = 2\n"),
        (b"no end", "end", "END", b"no END"),
        (b"\tif x:\n\t\ty\n", "\t\ty", "\t\tz", b"\tif x:\n\t\tz\n"),
        (b"caf\xe9 = 1\n", "caf\u00e9 = 1", "caf\u00e9 = 2", b"caf\xe9 = 2\n"),
        ("ok é\n".encode() + b"\xff\n", "ok é", "ok è", "ok è\n".encode() + b"\xff\n"),
        ("x = 1\r\n".encode("utf-16"), "x = 1", "x = \u20ac", "x = \u20ac\r\n".encode("utf-16")),
    ],
)
def test_encodings_and_endings_survive(raw: bytes, old: str, new: str, expected: bytes) -> None:
    assert edited(raw, old, new) == expected


def test_a_character_the_encoding_lacks_is_refused() -> None:
    with pytest.raises(ToolError, match="LATIN-1, which has no"):
        edited(b"caf\xe9\n", "caf", "\u20ac")


def test_never_fuzzy_and_never_ambiguous() -> None:
    with pytest.raises(NoMatch):
        replace("a  b", "a b", "x")
    with pytest.raises(ManyMatches) as error:
        replace("a\nb\na\n", "a", "x")
    assert error.value.lines == [1, 3]


def test_ten_thousand_lines_and_one_character(tools: Any, root: Path) -> None:
    lines = [f"value_{n} = {n}\r\n" for n in range(10_000)]
    (root / "big.py").write_bytes("".join(lines).encode())
    tools.ok("Read", file_path="big.py", limit=1)
    tools.ok("Edit", file_path="big.py", old_string="value_7000 = 7000", new_string="value_7000 = 7001")
    lines[7000] = "value_7000 = 7001\r\n"
    assert (root / "big.py").read_bytes() == "".join(lines).encode()
    block = "".join(lines).replace("\r\n", "\n")
    tools.ok("Edit", file_path="big.py", old_string=block, new_string=block.replace("value", "other"))
    assert (root / "big.py").read_bytes() == "".join(lines).replace("value", "other").encode()


def test_a_file_of_fifty_megabytes(tools: Any, root: Path) -> None:
    filler = b"0123456789abcdef" * 4096 + b"\n"
    before, after = filler * 400, filler * 400
    (root / "huge.txt").write_bytes(before + b"needle = 1\n" + after)
    assert (root / "huge.txt").stat().st_size > 50_000_000
    tools.ok("Read", file_path="huge.txt", offset=401, limit=1)
    tools.ok("Edit", file_path="huge.txt", old_string="needle = 1", new_string="needle = 22")
    assert (root / "huge.txt").read_bytes() == before + b"needle = 22\n" + after


def test_mode_survives(tools: Any, root: Path) -> None:
    script = root / "run.sh"
    script.write_text("echo 1\n")
    script.chmod(0o751)
    tools.ok("Read", file_path="run.sh")
    tools.ok("Edit", file_path="run.sh", old_string="1", new_string="2")
    assert stat.S_IMODE(script.stat().st_mode) == 0o751


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_owner_survives(tools: Any, root: Path) -> None:
    (root / "a.txt").write_text("1\n")
    os.chown(root / "a.txt", 1234, 4321)
    tools.ok("Read", file_path="a.txt")
    tools.ok("Edit", file_path="a.txt", old_string="1", new_string="2")
    info = (root / "a.txt").stat()
    assert (info.st_uid, info.st_gid) == (1234, 4321)


def test_a_link_inside_stays_a_link_and_its_target_is_edited(tools: Any, root: Path) -> None:
    (root / "real.txt").write_text("1\n")
    (root / "link.txt").symlink_to("real.txt")
    tools.ok("Read", file_path="link.txt")
    tools.ok("Edit", file_path="link.txt", old_string="1", new_string="2")
    assert (root / "link.txt").is_symlink()
    assert (root / "real.txt").read_text() == "2\n"


def test_multiedit_is_all_or_nothing(tools: Any, root: Path) -> None:
    (root / "a.py").write_text("a = 1\nb = 2\n")
    tools.ok("Read", file_path="a.py")
    first = {"old_string": "a = 1", "new_string": "a = 10"}
    message = tools.no("MultiEdit", file_path="a.py", edits=[first, {"old_string": "zz = 9", "new_string": ""}])
    assert "Edit 2 of 2 failed, so none was made" in message
    assert (root / "a.py").read_text() == "a = 1\nb = 2\n"
    tools.ok("MultiEdit", file_path="a.py", edits=[first, {"old_string": "a = 10\nb", "new_string": "c"}])
    assert (root / "a.py").read_text() == "c = 2\n"
    assert len(tools.context.checkpoints.changes()) == 1


NOTEBOOK = """{
 "cells": [
  {
   "cell_type": "markdown",
   "id": "aa",
   "metadata": {},
   "source": [
    "# Title \\u00e9\\n",
    "text"
   ]
  },
  {
   "cell_type": "code",
   "execution_count": 3,
   "id": "bb",
   "metadata": {"tags":   []},
   "outputs": [{"name": "stdout", "output_type": "stream", "text": ["hello\\n"]}],
   "source": [
    "import os\\n",
    "x = 1\\n",
    "print(x)"
   ]
  },
  {"cell_type": "code", "id": "cc", "metadata": {}, "outputs": [], "source": "y = 2"}
 ],
 "metadata": {"kernelspec": {"name": "python3"}},
 "nbformat": 4,
 "nbformat_minor": 5
}
"""


def test_a_notebook_is_edited_by_cell_and_all_else_stays(tools: Any, root: Path) -> None:
    path = root / "n.ipynb"
    path.write_text(NOTEBOOK)
    shown = tools.ok("Read", file_path="n.ipynb")
    assert "--- cell 1 (code) ---" in shown and "2\tx = 1" in shown and "output: hello" in shown
    assert "occurs in cell 1" in tools.no("Edit", file_path="n.ipynb", old_string="x = 1", new_string="x = 2")
    tools.ok("Edit", file_path="n.ipynb", cell=1, old_string="x = 1\nprint", new_string='x = "é"\n\nprint')
    expected = NOTEBOOK.replace('"x = 1\\n",\n    "print', '"x = \\"\\u00e9\\"\\n",\n    "\\n",\n    "print')
    assert path.read_text() == expected
    tools.ok("Edit", file_path="n.ipynb", cell=2, old_string="2", new_string="3")
    assert path.read_text() == expected.replace('"y = 2"', '"y = 3"')


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        ("def f():\n\treturn 1\n", "    return 1", "    return 2", "tabs and spaces"),
        ("a = 1  \nb = 2\n", "a = 1\nb = 2", "x", "white space at line ends"),
        ("  a = 1\n  b = 2\n", "a = 1\nb = 2", "x", "beginning or end of lines"),
        ("f(a,  b)\n", "f(a, b)", "x", "only in white space"),
        ("x = \u201cq\u201d\n", 'x = "q"', "x", "quotation marks"),
        ("a = 2\n", "a = 1", "a = 2", "already there, at line 1"),
        ("a\nb\n", "1\ta\n2\tb", "x", "line numbers"),
        ("a\nb\n", "a\\nb", "x", "real line breaks"),
        ("one\ndef train_model(x):\n    pass\n", "def train_models(x):", "x", "2\tdef train_model(x):"),
        ("alpha\n", "omega = compute(1)", "x", "Nothing in the file is like it"),
    ],
)
def test_the_likely_cause_is_named(text: str, old: str, new: str, expected: str) -> None:
    assert expected in explain(text, old, new)
