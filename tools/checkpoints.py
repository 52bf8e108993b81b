"""Checkpoints: what each file was before the agent changed it, kept outside the repository and its `.git`.

    identifier, before = checkpoints.begin("Edit", "src/a.py")  # content kept, intent on the disk; refused: no change
    …the change…
    checkpoints.finish(identifier, after)
    checkpoints.undo() / restore_file(path) / restore_step(step) / restore_all()

`changes.jsonl` is the run's change journal: an intent before each change and a `done` after it, so that a run that was
killed in between knows. For a shell command the whole tree is looked at before and after. Contents lie in `blobs`,
under one cap: to make room, contents between the first and the last state of a file go first; first states never go,
and when even they do not fit the change is refused. A restore is a change like any other and can be undone too; it
writes files only, never git's index or branches, and leaves alone what somebody else has changed since.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Concatenate, ParamSpec, TypeVar

from ml_engineer.tools import tree as trees
from ml_engineer.tools.base import ToolError
from ml_engineer.tools.blobs import Blobs, BlobsFull
from ml_engineer.tools.journal import Journal
from ml_engineer.tools.ledger import content_hash
from ml_engineer.tools.workspace import MAX_READ, Place, Workspace, temporary_name

P = ParamSpec("P")
T = TypeVar("T")

State = dict[str, Any]
"""One of {kind: absent}, {kind: file, sha256, mode}, {kind: link, target}, {kind: large, size, mtime_ns, mode} (content
not kept), {kind: special, mode}."""

ABSENT: State = {"kind": "absent"}


@dataclass(frozen=True)
class Caps:
    """Sizes in bytes. `tree_file` and `tree` hold for what is kept before a shell command."""

    total: int = 1 << 30
    file: int = MAX_READ
    tree_file: int = 16 << 20
    tree: int = 256 << 20


@dataclass(frozen=True)
class Change:
    """One file changed by one call."""

    id: int
    step: str
    tool: str
    path: str
    before: State
    after: State | None  # None: the run was killed before it knew
    made: tuple[str, ...] = ()  # folders that did not exist before


@dataclass
class Restored:
    """What a restore did. `conflicts` were changed by somebody else since and left alone; `lost` cannot be restored."""

    paths: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CommandChanges:
    """What a shell command changed. `uncovered`: changed, but too large for its old content to have been kept."""

    paths: list[str]
    uncovered: list[str]


def _alone(method: Callable[Concatenate[Checkpoints, P], T]) -> Callable[Concatenate[Checkpoints, P], T]:
    """One at a time: the Bash tool scans the tree in a thread, while others may begin or finish changes."""

    @functools.wraps(method)
    def locked(self: Checkpoints, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


class Checkpoints:
    def __init__(self, directory: Path, workspace: Workspace, *, caps: Caps | None = None, fsync: bool = True) -> None:
        """Opens the checkpoints of a run, and closes what a killed run left open: only the run itself may do so.

        Raises JournalError when the journal is damaged.
        """
        self.caps = caps or Caps()
        self._lock = threading.RLock()
        self._workspace = workspace
        self._fsync = fsync
        self._trees = directory / "trees"
        self._trees.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(directory / "changes.jsonl", fsync=fsync)
        self._blobs = Blobs(directory / "blobs", cap=self.caps.total)
        self._last_tree: trees.Tree | None = None
        self._running: dict[int, trees.Tree] = {}
        self._recover()

    def close(self) -> None:
        self._journal.close()

    # --- around a change of one file ----------------------------------------------------------------------------------

    @_alone
    def begin(self, tool: str, path: str, *, step: str = "", undoes: tuple[int, ...] = ()) -> tuple[int, State]:
        """Keeps what is at `path` (nothing is a state too) and records the intent. Raises ToolError when it cannot.

        Gives the checkpoint's id and the state that it keeps.
        """
        try:
            before = self._capture(path, keep=True)
            if before["kind"] in ("large", "special"):
                raise ToolError(f"it is larger than {self.caps.file:,} bytes or no regular file")
            identifier = self._next_id()
            record = {"id": identifier, "at": time.time(), "step": step, "tool": tool, "path": path, "before": before}
            record["made"] = self._folders_to_make(path)
            self._journal.append(record | ({"undoes": list(undoes)} if undoes else {}))
        except (OSError, BlobsFull, ToolError) as error:
            raise ToolError(
                f"{path} was not changed, because no checkpoint of it could be made: {_reason(error, self.caps)}. "
                "Free disk space or raise the cap for checkpoints, then repeat the call."
            ) from error
        return identifier, before

    @_alone
    def finish(self, identifier: int, after: State) -> None:
        self._journal.append({"done": identifier, "after": after})

    @_alone
    def cancel(self, identifier: int) -> None:
        """The change was begun and not made; its intent counts no longer."""
        self._journal.append({"cancelled": identifier})

    def state_of(self, path: str) -> State:
        """What is at `path` now, without keeping it."""
        return self._capture(path, keep=False)

    # --- around a shell command ---------------------------------------------------------------------------------------

    @_alone
    def begin_command(self, *, step: str = "") -> tuple[int, list[str]]:
        """Keeps the tree before a command. Gives the checkpoint's id and the paths that are too large to be covered."""
        tree = trees.scan(self._workspace)
        try:
            uncovered = self._keep_tree(tree)
            identifier = self._next_id()
            (self._trees / f"{identifier}.json").write_text(json.dumps(tree.to_json()))
            self._journal.append(
                {"id": identifier, "at": time.time(), "step": step, "tool": "Bash", "tree": len(tree.entries)}
            )
        except OSError as error:
            raise ToolError(
                f"The command was not run, because no checkpoint could be made before it: {_reason(error, self.caps)}. "
                "Free disk space, then repeat the call."
            ) from error
        self._last_tree = self._running[identifier] = tree
        if not tree.complete:
            uncovered.append(f"(files beyond the first {trees.MAX_ENTRIES:,}, or in folders that cannot be read)")
        return identifier, uncovered

    @_alone
    def finish_command(self, identifier: int) -> CommandChanges:
        """Records what changed since `begin_command`."""
        before = self._running.pop(identifier)
        after = trees.scan(self._workspace)
        others = {change.path for change in self.changes() if change.id > identifier}
        changes, uncovered = [], []
        for path in trees.changed(before, after):
            then, now = before.entries.get(path), after.entries.get(path)
            old = ABSENT if then is None else self._state_then(then)
            if old["kind"] == "large" and now is not None:  # not kept, so there is only the stat to compare
                new = _large(now.size, now.mtime_ns, now.mode)
            else:
                new = self._capture(path, keep=False)
            if new == old or path in others:
                continue
            changes.append({"path": path, "before": old, "after": new})
            if old["kind"] == "large":
                uncovered.append(path)
        self._journal.append({"done": identifier, "changes": changes})
        (self._trees / f"{identifier}.json").unlink(missing_ok=True)
        return CommandChanges([str(change["path"]) for change in changes], uncovered)

    def _keep_tree(self, tree: trees.Tree) -> list[str]:
        """Keeps the contents of `tree`, smallest first, within the caps. Gives the paths that were left out."""
        room, uncovered = self.caps.tree, []
        for path, entry in sorted(tree.entries.items(), key=lambda item: item[1].size):
            room -= entry.size
            if room < 0 or (entry.size > self.caps.tree_file and stat.S_ISREG(entry.mode)):
                uncovered.append(path)
                continue
            sha256 = self._known(path, entry)
            try:
                if sha256 is None:
                    sha256 = self._keep_entry(path, entry)
            except (BlobsFull, ToolError):
                uncovered.append(path)  # no room, or gone or unreadable since the scan
                continue
            tree.entries[path] = replace(entry, sha256=sha256)
        return sorted(uncovered)

    def _known(self, path: str, entry: trees.Entry) -> str | None:
        last = self._last_tree.entries.get(path) if self._last_tree else None
        if last and self._last_tree and last.sha256 and last.same_stat(entry) and self._last_tree.settled(last):
            return last.sha256 if last.sha256 in self._blobs else None
        return None

    def _keep_entry(self, path: str, entry: trees.Entry) -> str:
        if stat.S_ISLNK(entry.mode):
            with self._workspace.locate(path, follow=False) as place:
                return self._put(os.fsencode(os.readlink(place.name, dir_fd=place.dir_fd)), fsync=False)
        return self._put(self._workspace.read(path, limit=self.caps.tree_file), fsync=False)

    def _state_then(self, entry: trees.Entry) -> State:
        if entry.sha256 is None:
            return _large(entry.size, entry.mtime_ns, entry.mode)
        if stat.S_ISLNK(entry.mode):
            return {"kind": "link", "target": os.fsdecode(self._blobs.get(entry.sha256) or b"")}
        return {"kind": "file", "sha256": entry.sha256, "mode": stat.S_IMODE(entry.mode)}

    # --- what happened ------------------------------------------------------------------------------------------------

    @property
    def last_id(self) -> int:
        """The id of the last change or command that was begun, 0 before the first."""
        return self._next_id() - 1

    @_alone
    def changes(self) -> list[Change]:
        """Every change of the run in order, restores included."""
        ends = {record["done"]: record for record in self._journal.records if "done" in record}
        cancelled = {record["cancelled"] for record in self._journal.records if "cancelled" in record}
        found = []
        for record in self._journal.records:
            if "id" not in record or record["id"] in cancelled:
                continue
            end = ends.get(record["id"], {})
            common = (record["id"], record["step"], record["tool"])
            if "tree" in record:
                found += [Change(*common, c["path"], c["before"], c["after"]) for c in end.get("changes", ())]
            else:
                made = tuple(record["made"])
                found.append(Change(*common, record["path"], record["before"], end.get("after"), made))
        return found

    @_alone
    def standing(self) -> list[Change]:
        """The changes that were not taken back yet, in order."""
        undone = self._undone()
        return [change for change in self._own_changes() if change.id not in undone]

    @_alone
    def originals(self) -> dict[str, State]:
        """What each file that the run has touched was before its first change."""
        first: dict[str, State] = {}
        for change in self._own_changes():
            first.setdefault(change.path, change.before)
        return first

    @_alone
    def content(self, state: State) -> bytes | None:
        """The bytes of a state that was kept; None where they were not, or are no file's."""
        return self._blobs.get(state["sha256"]) if state["kind"] == "file" else None

    # --- restoring ----------------------------------------------------------------------------------------------------

    @_alone
    def undo(self, *, force: bool = False) -> Restored:
        """Takes back the last call that changed something and was not taken back yet."""
        standing = self.standing()
        return self._restore([change for change in standing if change.id == standing[-1].id], force)

    @_alone
    def restore_file(self, path: str, *, force: bool = False) -> Restored:
        """Brings one file back to what it was before the run."""
        wanted = self._workspace.relative(path)
        return self._restore([c for c in self._own_changes() if c.path == wanted], force)

    @_alone
    def restore_step(self, step: str, *, force: bool = False) -> Restored:
        """Takes back what one step changed. A file that a later step changed too is a conflict."""
        return self._restore([c for c in self._own_changes() if c.step == step], force)

    @_alone
    def restore_all(self, *, force: bool = False) -> Restored:
        """Brings every file back to what it was before the run."""
        return self._restore(self._own_changes(), force)

    def _undone(self) -> set[int]:
        return {identifier for record in self._journal.records for identifier in record.get("undoes", ())}

    def _own_changes(self) -> list[Change]:
        return [change for change in self.changes() if change.tool != "Restore"]

    def _restore(self, changes: list[Change], force: bool) -> Restored:
        by_path: dict[str, list[Change]] = {}
        for change in changes:
            by_path.setdefault(change.path, []).append(change)
        restores = [change for change in self.changes() if change.tool == "Restore"]
        done = Restored()
        # Removals first: what stood where a folder has to come back must be out of the way.
        for path, own in sorted(by_path.items(), key=lambda item: item[1][0].before != ABSENT):
            target, now = own[0].before, self._capture(path, keep=False)
            left = [change.after for change in own + [r for r in restores if r.path == path]]
            if not self._available(target):
                done.lost.append(path)
            elif now != target and now not in left and None not in left and not force:
                done.conflicts.append(path)
            else:
                if now != target:
                    self._put_back(path, own, target)
                done.paths.append(path)
        return done

    def _available(self, state: State) -> bool:
        if state["kind"] == "file":
            return state["sha256"] in self._blobs
        return state["kind"] in ("absent", "link")

    def _put_back(self, path: str, own: list[Change], target: State) -> None:
        identifier, _ = self.begin("Restore", path, undoes=tuple(change.id for change in own))
        with self._workspace.locate(path, follow=False, make_parents=target != ABSENT) as place:
            self._workspace.check_writable(place)
            if target["kind"] == "file":
                data = self._blobs.get(target["sha256"])
                assert data is not None, "checked by _available"
                _remove_unless_file(place)
                self._workspace.replace(place, data, mode=target["mode"])
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(place.name, dir_fd=place.dir_fd)
                if target["kind"] == "link":
                    os.symlink(target["target"], place.name, dir_fd=place.dir_fd)
        if target == ABSENT:
            self._remove_folders([folder for change in own for folder in change.made])
        self.finish(identifier, self._capture(path, keep=False))

    def _remove_folders(self, folders: list[str]) -> None:
        for folder in sorted(folders, key=len, reverse=True):
            # Not empty, or gone: then it stays as it is.
            with contextlib.suppress(OSError, ToolError), self._workspace.locate(folder, follow=False) as place:
                os.rmdir(place.name, dir_fd=place.dir_fd)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _next_id(self) -> int:
        return 1 + max((record["id"] for record in self._journal.records if "id" in record), default=0)

    def _capture(self, path: str, *, keep: bool) -> State:
        try:
            with self._workspace.locate(path, follow=False) as place:
                info = place.lstat()
                if info is None:
                    return ABSENT
                if stat.S_ISLNK(info.st_mode):
                    return {"kind": "link", "target": os.readlink(place.name, dir_fd=place.dir_fd)}
        except ToolError:
            return ABSENT  # its folder is not there, or is none any more
        if not stat.S_ISREG(info.st_mode):
            return {"kind": "special", "mode": info.st_mode}
        if info.st_size > (self.caps.file if keep else max(self.caps.file, self.caps.tree_file)):
            return _large(info.st_size, info.st_mtime_ns, info.st_mode)
        data = self._workspace.read(path, limit=self.caps.file)
        sha256 = self._put(data, fsync=self._fsync) if keep else content_hash(data)
        return {"kind": "file", "sha256": sha256, "mode": stat.S_IMODE(info.st_mode)}

    def _put(self, data: bytes, *, fsync: bool) -> str:
        try:
            return self._blobs.put(data, fsync=fsync)
        except BlobsFull:
            if not self._blobs.make_room(len(data), self._prunable()):
                raise
            return self._blobs.put(data, fsync=fsync)

    def _prunable(self) -> list[str]:
        """Contents that may go, in order: those no change needs, then the states between, oldest first."""
        first: dict[str, str] = {}
        between: dict[str, None] = {}
        for change in self.changes():
            sha256 = change.before.get("sha256")
            if sha256 and first.setdefault(change.path, sha256) != sha256:
                between[sha256] = None
        kept = set(first.values())
        kept |= {entry.sha256 for tree in self._running.values() for entry in tree.entries.values() if entry.sha256}
        unneeded = [sha256 for sha256 in self._blobs.all() if sha256 not in kept and sha256 not in between]
        return unneeded + [sha256 for sha256 in between if sha256 not in kept]

    def _folders_to_make(self, path: str) -> list[str]:
        missing = []
        for folder in list(PurePosixPath(path).parents)[:-1]:
            if self._capture(str(folder), keep=False) != ABSENT:
                break
            missing.append(str(folder))
        return missing

    def _recover(self) -> None:
        """Closes what a killed run left open: half-written files are removed, a command's changes are recorded."""
        ended = {record.get("done", record.get("cancelled")) for record in self._journal.records if "id" not in record}
        for record in [r for r in self._journal.records if "id" in r and r["id"] not in ended]:
            if "tree" in record:
                saved = self._trees / f"{record['id']}.json"
                if saved.exists():
                    self._running[record["id"]] = trees.Tree.from_json(json.loads(saved.read_text()))
                    self.finish_command(record["id"])
                continue
            gone = contextlib.suppress(ToolError, FileNotFoundError)
            with gone, self._workspace.locate(record["path"], follow=False) as place:
                os.unlink(temporary_name(place.name), dir_fd=place.dir_fd)
            self.finish(record["id"], self._capture(record["path"], keep=False))


def _large(size: int, mtime_ns: int, mode: int) -> State:
    return {"kind": "large", "size": size, "mtime_ns": mtime_ns, "mode": stat.S_IMODE(mode)}


def _remove_unless_file(place: Place) -> None:
    info = place.lstat()
    if info is not None and stat.S_ISLNK(info.st_mode):
        os.unlink(place.name, dir_fd=place.dir_fd)


def _reason(error: Exception, caps: Caps) -> str:
    if isinstance(error, BlobsFull):
        return f"the checkpoints of this run have reached their cap of {caps.total:,} bytes"
    if isinstance(error, OSError):
        return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)
    return str(error)
