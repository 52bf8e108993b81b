"""The one door to the files of the repository: nothing outside its root can be reached, whatever a path looks like.

    workspace.locate("src/../a.py") -> Place(dir_fd, name, path)     # then read, write, stat, list or remove through it

A path is walked from a descriptor of the root, one component at a time and never through a link that the kernel would
follow (O_NOFOLLOW): links are read and walked here, and one that leaves the root is refused. Since every step holds the
directory it came through, a folder that is swapped for a link between check and use leads nowhere else.

Paths given back are relative to the root, with forward slashes; those of the read-only folders (the run's outputs) are
absolute. `.git` can be read but not written: hooks and config there are commands that git would run.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ml_engineer.tools.base import ToolError

MAX_LINKS = 40  # as the kernel has it
MAX_READ = 256 << 20  # bytes of one file held in memory
TEMPORARY = ".ml-engineer-new"  # suffix of a file being written; a leftover of a killed run is known by it
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
)  # NONBLOCK: opening a pipe must not wait for a writer


class MissingFolder(ToolError):
    """A folder on the way to the path does not exist."""


@dataclass(frozen=True)
class Place:
    """Where a path ended: an open directory and a name in it ("." for the root itself), with no link left between.

    `path` is the resolved path, `asked` the one that was asked for, both as the workspace writes paths.
    """

    dir_fd: int
    name: str
    path: str
    asked: str
    writable: bool

    def stat(self) -> os.stat_result:
        """Stat of the place itself, which must exist."""
        return os.stat(self.name, dir_fd=self.dir_fd, follow_symlinks=False)

    def lstat(self) -> os.stat_result | None:
        """Stat of the place itself, or None when nothing is there."""
        try:
            return self.stat()
        except FileNotFoundError:
            return None


class Workspace:
    """The confined view of one folder. `readable` are folders outside it that may be read by absolute path."""

    def __init__(self, root: Path, *, readable: tuple[Path, ...] = (), fsync: bool = True) -> None:
        self.root = root.resolve(strict=True)
        self._given_root = root.absolute()
        self._readable = tuple(folder.absolute() for folder in readable)
        self._fsync = fsync
        self._root_fd = os.open(self.root, _DIRECTORY)

    def close(self) -> None:
        os.close(self._root_fd)

    # --- walking ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locate(self, path: str, *, follow: bool = True, make_parents: bool = False) -> Iterator[Place]:
        """Walks to `path` and holds its directory open. With `follow`, a link at the end is walked through too.

        Raises ToolError for a path that leaves the workspace or whose parent is no folder. The last component need not
        exist; with `make_parents` neither need its parents.
        """
        base, relative = self._anchor(path)
        walk = _Walk(self._root_fd if base is None else None, base or self.root, path)
        try:
            walk.go(relative, follow=follow, make_parents=make_parents)
            prefix = "" if base is None else f"{base}/"
            asked = prefix + (relative.as_posix() if relative.parts else ".")
            resolved = "/".join([*walk.names, *([] if walk.name == "." else [walk.name])]) or "."
            yield Place(walk.dir_fd, walk.name, prefix + resolved, asked, writable=base is None)
        finally:
            walk.close()

    def relative(self, path: str) -> str:
        """`path` as the workspace writes it, without looking at the disk."""
        base, relative = self._anchor(path)
        return f"{base}/{relative}" if base is not None else relative.as_posix()

    def _anchor(self, path: str) -> tuple[Path | None, PurePosixPath]:
        """The folder that `path` starts from (None: the root) and the rest, `.` and `..` taken out."""
        if "\0" in path:
            raise ToolError("The path holds a NUL byte. Give a plain path, relative to the workspace root.")
        parts: list[str] = []
        for part in PurePosixPath(path).parts:
            if part == "..":
                if not parts:
                    raise self._outside(path)
                parts.pop()
            elif part != "/":
                parts.append(part)
        if not path.startswith("/"):
            return None, PurePosixPath(*parts)
        whole = Path("/", *parts)
        for root in (self.root, self._given_root):
            if whole.is_relative_to(root):
                return None, PurePosixPath(whole.relative_to(root))
        for folder in self._readable:
            if whole.is_relative_to(folder):
                return folder, PurePosixPath(whole.relative_to(folder))
        raise self._outside(path)

    def _outside(self, path: str) -> ToolError:
        return ToolError(
            f"{path} is outside the workspace. The tools reach only files under {self.root}: "
            "give a path relative to it, such as src/model.py."
        )

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, path: str, *, limit: int = MAX_READ) -> bytes:
        """The bytes of a regular file. ToolError when it is missing, no regular file, or larger than `limit`."""
        with self.open(path) as fd:
            size = os.fstat(fd).st_size
            if size > limit:
                raise ToolError(
                    f"{path} has {size:,} bytes, more than the {limit:,} that can be held in memory. "
                    "Use Grep, or Bash with head, tail or sed, to see a part of it."
                )
            with open(fd, "rb", closefd=False) as file:
                return file.read()

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[int]:
        """A descriptor for reading a regular file."""
        with self.locate(path) as place:
            try:
                fd = os.open(place.name, _FILE, dir_fd=place.dir_fd)
            except FileNotFoundError:
                raise self.missing(path) from None
            except OSError as error:
                raise _refused(path, error) from error
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise ToolError(f"{path} is a folder. Use LS to list it or Glob to find files in it.")
            if not stat.S_ISREG(mode):
                raise ToolError(f"{path} is {_kind(mode)}, not a regular file; it cannot be read or changed.")
            yield fd
        finally:
            os.close(fd)

    def list(self, path: str) -> list[tuple[str, os.stat_result]]:
        """Names and lstat results of a folder, sorted by name."""
        with self.directory(path) as fd, os.scandir(fd) as entries:
            return sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)

    @contextlib.contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """A descriptor of a folder."""
        with self.locate(path) as place:
            try:
                fd = os.open(place.name, _DIRECTORY, dir_fd=place.dir_fd)
            except FileNotFoundError:
                raise self.missing(path) from None
            except NotADirectoryError:
                raise ToolError(f"{path} is a file, not a folder. Use Read to see it.") from None
            except OSError as error:
                raise _refused(path, error) from error
        try:
            yield fd
        finally:
            os.close(fd)

    def missing(self, path: str) -> ToolError:
        """The error for a path that does not exist, with the nearest names that do."""
        relative = PurePosixPath(self.relative(path))
        parent = relative.parent
        try:
            names = [name for name, _ in self.list(str(parent))]
        except ToolError:
            return ToolError(f"{path} does not exist, nor does its folder {parent}. Use Glob or LS to find the path.")
        near = _near_names(relative.name, names)
        hint = f" Did you mean {' or '.join(str(parent / name) for name in near)}?" if near else ""
        return ToolError(f"{path} does not exist.{hint} Use Glob (pattern **/{relative.name}) or LS to find the path.")

    # --- writing ------------------------------------------------------------------------------------------------------

    def check_writable(self, place: Place) -> None:
        """Raises ToolError when nothing may be written at `place`."""
        if not place.writable:
            raise ToolError(f"{place.asked} belongs to the run's records and can only be read.")
        self.check_path(place.path)
        self.check_path(place.asked)
        if place.name == ".":
            raise ToolError("The workspace root is a folder and cannot be written as a file. Give a file's path.")

    def check_path(self, path: str) -> None:
        """Raises ToolError when `path`, by its name alone, may not be written."""
        if ".git" in path.lower().split("/"):
            raise ToolError(
                f"{path} is in git's own folder, which the tools never write: hooks and config there are commands. "
                "Use git through Bash instead."
            )

    def replace(self, place: Place, data: bytes, *, mode: int | None = None) -> None:
        """Puts `data` at `place` in one step: whoever looks sees the old file or the new one, also after a SIGKILL.

        Mode and owner of a file that is there are kept unless `mode` says otherwise; a new file gets 0o666 less the
        umask. Raises ToolError when what is there is no regular file or its owner cannot be kept.
        """
        self.check_writable(place)
        old = place.lstat()
        if old is not None and not stat.S_ISREG(old.st_mode):
            raise ToolError(f"{place.asked} is {_kind(old.st_mode)}, not a regular file; it cannot be written.")
        wanted = old.st_mode if mode is None and old is not None else mode
        temporary = temporary_name(place.name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=place.dir_fd)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        # A file that is replaced is written under 0600 first: its bytes are never more open than the old ones were.
        fd = os.open(temporary, flags, 0o666 if wanted is None else 0o600, dir_fd=place.dir_fd)
        try:
            try:
                with open(fd, "wb", closefd=False) as file:
                    file.write(data)
                if old is not None:
                    _keep_owner(fd, old, place.asked)
                if wanted is not None:
                    os.fchmod(fd, stat.S_IMODE(wanted))
                if self._fsync:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, place.name, src_dir_fd=place.dir_fd, dst_dir_fd=place.dir_fd)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=place.dir_fd)
            raise
        if self._fsync:
            os.fsync(place.dir_fd)


def temporary_name(name: str) -> str:
    """The name under which a new version of `name` is written. Hashed when it would be too long for a file name."""
    if len(os.fsencode(name)) > 200:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}{TEMPORARY}"


class _Walk:
    """The walk itself: a stack of open directories, from the start to where the path has led so far."""

    def __init__(self, root_fd: int | None, root: Path, asked: str) -> None:
        self._root = root
        self._asked = asked
        try:
            self._fds = [os.open(root, _DIRECTORY) if root_fd is None else os.dup(root_fd)]
        except OSError as error:
            raise _refused(asked, error) from error
        self.names: list[str] = []
        self.name = "."

    @property
    def dir_fd(self) -> int:
        return self._fds[-1]

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def go(self, relative: PurePosixPath, *, follow: bool, make_parents: bool) -> None:
        todo = list(reversed(relative.parts))
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                self._up()
                continue
            if todo or follow:
                target = self._link_target(part)
                if target is not None:
                    links += 1
                    if links > MAX_LINKS:
                        raise ToolError(f"{self._asked} leads through a loop of symbolic links. Use another path.")
                    todo.extend(reversed(self._splice(target)))
                    continue
            if todo:
                self._down(part, make_parents)
            else:
                self.name = part
                return
        # The path ended in "..", or was empty: the place is the directory itself, seen from its parent.
        self.name = "."
        if self.names:
            os.close(self._fds.pop())
            self.name = self.names.pop()

    def _link_target(self, part: str) -> str | None:
        try:
            return os.readlink(part, dir_fd=self.dir_fd)
        except OSError:
            return None  # no link, or not there: opening it tells

    def _splice(self, target: str) -> list[str]:
        """The components that a link stands for, from here; an absolute one starts again at the root."""
        if not target.startswith("/"):
            return [part for part in PurePosixPath(target).parts if part != "."]
        if not PurePosixPath(target).is_relative_to(self._root):
            raise self._leaves()
        while self.names:
            self._up()
        return list(PurePosixPath(target).relative_to(self._root).parts)

    def _up(self) -> None:
        if not self.names:
            raise self._leaves()
        os.close(self._fds.pop())
        self.names.pop()

    def _down(self, part: str, make_parents: bool) -> None:
        if make_parents and part.lower() != ".git":
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=self.dir_fd)
        try:
            fd = os.open(part, _DIRECTORY, dir_fd=self.dir_fd)
        except FileNotFoundError:
            folder = "/".join([*self.names, part])
            raise MissingFolder(f"{self._asked} does not exist: there is no folder {folder}. Use Glob or LS.") from None
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                where = "/".join([*self.names, part])
                raise ToolError(f"{self._asked} cannot be reached: {where} is not a folder. Use Glob or LS.") from None
            raise _refused(self._asked, error) from error
        self._fds.append(fd)
        self.names.append(part)

    def _leaves(self) -> ToolError:
        return ToolError(
            f"{self._asked} is a symbolic link, or goes through one, that leaves the workspace {self._root}. "
            "The tools do not follow it; work on files inside the workspace."
        )


def _keep_owner(fd: int, old: os.stat_result, path: str) -> None:
    new = os.fstat(fd)
    if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid):
        return
    try:
        os.fchown(fd, old.st_uid, old.st_gid)
    except PermissionError:
        raise ToolError(
            f"{path} belongs to another user or group, which could not be kept; it was left unchanged. "
            "Ask its owner to change it, or to give it to you."
        ) from None


def _refused(path: str, error: OSError) -> ToolError:
    if error.errno == errno.ELOOP:
        return ToolError(f"{path} was replaced by a symbolic link while it was being opened; it was not touched.")
    return ToolError(f"{path} cannot be opened: {error.strerror}. Check the path and its permissions with LS.")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a named pipe"}
    kinds |= {stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "a special file")


def _near_names(name: str, names: list[str]) -> list[str]:
    lowered = {other.lower(): other for other in names}
    return [lowered[match] for match in difflib.get_close_matches(name.lower(), list(lowered), n=2, cutoff=0.6)]
