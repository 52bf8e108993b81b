"""LS, Read and Write: what is shown, what is kept, and what the model is told."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.tools.registry import TOOLS
from ml_engineer.tools.textfile import decode
from ml_engineer.tools.workspace import TEMPORARY


def test_read_numbers_lines_and_keeps_the_hash(tools: Any, root: Path) -> None:
    (root / "a.py").write_text("one\ntwo")
    result = tools.call("Read", file_path=str(root / "a.py"))
    expected = "1\tone\n2\ttwo\n[2 lines, no newline at the end]"
    assert result.text == expected
    assert result.data["sha256"] == hashlib.sha256(b"one\ntwo").hexdigest() and result.data["path"] == "a.py"


def test_read_goes_through_a_long_file_in_parts(tools: Any, root: Path) -> None:
    (root / "long.txt").write_text("".join(f"{n}\n" for n in range(1, 5_001)))
    text = tools.ok("Read", file_path="long.txt")
    assert "go on with offset 2001]" in text and "\n2000\t2000\n" in text and "2001\t" not in text
    assert "[lines 4,999-5,000 of 5,000" in tools.ok("Read", file_path="long.txt", offset=4_999)
    tools.no("Write", file_path="long.txt", content="x")  # lines 2001-4998 were not seen
    tools.ok("Read", file_path="long.txt", offset=2_001, limit=2_000)
    tools.ok("Read", file_path="long.txt", offset=4_001, limit=998)
    tools.ok("Write", file_path="long.txt", content="x")


def test_read_clips_huge_lines_and_stops_at_its_size(tools: Any, root: Path) -> None:
    (root / "min.js").write_text("x" * 100_000 + "\nend\n")
    text = tools.ok("Read", file_path="min.js")
    assert "[98,000 more characters on this line]" in text and "2\tend" in text and len(text) < 3_000
    (root / "wide.txt").write_text(("y" * 1_500 + "\n") * 100)
    text = tools.ok("Read", file_path="wide.txt")
    assert len(text) < 31_000 and "go on with offset 20]" in text


@pytest.mark.parametrize(
    ("raw", "shown", "fact"),
    [
        (b"", "", "empty file"),
        (b"a\r\nb\r\n", "1\ta\n2\tb\n", "CRLF line endings"),
        (b"a\r\nb\n", "1\ta\n2\tb\n", "mixed line endings"),
        (b"\xef\xbb\xbfa\n", "1\ta\n", "UTF-8 with byte order mark"),
        (b"caf\xe9\n", "1\tcaf\u00e9\n", "LATIN-1"),
        ("é".encode() + b"\xff\n", "1\té\ufffd\n", "UTF-8 with invalid bytes"),
        ("a\n".encode("utf-16"), "1\ta\n", "UTF-16-LE with byte order mark"),
    ],
)
def test_read_says_what_kind_of_text_it_is(tools: Any, root: Path, raw: bytes, shown: str, fact: str) -> None:
    (root / "f.txt").write_bytes(raw)
    text = tools.ok("Read", file_path="f.txt")
    assert text.startswith(shown) and fact in text.split("[")[-1]
    text.encode()  # can be sent


@given(st.binary(max_size=80))
def test_any_bytes_come_back_as_they_were(raw: bytes) -> None:
    file = decode(raw)
    if file is not None:
        assert file.encode(file.text) == raw


def test_ls_lists_folders_first_and_ignores_by_name(tools: Any, root: Path) -> None:
    (root / "b").mkdir()
    (root / "a.txt").write_text("12345")
    (root / "c.pyc").write_text("")
    (root / "d").symlink_to("a.txt")
    os.mkfifo(root / "e")
    text = tools.ok("LS", path=str(root), ignore=["*.pyc"])
    assert text == "b/\na.txt  (5 bytes)\nd -> a.txt\ne  (special)\n[4 entries]"


def test_a_name_cannot_play_with_the_terminal(tools: Any, root: Path) -> None:
    (root / "x\x1b[31m\ny").write_text("")
    assert tools.ok("LS") == "x\\ny  (0 bytes)\n[1 entry]"


def test_write_makes_folders_and_respects_the_umask(tools: Any, root: Path) -> None:
    before = os.umask(0o027)
    try:
        assert tools.ok("Write", file_path="a/b/c.txt", content="x\n").startswith("Created a/b/c.txt: 1 line,")
    finally:
        os.umask(before)
    assert (root / "a" / "b" / "c.txt").read_text() == "x\n"
    assert stat.S_IMODE((root / "a" / "b" / "c.txt").stat().st_mode) == 0o640


def test_write_keeps_the_style_of_what_it_replaces(tools: Any, root: Path) -> None:
    path = root / "w.py"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    path.chmod(0o755)
    tools.ok("Read", file_path="w.py")
    text = tools.ok("Write", file_path="w.py", content="a = 3\n")
    assert "Kept: CRLF line endings, UTF-8 with byte order mark." in text
    assert path.read_bytes() == b"\xef\xbb\xbfa = 3\r\n" and stat.S_IMODE(path.stat().st_mode) == 0o755


def test_what_was_written_may_be_edited_without_reading(tools: Any, root: Path) -> None:
    tools.ok("Write", file_path="n.py", content="a = 1\n")
    tools.ok("Edit", file_path="n.py", old_string="1", new_string="2")
    tools.ok("Write", file_path="n.py", content="b = 1\n")
    (root / "n.py").write_text("somebody else's\n")
    assert "has changed since it was read: line 1 became line 1" in tools.no("Write", file_path="n.py", content="x")


def test_a_full_disk_leaves_the_old_file_and_says_so(tools: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.txt").write_text("old\n")
    tools.ok("Read", file_path="a.txt")

    really = os.rename

    def full(source: Any, target: Any, **more: Any) -> None:
        if str(source).endswith(TEMPORARY):
            raise OSError(28, "No space left on device")
        really(source, target, **more)

    monkeypatch.setattr("ml_engineer.tools.workspace.os.rename", full)
    assert "The disk is full: nothing was changed" in tools.no("Write", file_path="a.txt", content="new\n")
    assert [path.name for path in root.iterdir()] == ["a.txt"] and (root / "a.txt").read_text() == "old\n"
    assert tools.context.checkpoints.changes() == []


def test_schemas_are_clean_and_stable() -> None:
    for tool in TOOLS.values():
        definition = tool.definition()
        text = json.dumps(definition)
        assert text == json.dumps(tool.definition())
        schema = definition["input_schema"]
        assert schema["type"] == "object"
        for noise in ('"title"', "$ref", "$defs", "anyOf", "null", "additionalProperties", "minLength", "maximum"):
            assert noise not in json.dumps(schema), f"{noise} in the schema of {tool.name}"
        assert all(prop.get("description") for prop in schema["properties"].values())
        assert 40 < len(definition["description"]) < 700
    assert list(TOOLS)[:8] == ["LS", "Read", "Grep", "Glob", "Bash", "Write", "Edit", "MultiEdit"]


def test_names_are_those_of_claude_code() -> None:
    names = {name: set(tool.definition()["input_schema"]["properties"]) for name, tool in TOOLS.items()}
    assert names["Read"] == {"file_path", "offset", "limit"}
    assert names["Edit"] >= {"file_path", "old_string", "new_string", "replace_all"}
    assert names["MultiEdit"] == {"file_path", "edits"} and names["Write"] == {"file_path", "content"}
    assert names["Bash"] == {"command", "timeout", "description", "run_in_background"}
    assert names["Grep"] == set("pattern path glob type output_mode -A -B -C -n -i head_limit offset multiline".split())
    assert names["Glob"] == {"pattern", "path"} and names["LS"] == {"path", "ignore"}
