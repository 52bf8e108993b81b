"""Runs: where the work of a review or an implementation is kept, so that nothing is lost and nothing is done twice.

A run is a folder outside the target, below the user's state directory (`ML_ENGINEER_HOME` overrides):

    runs/<id>/run.json        what was asked for (mode, target, options), written once
              events.jsonl    what happened, append-only, flushed per event
              graph.db        LangGraph's checkpoints
              *.json          artefacts of the nodes, written whole or not at all
              report.json     the sealed report; there once the run is finished
              lock            held while a process works on the run

`Run` hides whether that folder is there: where the state directory cannot be written (full disk, no permission) a run
lives in memory, can't be resumed, and says so.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import fnmatch
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import platformdirs

from ml_engineer.report.atomic import write_atomic

ID = re.compile(r"^[0-9]{8}-[0-9]{6}-[0-9a-f]{6}$")
Event = dict[str, Any]
REPORT = "report.json"  # of the artefacts, the one that is flushed to the disk in every run


class RunError(Exception):
    """A run that cannot be found, opened or continued. The message says why, and what to do."""


def home() -> Path:
    """The state directory: `ML_ENGINEER_HOME`, or the platform's place for the user's state."""
    override = os.environ.get("ML_ENGINEER_HOME")
    return (
        Path(override).expanduser() if override else Path(platformdirs.user_state_dir("ml-engineer", appauthor=False))
    )


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def new_id() -> str:
    """A fresh id that sorts by time, for example 20261130-101500-3fa9c2."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


@dataclass
class Run:
    """One run. `folder` is None for a run in memory."""

    id: str
    folder: Path | None
    meta: dict[str, Any]
    listeners: list[Callable[[Event], None]] = field(default_factory=list)
    costly: bool = True  # its artefacts survive a loss of power; without it only the report does
    _artefacts: dict[str, bytes] = field(default_factory=dict)
    _log: IO[bytes] | None = None
    _lock: IO[bytes] | None = None

    # --- making and finding ---------------------------------------------------------------------------------------

    @classmethod
    def create(cls, meta: dict[str, Any]) -> Run:
        """A new run on disk. OSError where the state directory cannot be written."""
        run_id = new_id()
        folder = home() / "runs" / run_id
        folder.mkdir(parents=True, mode=0o700)
        run = cls(run_id, folder, {"id": run_id, "started": now(), **meta})
        run._hold()
        run.write("run.json", json.dumps(run.meta, indent=2).encode())
        return run

    @classmethod
    def in_memory(cls, meta: dict[str, Any]) -> Run:
        """A run that leaves nothing behind and cannot be resumed."""
        run_id = new_id()
        return cls(run_id, None, {"id": run_id, "started": now(), **meta})

    @classmethod
    def open(cls, run_id: str, *, work: bool = False) -> Run:
        """An earlier run, by its id or an unambiguous beginning of it. With `work`, take its lock to go on with it."""
        folder = _find(run_id)
        try:
            meta = json.loads((folder / "run.json").read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(f"run {folder.name}: its run.json cannot be read ({error}); start a new run") from error
        run = cls(folder.name, folder, meta)
        if work:
            run._hold()
        return run

    def _hold(self) -> None:
        assert self.folder is not None
        self._lock = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise RunError(f"run {self.id} is being worked on by another process; wait for it or stop it") from error

    def close(self) -> None:
        """Give back the lock and the log. Safe to call twice."""
        for stream in (self._log, self._lock):
            if stream is not None:
                with contextlib.suppress(OSError):  # a full disk was already said when the event was written
                    stream.close()
        self._log = self._lock = None

    # --- artefacts and events -------------------------------------------------------------------------------------

    def write(self, name: str, data: bytes) -> None:
        """Keep an artefact of this name, whole or not at all."""
        if self.folder is None:
            self._artefacts[name] = data
        else:
            write_atomic(self.folder / name, data, lasting=self.costly or name == REPORT)

    def read(self, name: str) -> bytes | None:
        """An artefact, or None where there is none of this name."""
        if self.folder is None:
            return self._artefacts.get(name)
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def names(self, pattern: str) -> list[str]:
        """Names of the artefacts that match, such as `handoffs/*.json`, in order."""
        if self.folder is None:
            return sorted(fnmatch.filter(self._artefacts, pattern))
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.glob(pattern))

    def event(self, kind: str, /, **data: Any) -> None:
        """Log an event and tell the listeners. The first of each process has the process's number in the log."""
        entry: Event = {"time": round(time.time(), 3), "type": kind, **data}
        if self.folder is not None:
            if self._log is None:
                self._log = _open_log(self.folder / "events.jsonl")
                entry["pid"] = os.getpid()
            self._log.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            self._log.flush()
        for listener in self.listeners:
            listener(entry)

    def events(self) -> Iterator[Event]:
        """Every event so far. A torn last line, left by a kill, is not an event."""
        data = self.read("events.jsonl") or b""
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise RunError(f"run {self.id}: events.jsonl is damaged at line {number}") from error

    def worked(self) -> float:
        """Seconds that processes have worked on this run so far, by the times of its events; pauses do not count."""
        total, last = 0.0, None
        for event in self.events():
            if last is not None and "pid" not in event:
                total += max(0.0, event["time"] - last)
            last = event["time"]
        return total

    @property
    def state(self) -> str:
        """finished, running or interrupted; a chat, which is never finished, is open while nobody works on it."""
        if self.folder is None or (self.folder / REPORT).exists():
            return "finished"
        with (self.folder / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return "running"
        return "open" if self.meta.get("mode") == "chat" else "interrupted"


def _open_log(path: Path) -> IO[bytes]:
    """Open for appending, behind the last whole line: what a kill tore off is cut away."""
    stream = path.open("ab+", buffering=0)
    size = stream.seek(0, os.SEEK_END)
    if size:
        stream.seek(max(0, size - 1_000_000))
        tail = stream.read()
        if not tail.endswith(b"\n"):
            stream.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
    return stream


def _find(run_id: str) -> Path:
    if not re.fullmatch(r"[0-9a-f-]{1,40}", run_id):
        raise RunError(f"{run_id!r} is not the id of a run; `ml-engineer runs list` shows them")
    found = [path for path in list_folders() if path.name.startswith(run_id)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RunError(f"there is no run {run_id}; `ml-engineer runs list` shows them")
    raise RunError(f"{run_id} may be any of {', '.join(path.name for path in found[:5])}; give more of the id")


def list_folders() -> list[Path]:
    """Folders of all runs, oldest first."""
    folder = home() / "runs"
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if ID.match(path.name) and (path / "run.json").is_file())


@contextlib.contextmanager
def records_folder(run: Run) -> Iterator[Path]:
    """Where a model's work is kept: the run's folder, or a temporary one for a run in memory."""
    if run.folder is not None:
        yield run.folder
        return
    import tempfile  # half of `shutil` and `random`, for what hardly any run needs

    with tempfile.TemporaryDirectory(prefix="ml-engineer-") as folder:
        yield Path(folder)


def discard(run: Run) -> None:
    """Remove a run's folder. RunError while a process works on it."""
    if run.folder is not None:
        if run.state == "running":
            raise RunError(f"run {run.id} is being worked on; stop it first")
        shutil.rmtree(run.folder)
