"""The wrong calls that models make, and the message each gets. docs/tools.md is written from this table:

python tests/tools/test_wrong_calls.py        writes docs/tools.md again
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.tools.context import open_context
from ml_engineer.tools.registry import TOOLS, invoke
from ml_engineer.tools.search import rg_path

DOCS = Path(__file__).parents[2] / "docs" / "tools.md"

FILES = {
    "src/model.py": "import torch\n\n\ndef train(x):\n    return fit(x)\n\n\ndef load(x):\n    return fit(x)\n",
    "src/tabs.py": "def f():\n\treturn 1\n",
    "src/windows.py": "a = 1\r\nb = 2\r\n",
    "src/latin.py": "caf\u00e9 = 1\n".encode("latin-1"),
    "model.pkl": b"\x80\x04\x95\x00\x00\x00",
    "paper.pdf": b"%PDF-1.7\n\x00",
    "plot.png": b"\x89PNG\r\n\x1a\n\x00",
    "n.ipynb": '{"cells": [{"cell_type": "code", "metadata": {}, "outputs": [], "source": "x = 1"}], "nbformat": 4}',
    "broken.ipynb": '{"cells": [{"cell_type": "code"}]}',
    "long.txt": "".join(f"line {n}\n" for n in range(1, 11)),
}


@dataclass(frozen=True)
class Case:
    """A wrong call of `tool`, the calls before it, and parts of its message, in order."""

    what: str
    tool: str
    call: Any
    expected: tuple[str, ...]
    before: tuple[tuple[str, dict[str, Any]], ...] = field(default=())
    touch: tuple[str, str] | None = None  # a file that somebody else writes between `before` and the call


def read(path: str, **more: int) -> tuple[str, dict[str, Any]]:
    return "Read", {"file_path": path, **more}


def edit(path: str, old: str, new: str, **more: Any) -> dict[str, Any]:
    return {"file_path": path, "old_string": old, "new_string": new, **more}


MODEL = "src/model.py"
CASES = [
    # any tool
    Case("unknown tool", "Grepp", {"pattern": "x"}, ("no tool Grepp", "Did you mean Grep?", "Tools: LS,")),
    Case("a tool of another harness", "str_replace_editor", {}, ("no tool", "Did you mean Edit?")),
    Case("input that is no JSON", "Read", '{"file_path": ', ("no valid JSON", "required: file_path")),
    Case("input that is no object", "Read", ["a"], ("must be an object", "not list")),
    # LS
    Case("LS of a file", "LS", {"path": MODEL}, ("is a file, not a folder", "Use Read")),
    Case("LS of a folder that is not there", "LS", {"path": "source"}, ("does not exist", "Use Glob")),
    Case("LS outside", "LS", {"path": "/etc"}, ("outside the workspace", "give a path relative to it")),
    Case("ignore that is no list", "LS", {"ignore": "*.pyc"}, ('ignore is "*.pyc"', "valid list")),
    # Read
    Case("missing parameter", "Read", {}, ("file_path is missing", "required: file_path")),
    Case("misnamed parameter", "Read", {"path": MODEL}, ("no parameter path", "did you mean file_path?")),
    Case("wrong type", "Read", {"file_path": MODEL, "limit": "many"}, ('limit is "many"', "valid integer")),
    Case(
        "wrong path, right neighbour",
        "Read",
        {"file_path": "src/modle.py"},
        ("does not exist", "Did you mean src/model.py?"),
    ),
    Case("wrong folder", "Read", {"file_path": "lib/model.py"}, ("there is no folder lib", "Use Glob")),
    Case("a folder", "Read", {"file_path": "src"}, ("is a folder", "Use LS")),
    Case("path outside", "Read", {"file_path": "../../etc/passwd"}, ("outside the workspace",)),
    Case("link that leaves", "Read", {"file_path": "leaves"}, ("symbolic link", "leaves the workspace")),
    Case(
        "offset past the end",
        "Read",
        {"file_path": "long.txt", "offset": 99},
        ("has 10 lines", "offset 99 is past its end"),
    ),
    Case("a pickle", "Read", {"file_path": "model.pkl"}, ("is a pickle", "Never load it", "pickletools")),
    Case("a PDF", "Read", {"file_path": "paper.pdf"}, ("is a PDF document", "pdftotext")),
    Case("an image", "Read", {"file_path": "plot.png"}, ("is a PNG image", "cannot be shown here")),
    Case("a notebook that is none", "Read", {"file_path": "broken.ipynb"}, ("no notebook", "json.tool")),
    # Grep
    Case(
        "invalid regex",
        "Grep",
        {"pattern": "interface{}"},
        ("no valid regular expression", "Escape what is meant literally"),
    ),
    Case("look-around", "Grep", {"pattern": "(?<=a)b"}, ("no valid regular expression", "look-around")),
    Case("Grep in a folder that is not there", "Grep", {"pattern": "x", "path": "source"}, ("source does not exist",)),
    Case("unknown type", "Grep", {"pattern": "x", "type": "pyy"}, ("no type pyy", "Did you mean py?")),
    Case("unknown mode", "Grep", {"pattern": "x", "output_mode": "lines"}, ('output_mode is "lines"', "'content'")),
    Case("offset past the results", "Grep", {"pattern": "torch", "offset": 5}, ("Only 1 file", "past the end")),
    Case("Grep in a binary file", "Grep", {"pattern": "x", "path": "model.pkl"}, ("is binary", "Read says what")),
    # Glob
    Case("no pattern", "Glob", {"path": "src"}, ("pattern is missing",)),
    Case("Glob in a file", "Glob", {"pattern": "*", "path": MODEL}, ("is a file", "folder to search in")),
    # Bash
    Case("no command", "Bash", {"cmd": "ls"}, ("command is missing", "no parameter cmd (did you mean command?)")),
    Case("time-out too long", "Bash", {"command": "x", "timeout": 900_000}, ("timeout is 900000", "600000")),
    Case("command not found", "Bash", {"command": "no-such-program"}, ("Exit code 127", "not found")),
    Case(
        "time-out reached",
        "Bash",
        {"command": "echo begun; sleep 9", "timeout": 200},
        ("Timed out after 200 ms", "begun"),
    ),
    Case("unknown background id", "BashOutput", {"bash_id": "bash_9"}, ("no background command bash_9", "Known: none")),
    Case(
        "kill of an unknown id", "KillShell", {"bash_id": "bash_1"}, ("no parameter bash_id (did you mean shell_id?)",)
    ),
    # Write
    Case("not read before", "Write", {"file_path": MODEL, "content": "x"}, ("has not been read", "Read it first")),
    Case(
        "read only in part",
        "Write",
        {"file_path": "long.txt", "content": "x"},
        ("only in part", "use Edit to change a part"),
        before=(read("long.txt", limit=2),),
    ),
    Case(
        "into .git",
        "Write",
        {"file_path": ".git/hooks/pre-commit", "content": "x"},
        ("git's own folder", "through Bash"),
    ),
    Case("a folder as file", "Write", {"file_path": "src", "content": "x"}, ("is a folder",)),
    Case("below a file", "Write", {"file_path": "long.txt/a", "content": "x"}, ("long.txt is not a folder",)),
    Case("outside", "Write", {"file_path": "/etc/x", "content": "x"}, ("outside the workspace",)),
    Case("no content", "Write", {"file_path": "a", "text": "x"}, ("content is missing", "did you mean content?")),
    # Edit
    Case("not read before", "Edit", edit(MODEL, "torch", "jax"), ("has not been read", "Read it first")),
    Case(
        "stale read",
        "Edit",
        edit("long.txt", "line 1\n", "x\n"),
        ("has changed since it was read", "line 2 became lines 2-3", "Read it again"),
        before=(read("long.txt"),),
        touch=("long.txt", FILES["long.txt"].replace("line 2\n", "new\nlines\n")),  # type: ignore[union-attr]  # this one is text
    ),
    Case("not there", "Edit", edit("src/modle.py", "a", "b"), ("does not exist", "Did you mean src/model.py?")),
    Case(
        "two matches",
        "Edit",
        edit(MODEL, "return fit(x)", "return 0"),
        ("occurs 2 times", "lines 5, 9", "replace_all"),
        (read(MODEL),),
    ),
    Case(
        "indentation",
        "Edit",
        edit(MODEL, "def load(x):\n  return fit(x)", "x"),
        ("beginning or end of lines", "8\tdef load"),
        (read(MODEL),),
    ),
    Case(
        "tabs",
        "Edit",
        edit("src/tabs.py", "        return 1", "        return 2"),
        ("tabs and spaces", "2\t\treturn 1"),
        (read("src/tabs.py"),),
    ),
    Case(
        "line numbers",
        "Edit",
        edit(MODEL, "4\tdef train(x):", "x"),
        ("begins its lines with line numbers",),
        (read(MODEL),),
    ),
    Case(
        "CRLF where the file has none",
        "Edit",
        edit("src/tabs.py", "f():\r\n\treturn", "g():\r\n\treturn"),
        ("differs only in line endings", "Send plain line breaks"),
        (read("src/tabs.py"),),
    ),
    Case(
        "already applied",
        "Edit",
        edit(MODEL, "import jax", "import torch"),
        ("already there, at line 1",),
        (read(MODEL),),
    ),
    Case(
        "nearly right",
        "Edit",
        edit(MODEL, "def train(data):", "x"),
        ("not found", "nearest text is", "4\tdef train(x):"),
        (read(MODEL),),
    ),
    Case(
        "nothing like it",
        "Edit",
        edit(MODEL, "class Unrelated(Base):", "x"),
        ("Nothing in the file is like it", "Use Grep"),
        (read(MODEL),),
    ),
    Case("nothing to do", "Edit", edit(MODEL, "torch", "torch"), ("are the same",), (read(MODEL),)),
    Case("empty old_string", "Edit", edit(MODEL, "", "x"), ("old_string is empty", "use Write"), (read(MODEL),)),
    Case(
        "a character the encoding lacks",
        "Edit",
        edit("src/latin.py", "= 1", "= '\u20ac'"),
        ("LATIN-1, which has no", "iconv"),
        (read("src/latin.py"),),
    ),
    Case(
        "notebook without cell",
        "Edit",
        edit("n.ipynb", "x = 1", "x = 2"),
        ("say with cell", "occurs in cell 0"),
        (read("n.ipynb"),),
    ),
    Case(
        "cell that is not there",
        "Edit",
        edit("n.ipynb", "x", "y", cell=4),
        ("has 1 cells", "no cell 4"),
        (read("n.ipynb"),),
    ),
    Case(
        "cell in a text file", "Edit", edit(MODEL, "torch", "jax", cell=0), ("cell is for notebooks",), (read(MODEL),)
    ),
    Case(
        "older parameter names",
        "Edit",
        {"path": MODEL, "old_str": "a", "new_str": "b"},
        ("did you mean file_path?", "did you mean old_string?"),
    ),
    Case("in .git", "Edit", edit(".git/config", "a", "b"), ("git's own folder",)),
    # MultiEdit
    Case(
        "one of several fails",
        "MultiEdit",
        {
            "file_path": MODEL,
            "edits": [{"old_string": "torch", "new_string": "jax"}, {"old_string": "import torch", "new_string": "x"}],
        },
        ("Edit 2 of 2 failed, so none was made", "nearest text"),
        (read(MODEL),),
    ),
    Case("no edits", "MultiEdit", {"file_path": MODEL, "edits": []}, ("edits is []", "at least 1 item")),
    Case(
        "misnamed inside",
        "MultiEdit",
        {"file_path": MODEL, "edits": [{"old_str": "a", "new_string": "b"}]},
        ("edits.0.old_string is missing", "no parameter edits.0.old_str (did you mean old_string?)"),
    ),
]


def make_repository(root: Path) -> None:
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (root / "leaves").symlink_to("/etc/passwd")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("[core]\n")


async def message_of(case: Case, root: Path, run_dir: Path) -> str:
    """What the call answers. Fails when the call is taken, or changes a file."""
    async with open_context(root, run_dir, fsync=False) as context:
        for name, raw in case.before:
            result = await invoke(name, raw, context)
            assert not result.is_error, result.text
        if case.touch:
            (root / case.touch[0]).write_text(case.touch[1])
        before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        result = await invoke(case.tool, case.call, context)
        assert result.is_error, f"{case.what} was taken: {result.text}"
        assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        return result.text.replace(str(root), "/workspace")


@pytest.mark.parametrize("case", CASES, ids=[f"{case.tool}: {case.what}" for case in CASES])
def test_message(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    make_repository(root)
    message = asyncio.run(message_of(case, root, tmp_path / "run"))
    at = 0
    for part in case.expected:
        assert part in message[at:], f"{part!r} is not in (the rest of) {message!r}"
        at = message.index(part, at)
    assert "Traceback" not in message and len(message) < 1_500


def test_every_tool_has_wrong_calls() -> None:
    assert set(TOOLS) <= {case.tool for case in CASES}


@pytest.mark.skipif(rg_path(Path("/nonexistent")) is None, reason="the page holds ripgrep's own messages")
def test_the_documentation_is_fresh() -> None:
    assert DOCS.read_text() == render(), "docs/tools.md is stale: run python tests/tools/test_wrong_calls.py"


# --- docs/tools.md ----------------------------------------------------------------------------------------------------

INTRODUCTION = """# Tools

<!-- Written by tests/tools/test_wrong_calls.py. Change the code or the table there, and run it again. -->

What the agent may do to a repository. Names and parameters are those of Claude Code. All paths are confined to the
workspace; every change is preceded by a checkpoint outside the repository and recorded in the run's `changes.jsonl`.

What a restore does not bring back: `.git` (commands may change it, the tools never do), folders that tools fill again
(`node_modules`, `.venv`, caches), modes of folders, and what is larger than the caps; the last is said when it happens.
"""


def render() -> str:
    parts = [INTRODUCTION]
    for tool in TOOLS.values():
        definition = tool.definition()
        schema = definition["input_schema"]
        parts.append(f"## {tool.name}\n\n{definition['description']}\n")
        rows = ["| Parameter | Type | Default | Meaning |", "|---|---|---|---|"]
        for name, prop in schema["properties"].items():
            default = (
                "required"
                if name in schema.get("required", ())
                else f"`{prop['default']}`"
                if "default" in prop
                else ""
            )
            kind = " \\| ".join(map(str, prop["enum"])) if "enum" in prop else prop["type"]
            rows.append(f"| `{name}` | {kind} | {default} | {prop['description']} |")
        parts.append("\n".join(rows) + "\n")
    parts.append("## Wrong calls and what they are told\n")
    for tool_name in dict.fromkeys(case.tool for case in CASES):
        rows = [f"### {tool_name}\n", "| Wrong call | Message |", "|---|---|"]
        rows += [f"| {case.what} | {_cell(rendered(case))} |" for case in CASES if case.tool == tool_name]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def rendered(case: Case) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repo"
        root.mkdir()
        make_repository(root)
        return asyncio.run(message_of(case, root, Path(folder) / "run"))


def _cell(text: str) -> str:
    text = text.replace("|", "\\|").replace("<", "&lt;").replace("\t", " ")
    return "<br>".join(line.rstrip() for line in text.split("\n"))


if __name__ == "__main__":
    DOCS.write_text(render())
    sys.stdout.write(f"{os.path.relpath(DOCS)} written\n")
