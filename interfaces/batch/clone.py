"""A repository from its server into the cache: shallow, without what is too large, and without running anything of it.

    with fetched(source, Cache(folder)) as copy:
        copy.root, copy.revision          a work tree at one full commit, which nobody removes while it is in use

Only the commit that is reviewed is fetched. Files above BLOB_LIMIT stay at the server where it can leave them out, and
are then absent from the copy, as the review says. Files are laid out by `checkout-index`, which knows no hooks; filters
are overridden. Credentials are the business of git's own helpers: nothing asks, and no message holds one.

    cache/<name>-<digest>/lock            shared while a copy is read, exclusive while one is made or removed
                          <commit>/<name>/    the copies
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import git

from ml_engineer.interfaces.batch.sources import Source

BLOB_LIMIT = 50_000_000  # bytes of one file; of larger ones only the head would be read
MAX_ENTRIES = 400_000  # files of one commit
_FULL = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?$")
_KEPT_VARIABLES = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
_FIXED = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "true",
    "protocol.ext.allow": "never",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "filter.lfs.process": "",
    "filter.lfs.smudge": "",
    "filter.lfs.clean": "",
    "filter.lfs.required": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
}
# What an older server says to a commit that no branch or tag names.
_UNNAMED = re.compile(r"not our ref|unadvertised object|does not allow request", re.I)
_TOO_LARGE = re.compile(r"died of signal 25|file too large|file size limit", re.I)  # 25: a file has reached its limit
# What git says when trying again may help: the network, or the server's bad moment.
_PASSING = re.compile(
    r"could not resolve|timed? ?out|connection (was )?(reset|refused|closed)|early eof|hung up|50[0234]|429|"
    r"failed to connect|network is unreachable|temporar|rpc failed|ssl_read|operation too slow",
    re.I,
)


class FetchError(Exception):
    """A repository that cannot be had. `again`: trying later may help. The message is git's, without credentials."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


@dataclass(frozen=True)
class Cache:
    """Where copies are kept. `limit` in bytes for all of them, `repository` for one with its history of one commit."""

    folder: Path
    limit: int = 20_000_000_000
    repository: int = 2_000_000_000


@dataclass(frozen=True)
class Copy:
    """A work tree in the cache."""

    root: Path
    revision: str


def plain_environment() -> None:
    """Forget what sends git elsewhere or makes it ask. For a process that serves one review and nothing else."""
    for name in [name for name in os.environ if name.startswith("GIT_") and name not in _KEPT_VARIABLES]:
        del os.environ[name]
    os.environ.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    os.environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "SSH_ASKPASS": "true", "LC_ALL": "C.UTF-8"}


def revision_of(source: Source) -> str:
    """The full commit that the source's revision stands for now. Raises FetchError."""
    wanted = source.revision or "HEAD"
    if _FULL.match(wanted):
        return wanted
    names = (
        [wanted] if wanted == "HEAD" or wanted.startswith("refs/") else [f"refs/tags/{wanted}", f"refs/heads/{wanted}"]
    )
    with tempfile.TemporaryDirectory() as nowhere:
        listed = _git(Path(nowhere), "ls-remote", "--", source.place, *names, *(f"{name}^{{}}" for name in names))
    found = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
    for name in (f"{names[0]}^{{}}", *names):  # an annotated tag stands for the commit that it names
        if name in found:
            return found[name]
    if wanted == "HEAD":
        raise FetchError(f"{source.shown} has no commits yet: there is nothing to review")
    raise FetchError(f"{source.shown} has no branch or tag {wanted}; a commit must be given in full")


@contextlib.contextmanager
def fetched(source: Source, cache: Cache, revision: str) -> Iterator[Copy]:
    """The commit `revision` of the source as a work tree, from the cache or from its server. Raises FetchError."""
    entry = _entry(source, cache)
    place = entry / revision / source.name.partition("/")[0]
    with _locked(entry / "lock") as lock:
        if not place.is_dir():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                _make(source, cache, revision, place)
            fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(entry / "lock")  # what was not used for longest goes first
        yield Copy(place, revision)


def trim(cache: Cache) -> None:
    """Remove copies, those unused for longest first, until all of them are below the limit. Those in use stay."""
    entries = sorted(cache.folder.glob("*/lock"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in entries:
        size = _size(path.parent)
        total += size
        if total > cache.limit and _remove(path):
            total -= size


# --- making a copy ----------------------------------------------------------------------------------------------------


def _make(source: Source, cache: Cache, revision: str, place: Path) -> None:
    """Fetch and lay out below a name of its own, then rename: a kill leaves nothing that looks like a copy."""
    for old in place.parent.parent.iterdir():
        if old.is_dir() and old.name != revision:
            shutil.rmtree(old, ignore_errors=True)  # an earlier revision, or what a kill has left
    place.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent.parent, prefix="part-") as part:
        work = Path(part) / "work"
        work.mkdir()
        with _file_limit(cache.repository):
            _fetch(source, revision, work)
            _lay_out(source, work, cache.repository)
        work.rename(place)


def _fetch(source: Source, revision: str, work: Path) -> None:
    _git(work, "init", "--quiet", "--template=")
    _git(work, "config", "remote.origin.url", source.place)
    how = ["--depth=1", "--no-tags", "--no-recurse-submodules", f"--filter=blob:limit={BLOB_LIMIT}", "--quiet"]
    try:
        _git(work, "fetch", *how, "origin", revision)
    except FetchError as error:
        if not _UNNAMED.search(str(error)) or (source.revision is not None and _FULL.match(source.revision)):
            raise
        _git(work, "fetch", *how, "origin", source.revision or "HEAD")  # an older server gives only what has a name
    got = _git(work, "rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()
    if got != revision:
        raise FetchError(f"{source.shown} has moved while it was fetched", again=True)
    _git(work, "update-ref", "--no-deref", "HEAD", revision)


def _lay_out(source: Source, work: Path, limit: int) -> None:
    """The files of HEAD. Those that the server has kept back are marked as left out."""
    _git(work, "read-tree", "HEAD")
    listed = _git(work, "ls-files", "-s", "-z").split("\0")
    entries = [(line.split()[1], line.partition("\t")[2]) for line in listed if line]
    if len(entries) > MAX_ENTRIES:
        raise FetchError(
            f"{source.shown} has {len(entries):,} files, more than {MAX_ENTRIES:,}; give a scope or a subset"
        )
    local = _git(work, "cat-file", "--batch-check=%(objectname) %(objectsize)", "--batch-all-objects", "--unordered")
    sizes = {name: int(size) for name, _, size in (line.partition(" ") for line in local.splitlines())}
    total = sum(sizes.get(blob, 0) for blob, _ in entries)
    if total > limit:
        raise FetchError(f"{source.shown} has {total:,} bytes of files, more than {limit:,}; raise --max-repository")
    missing = [path for blob, path in entries if blob not in sizes]
    if missing:
        _git(work, "update-index", "-z", "--skip-worktree", "--stdin", stdin="\0".join(missing) + "\0")
    _git(work, "checkout-index", "--all", "--quiet", "--force")


def _git(folder: Path, *arguments: str, stdin: str = "") -> str:
    """What git prints. Raises FetchError with its words, in which no credential stands."""
    runner = git.Git(str(folder))
    config = {"GIT_CONFIG_COUNT": str(len(_FIXED))}
    for number, (key, value) in enumerate(_FIXED.items()):
        config |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    own = (
        {"GIT_DIR": str(folder / ".git"), "GIT_WORK_TREE": str(folder)}
        if arguments[0] not in ("init", "ls-remote")
        else {}
    )
    runner.update_environment(**config, **own, GIT_CEILING_DIRECTORIES=str(folder.parent))
    try:
        with tempfile.TemporaryFile() as given:
            given.write(stdin.encode("utf-8", "surrogateescape"))
            given.seek(0)
            output = runner.execute(
                ["git", *arguments], istream=given, stdout_as_string=False, strip_newline_in_stdout=False
            )
    except git.GitCommandNotFound:
        raise FetchError("git is not installed; install it, for example with `apt install git`") from None
    except git.GitCommandError as error:
        words = _words(error)
        raise FetchError(f"git {arguments[0]}: {words}", again=bool(_PASSING.search(words))) from None
    assert isinstance(output, bytes)
    return output.decode("utf-8", "surrogateescape")


def _words(error: git.GitCommandError) -> str:
    said = error.stderr.partition("stderr: ")[2].strip().strip("'") or str(error)
    if error.status in (-25, 153) or _TOO_LARGE.search(said):
        return "the repository is larger than allowed; raise --max-repository, or give a smaller one"
    lines = [line.removeprefix("fatal: ").removeprefix("error: ") for line in said.splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith("warning: ")] or lines
    return re.sub(r"//[^/@\s]*@", "//", " ".join(kept))[:500]


# --- the cache --------------------------------------------------------------------------------------------------------


def _entry(source: Source, cache: Cache) -> Path:
    digest = hashlib.sha256(source.place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", source.name.partition("/")[0])[:40]
    folder = cache.folder / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield lock


@contextlib.contextmanager
def _file_limit(limit: int) -> Iterator[None]:
    """No file that git writes may become larger: a pack is one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (lower, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _size(folder: Path) -> int:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(directory) / name).lstat().st_size
    return total


def _remove(lock: Path) -> bool:
    """Remove the copies of an entry, unless one is in use."""
    with lock.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        for path in lock.parent.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
        return True
