"""Searching the workspace: what is asked and what comes back, the same from ripgrep and from Python.

    find(workspace, Query(pattern, …)) -> Hits          list_files(workspace, path, glob) -> Listing

Both leave out `.git`, what .gitignore files name (those of the workspace; no other ignore files, no settings of the
user), links and binary files. Hidden files are searched: `.github` is a place to look. Results are sorted by path.
"""

from __future__ import annotations

import functools
import os
import shutil
import stat
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from ml_engineer.tools.base import ToolError
from ml_engineer.tools.globs import IgnoreFile
from ml_engineer.tools.textfile import decode
from ml_engineer.tools.workspace import Workspace

Mode = Literal["content", "files_with_matches", "count"]

MAX_OUTPUT = 32 << 20  # bytes of results that are collected
TIMEOUT = 20.0  # seconds

TYPES: dict[str, tuple[str, ...]] = {
    "c": ("*.c", "*.h"),
    "cpp": ("*.cc", "*.cpp", "*.cxx", "*.hpp", "*.hh", "*.h"),
    "css": ("*.css", "*.scss"),
    "csv": ("*.csv",),
    "cuda": ("*.cu", "*.cuh"),
    "docker": ("Dockerfile*", "*Dockerfile", "Containerfile*"),
    "go": ("*.go",),
    "html": ("*.html", "*.htm"),
    "ini": ("*.ini", "*.cfg"),
    "java": ("*.java",),
    "js": ("*.js", "*.jsx", "*.mjs", "*.cjs"),
    "json": ("*.json", "*.jsonl"),
    "jupyter": ("*.ipynb",),
    "make": ("Makefile", "makefile", "GNUmakefile", "*.mk", "*.mak"),
    "md": ("*.md", "*.markdown"),
    "proto": ("*.proto",),
    "py": ("*.py", "*.pyi"),
    "r": ("*.r", "*.R", "*.Rmd"),
    "rst": ("*.rst",),
    "rust": ("*.rs",),
    "scala": ("*.scala",),
    "sh": ("*.sh", "*.bash", "*.zsh"),
    "sql": ("*.sql",),
    "tf": ("*.tf", "*.tfvars"),
    "toml": ("*.toml",),
    "ts": ("*.ts", "*.tsx"),
    "txt": ("*.txt",),
    "xml": ("*.xml",),
    "yaml": ("*.yaml", "*.yml"),
}


@dataclass(frozen=True)
class Query:
    """`path` is a workspace path of a folder or file; `names` are name patterns of which one must match (a type)."""

    pattern: str
    path: str = "."
    glob: str | None = None
    names: tuple[str, ...] = ()
    mode: Mode = "files_with_matches"
    before: int = 0
    after: int = 0
    ignore_case: bool = False
    multiline: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a file; not `is_match` means context."""

    number: int
    text: str
    is_match: bool

    @classmethod
    def parse(cls, raw: bytes) -> Line:
        """From ripgrep's spelling: the number, ":" for a match or "-" for context, the text."""
        digits = 0
        while raw[digits : digits + 1].isdigit():
            digits += 1
        text = raw[digits + 1 :].decode("utf-8", "surrogateescape").removesuffix("\r")
        return cls(int(raw[:digits]), text, raw[digits : digits + 1] == b":")


@dataclass
class Hits:
    """By path, in order. `counts` (matching lines) is filled in mode count, `lines` in mode content.

    Lines are as `Line.parse` takes them: of many thousands only a page is ever looked at.
    """

    files: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    lines: dict[str, list[bytes]] = field(default_factory=dict)
    incomplete: str = ""  # why there may be more


@dataclass(frozen=True)
class Listing:
    """Paths of files, the most recently changed first."""

    files: list[str]
    incomplete: str = ""


def find(workspace: Workspace, query: Query) -> Hits:
    """Raises ToolError for an invalid pattern, an unknown path, or a single file that is binary."""
    from ml_engineer.tools import pygrep, ripgrep  # here, since both engines import the vocabulary above

    is_file = _check_path(workspace, query.path)
    if is_file and decode(workspace.read(query.path)) is None:
        raise ToolError(f"{query.path} is binary; Grep searches text. Read says what kind of file it is.")
    program = rg_path(workspace.root)
    if program is None:
        return pygrep.find(workspace, query, is_file=is_file)
    return ripgrep.find(program, workspace, query, is_file=is_file)


def list_files(workspace: Workspace, path: str, glob: str) -> Listing:
    """Files under the folder `path` that `glob` matches. Raises ToolError for an unknown path."""
    from ml_engineer.tools import pygrep, ripgrep

    if _check_path(workspace, path):
        raise ToolError(f"{path} is a file. Give the folder to search in, or leave path out.")
    program = rg_path(workspace.root)
    if program is None:
        return pygrep.list_files(workspace, path, glob)
    return ripgrep.list_files(program, workspace, path, glob)


def _check_path(workspace: Workspace, path: str) -> bool:
    """Whether `path` is a file rather than a folder."""
    with workspace.locate(path) as place:
        info = place.lstat()
    if info is None:
        raise workspace.missing(path)
    if not stat.S_ISDIR(info.st_mode) and not stat.S_ISREG(info.st_mode):
        raise ToolError(f"{path} is no regular file or folder and cannot be searched.")
    return stat.S_ISREG(info.st_mode)


@functools.cache
def rg_path(root: Path) -> str | None:
    """ripgrep beside this Python, else on PATH; never one that lies inside the repository that is looked at."""
    for candidate in (Path(sysconfig.get_path("scripts")) / "rg", shutil.which("rg")):
        if candidate and os.access(candidate, os.X_OK):
            program = Path(candidate).resolve()
            own = Path(sysconfig.get_path("scripts")).resolve()
            if not program.is_relative_to(root) or program.is_relative_to(own):
                return str(program)
    return None


def is_ignored(workspace: Workspace, path: str) -> bool:
    """Whether .gitignore files above the folder `path` leave it out. Who asks for such a folder means it."""
    parts = PurePosixPath(path).parts
    if path.startswith("/"):
        return True  # an output of the run: no .gitignore file has a say there
    files = {}
    for depth in range(len(parts)):
        files[depth] = IgnoreFile.parse(read_gitignore(workspace, "/".join(parts[:depth]) or "."))
        for above in range(depth, -1, -1):
            verdict = files[above].verdict("/".join(parts[above : depth + 1]), is_folder=True)
            if verdict:
                return True
            if verdict is False:
                break
    return ".git" in parts


def read_gitignore(workspace: Workspace, folder: str) -> str:
    """The text of a folder's .gitignore; empty when there is none that can be read."""
    path = ".gitignore" if folder == "." else f"{folder}/.gitignore"
    try:
        with workspace.locate(path, follow=False) as place:
            if place.lstat() is None:
                return ""
        raw = workspace.read(path, limit=1 << 20)
    except ToolError:
        return ""
    return raw.decode("utf-8", "replace").removeprefix("\ufeff")
