"""The files of the target: listed once, read at most once, never executed.

`scan(root)` lists the tree (through git where there is a work tree, so that ignored files stay out, else by scandir
without the folders that hold no source) and gives a `Listing`: the files with their roles, and what was skipped with
the reason. Links are not followed, special files are not opened, and a file above its size limit is only listed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ml_engineer.assessment import git
from ml_engineer.assessment.rule import Site
from ml_engineer.report.decoding import decode, split_lines

MAX_TEXT_BYTES = 2_000_000
MAX_NOTEBOOK_BYTES = 30_000_000
MAX_FILES = 200_000
MAX_QUOTE_LINES = 6
MAX_QUOTE_CHARS = 1_200

# Folders that hold no source of the project; only looked for where git does not already leave them out.
SKIPPED_FOLDERS = frozenset(
    ".git .hg .svn node_modules .venv venv env .tox .nox __pycache__ .mypy_cache .ruff_cache .pytest_cache .eggs "
    ".ipynb_checkpoints site-packages .dvc/cache".split()
)
BINARY_SUFFIXES = frozenset(
    ".png .jpg .jpeg .gif .bmp .tif .tiff .webp .ico .pdf .zip .gz .bz2 .xz .tar .tgz .7z .rar .whl .so .dll .dylib "
    ".exe .bin .o .a .class .jar .mp3 .mp4 .wav .avi .mov .ttf .otf .woff .woff2 .eot .parquet .feather .arrow .npy "
    ".npz .mat .h5 .hdf5 .keras .pkl .pickle .joblib .pt .pth .ckpt .onnx .pb .tflite .safetensors .gguf .model .db "
    ".sqlite .xls .xlsx .dat .msgpack .caffemodel .weights .mar .sav .dill .cbm .ubj".split()
)

_SHEBANG = re.compile(rb"#!.*\bpython[\d.]*\s*$", re.M)
_VENDORED = re.compile(
    r"(^|/)(vendor|vendored|third_party|3rdparty|external|node_modules|site-packages|_vendor)/", re.I
)
_TEST = re.compile(r"(^|/)(tests?|testing|__tests__)/|(^|/)(test_[^/]*|[^/]*_test|tests|conftest)\.py$", re.I)
# `test_model.py` beside the training script is as often the program that judges the model.
_MAYBE_TEST = re.compile(r"(?:[^/]+/)*(test_[^/]*|[^/]*_test)\.py", re.I)
_CHECKS = re.compile(
    rb"\bassert|unittest|pytest|doctest|TestCase|TestClient|test_client|(?:from|import) (?:nose|hypothesis)\b"
    rb"|^[ \t]*(?:async )?def test\w*\((?:self)?\)",
    re.M,
)
_TEMPLATE = re.compile(r"\{\{|\}\}|\.(j2|jinja2?|tmpl|tpl|mustache)$")
_DOCS = re.compile(r"(^|/)(docs?|documentation)/|\.(md|rst|txt|adoc)$", re.I)


@dataclass(eq=False)
class File:
    """One file of the target. `path` is relative to the root, with forward slashes."""

    root: Path
    path: str
    size: int
    tracked: bool | None = None  # None: there is no git to ask
    mtime_ns: int = 0
    executable: bool | None = None  # whether its owner may run it; None: not known
    installed: bool = False  # whether it lies where pip has installed packages to

    @cached_property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @cached_property
    def suffix(self) -> str:
        """Lower-case suffix with its dot, or an empty string."""
        dot = self.name.rfind(".")
        return self.name[dot:].lower() if dot > 0 else ""

    @cached_property
    def folder(self) -> str:
        """Path of the folder it lies in, empty for the root."""
        return self.path.rpartition("/")[0]

    @cached_property
    def is_python(self) -> bool:
        """Whether it is a program in Python or a notebook: by its suffix, or by its first line, as `bin/train` is."""
        if self.suffix or "." in self.name:
            return self.suffix in (".py", ".ipynb")
        return _SHEBANG.match(self.head(64)) is not None

    @cached_property
    def roles(self) -> frozenset[str]:
        """What the path says of the file: some of vendored, test, template, docs. A script called like a test that
        checks nothing in any test's way is none."""
        tests = {"vendored": _VENDORED, "test": _TEST, "template": _TEMPLATE, "docs": _DOCS}
        roles = frozenset(role for role, pattern in tests.items() if pattern.search(self.path))
        if self.installed:
            roles |= {"vendored"}
        if "test" in roles and _MAYBE_TEST.fullmatch(self.path) and not _TEST.search(f"{self.folder}/"):
            return roles if _CHECKS.search(self.__dict__.get("data") or self._read()) else roles - {"test"}
        return roles

    @cached_property
    def data(self) -> bytes:
        """The bytes, or none where the file is above its limit, gone or not readable (see `unread`)."""
        return self._read()

    def _read(self) -> bytes:
        limit = MAX_NOTEBOOK_BYTES if self.suffix == ".ipynb" else MAX_TEXT_BYTES
        return b"" if self.size > limit else self.head(limit + 1)

    unread: str | None = None

    def head(self, size: int) -> bytes:
        """At most `size` bytes from the start. Never follows a link, never blocks on a special file."""
        try:
            descriptor = os.open(f"{self.root}/{self.path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            self.unread = getattr(error, "strerror", None) or str(error)
            return b""
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self.unread = "not a regular file"
                return b""
            return os.read(descriptor, min(size, status.st_size))
        except OSError as error:
            self.unread = error.strerror or str(error)
            return b""
        finally:
            os.close(descriptor)

    @cached_property
    def text(self) -> str:
        return decode(self.data)

    @cached_property
    def lines(self) -> list[str]:
        return split_lines(self.text)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """Bytes, text and lines that are first asked for inside are dropped again: for a look at every file."""
        known = self.__dict__.keys() & {"data", "text", "lines"}
        yield
        for name in {"data", "text", "lines"} - known:
            self.__dict__.pop(name, None)

    @cached_property
    def sha256(self) -> str:
        """Digest of the bytes, which are not kept for it."""
        return hashlib.sha256(self.__dict__["data"] if "data" in self.__dict__ else self._read()).hexdigest()

    def site(self, line: int = 1, line_end: int | None = None, *, anchor: str = "", note: str | None = None) -> Site:
        """The place `line`..`line_end` with the text that stands there, cut to a few lines."""
        last = max(1, len(self.lines))
        line = min(max(1, line), last)
        line_end = min(max(line, line_end or line), last, line + MAX_QUOTE_LINES - 1)
        return Site(self.path, line, line_end, clip_quote(self.lines[line - 1 : line_end]), None, anchor, note)

    def find(self, pattern: str | re.Pattern[str]) -> list[tuple[int, re.Match[str]]]:
        """Every line (1-based) in which the pattern is found, with its first match."""
        compiled = re.compile(pattern) if isinstance(pattern, str) else pattern
        found = ((number, compiled.search(line)) for number, line in enumerate(self.lines, 1))
        return [(number, match) for number, match in found if match]


def holds(text: str, words: Iterable[str]) -> bool:
    """Whether one of the lower-case words stands in a text, in any case: cheaper than a search that ignores case."""
    lowered = text.lower()
    return any(word in lowered for word in words)


def clip_quote(lines: list[str]) -> str:
    """Lines joined for a quote. A long text is cut at its end, so that what stays still stands in the file."""
    return "\n".join(lines)[:MAX_QUOTE_CHARS]


@dataclass
class Listing:
    """The files of a tree, by path, and what was left out with the reason."""

    root: Path
    files: dict[str, File] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    git: git.GitFacts = field(default_factory=git.GitFacts)


def scan(root: Path) -> Listing:
    """List the tree below `root`. Errors of single entries become entries of `skipped`."""
    facts = git.read(root)
    listing = Listing(root, git=facts)
    paths = facts.paths if facts.paths is not None else _walk(root, listing)
    for path in sorted(paths):
        if len(listing.files) >= MAX_FILES:
            listing.skipped.append(("", f"more than {MAX_FILES:,} files: the rest was not looked at"))
            break
        _add(listing, path)
    _mark_installed(listing)
    return listing


def _mark_installed(listing: Listing) -> None:
    """Mark what pip has put into a folder with `--target`: packages that lie beside their `.dist-info`. Programs that
    lie there themselves are one's own, as the handler of a function that is shipped with its packages."""
    cut = (path.find(".dist-info/") for path in listing.files)
    folders = {path[:at].rpartition("/")[0] for path, at in zip(listing.files, cut, strict=True) if at > 0}
    beside = tuple(f"{folder}/" for folder in folders if folder)
    if beside:
        for file in listing.files.values():
            file.installed = file.path.startswith(beside) and file.folder not in folders


def _add(listing: Listing, path: str) -> None:
    tracked = None if listing.git.tracked is None else path in listing.git.tracked
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        listing.skipped.append((shown, "the file name is not valid UTF-8"))
        return
    try:
        status = os.lstat(f"{listing.root}/{path}")
    except FileNotFoundError:
        listing.skipped.append((path, "tracked by git, but its content is absent from this copy"))
        return
    except OSError as error:
        listing.skipped.append((path, error.strerror or str(error)))
        return
    if stat.S_ISLNK(status.st_mode):
        listing.skipped.append((path, "symbolic link: not followed"))
    elif stat.S_ISDIR(status.st_mode):
        listing.skipped.append((path, "submodule: a repository of its own"))
    elif not stat.S_ISREG(status.st_mode):
        listing.skipped.append((path, "not a regular file"))
    else:
        runs = bool(status.st_mode & stat.S_IXUSR)
        listing.files[path] = File(listing.root, path, status.st_size, tracked, status.st_mtime_ns, runs)


def _walk(root: Path, listing: Listing) -> list[str]:
    """Paths below a folder that is no git work tree: an export, in which ignored files would not be."""
    paths: list[str] = []
    stack = [""]
    while stack and len(paths) <= MAX_FILES:
        folder = stack.pop()
        try:
            entries = list(os.scandir(f"{root}/{folder}"))
        except OSError as error:
            listing.skipped.append((folder or ".", error.strerror or str(error)))
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and (entry.name in SKIPPED_FOLDERS or path in SKIPPED_FOLDERS):
                continue
            if is_folder:
                stack.append(path)
            else:
                paths.append(path)
    return paths
