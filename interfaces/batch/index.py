"""The state of a batch: a SQLite file in its folder, which alone decides what is still to be done.

    with Index.open(out) as index:          refuses while another batch holds the folder
        index.enlist(sources)                what this batch is about; earlier ones stay, and are not in its summary
        for job in index.waiting(): …       begin(job) → done(job, …) or failed(job, …)

A row goes waiting → running → done | failed. A row that is running when the folder is opened was cut off by a kill: it
is waiting again, unless its reports are there, and so is one that is done and whose report is gone. Each change is a
transaction, written before the next thing happens.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from ml_engineer.interfaces.batch.sources import Source
from ml_engineer.interfaces.batch.summary import Fault, Row, blank_row

NAME = "batch.db"
VERSION = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS repositories (
    folder TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    listed INTEGER NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    fingerprint TEXT,
    edition TEXT,
    error_kind TEXT,
    error TEXT,
    seconds REAL,
    size INTEGER,
    row TEXT,
    faults TEXT
)
"""


class IndexRefused(Exception):
    """The folder cannot be used. The message says why, and what to do."""


@dataclass(frozen=True)
class Job:
    """One repository that is to be reviewed. `known`: what was reviewed of it last, and by whom."""

    source: Source
    attempts: int
    known: tuple[str, str] | None

    @property
    def folder(self) -> str:
        return self.source.folder


class Index:
    """See the module. Not for more than one process, nor for more than one thread."""

    def __init__(self, out: Path, database: sqlite3.Connection, lock: IO[bytes]) -> None:
        self.out = out
        self._db = database
        self._lock = lock

    @classmethod
    def open(cls, out: Path) -> Index:
        """The index of the folder `out`, made where there is none. Raises IndexRefused."""
        try:
            out.mkdir(parents=True, exist_ok=True)
            lock = (out / ".lock").open("ab")
        except OSError as error:
            raise IndexRefused(f"{out} cannot be written ({error.strerror}); give another folder") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise IndexRefused(f"another batch works in {out}; wait for it, stop it, or give another folder") from error
        try:
            return cls(out, _connect(out / NAME), lock)
        except (sqlite3.Error, IndexRefused) as error:
            lock.close()
            if isinstance(error, IndexRefused):
                raise
            raise IndexRefused(f"{out / NAME} cannot be used ({error}); give another folder, or remove it") from error

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._lock.close()

    # --- what is to be done ---------------------------------------------------------------------------------------

    def enlist(self, sources: Iterable[Source]) -> None:
        """Make these the repositories of the batch, in their order."""
        rows = [(s.folder, json.dumps(s.record()), number) for number, s in enumerate(sources)]
        with self._db:
            self._db.execute("UPDATE repositories SET listed = 0")
            self._db.executemany(
                "INSERT INTO repositories (folder, source, listed, position, state) VALUES (?, ?, 1, ?, 'waiting') "
                "ON CONFLICT (folder) DO UPDATE SET listed = 1, source = excluded.source, position = excluded.position",
                rows,
            )

    def retry(self) -> None:
        """Put back what failed or is partial, to be reviewed once more."""
        with self._db:
            self._db.execute(
                "UPDATE repositories SET state = 'waiting', attempts = 0, fingerprint = NULL "
                "WHERE state = 'failed' OR (state = 'done' AND json_extract(row, '$.state') = 'partial')"
            )

    def refresh(self) -> None:
        """Put back everything, to be reviewed where it has changed."""
        with self._db:
            self._db.execute("UPDATE repositories SET state = 'waiting', attempts = 0")

    def cut_off(self) -> list[str]:
        """Folders of the repositories that were under way when an earlier batch ended."""
        return [folder for (folder,) in self._db.execute("SELECT folder FROM repositories WHERE state = 'running'")]

    def put_back(self, folder: str) -> None:
        self._set(folder, "state = 'waiting'")

    def lost(self, folder: str) -> None:
        """Its report is gone: it is reviewed again, though it has not changed."""
        self._set(folder, "state = 'waiting', fingerprint = NULL")

    def finished(self) -> Iterator[tuple[str, int]]:
        """Folder and size of report.json of what is done."""
        yield from self._db.execute("SELECT folder, size FROM repositories WHERE state = 'done' AND listed").fetchall()

    def waiting(self) -> list[Job]:
        """What is still to be done, in the order of the sources."""
        found = self._db.execute(
            "SELECT source, attempts, fingerprint, edition FROM repositories "
            "WHERE state = 'waiting' AND listed ORDER BY position"
        )
        return [
            Job(Source(**json.loads(source)), attempts, (fingerprint, edition) if fingerprint and edition else None)
            for source, attempts, fingerprint, edition in found
        ]

    def sources(self) -> list[Source]:
        """The repositories of the batch, in their order."""
        found = self._db.execute("SELECT source FROM repositories WHERE listed ORDER BY position")
        return [Source(**json.loads(source)) for (source,) in found]

    # --- what happens ---------------------------------------------------------------------------------------------

    def begin(self, folder: str) -> None:
        self._set(folder, "state = 'running'")

    def done(
        self,
        folder: str,
        row: Row,
        faults: Iterable[Fault],
        *,
        fingerprint: str,
        edition: str,
        size: int,
        seconds: float,
    ) -> None:
        """It has its report, of `size` bytes."""
        self._set(
            folder,
            "state = 'done', attempts = attempts + 1, error = NULL, error_kind = NULL, fingerprint = ?, edition = ?, "
            "size = ?, seconds = ?, row = ?, faults = ?",
            fingerprint,
            edition,
            size,
            seconds,
            row.model_dump_json(),
            json.dumps([fault.model_dump(mode="json") for fault in faults]),
        )

    def unchanged(self, folder: str) -> None:
        """It was looked at again, and what was reviewed of it before still stands."""
        self._set(folder, "state = 'done', error = NULL, error_kind = NULL")

    def failed(self, folder: str, kind: str, error: str, *, final: bool, seconds: float) -> None:
        """An attempt has failed. Unless that is `final`, it is waiting for another."""
        state = "failed" if final else "waiting"
        self._set(
            folder,
            "state = ?, attempts = attempts + 1, error_kind = ?, error = ?, seconds = ?",
            state,
            kind,
            error,
            seconds,
        )

    def _set(self, folder: str, change: str, *values: Any) -> None:
        with self._db:
            self._db.execute(f"UPDATE repositories SET {change} WHERE folder = ?", (*values, folder))

    def spent(self) -> tuple[Decimal, int]:
        """US dollars and turns that this batch has spent on a model, at most."""
        found = self._db.execute("SELECT cost, turns FROM account").fetchone()
        return (Decimal(found[0]), int(found[1])) if found else (Decimal(0), 0)

    def keep_spent(self, cost: Decimal, turns: int) -> None:
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO account VALUES (1, ?, ?)", (str(cost), turns))

    # --- calls of a model in message batches ----------------------------------------------------------------------

    def call(self, key: str) -> tuple[str, Decimal] | None:
        """The message batch that has this call, and what of it is not settled (US dollars)."""
        found = self._db.execute("SELECT batch, held FROM calls WHERE key = ?", (key,)).fetchone()
        return (found[0], Decimal(found[1])) if found else None

    def begin_creation(self, held: dict[str, Decimal], moment: float) -> str:
        """These calls are about to be sent in one message batch: a name for it until `end_creation`. `moment` in
        seconds since 1970."""
        creation = f"creation {uuid.uuid4()}"
        rows = [(key, creation, str(most)) for key, most in held.items()]
        with self._db:
            self._db.execute("INSERT INTO creations VALUES (?, ?)", (creation, moment))
            self._db.executemany("INSERT OR REPLACE INTO calls VALUES (?, ?, ?)", rows)
        return creation

    def end_creation(self, creation: str, batch: str | None) -> None:
        """The server has them in this batch; None: in none, and they may be sent again."""
        with self._db:
            self._db.execute("DELETE FROM creations WHERE name = ?", (creation,))
            if batch is None:
                self._db.execute("DELETE FROM calls WHERE batch = ?", (creation,))
            else:
                self._db.execute("UPDATE calls SET batch = ? WHERE batch = ?", (batch, creation))

    def creation(self, name: str) -> tuple[float, set[str]] | None:
        """When it was begun and its calls, where it is not known what came of it."""
        found = self._db.execute("SELECT moment FROM creations WHERE name = ?", (name,)).fetchone()
        if found is None:
            return None
        keys = self._db.execute("SELECT key FROM calls WHERE batch = ?", (name,)).fetchall()
        return found[0], {key for (key,) in keys}

    def batches(self) -> set[str]:
        """Message batches that are known."""
        return {batch for (batch,) in self._db.execute("SELECT DISTINCT batch FROM calls")}

    def settle_call(self, key: str) -> None:
        with self._db:
            self._db.execute("UPDATE calls SET held = '0' WHERE key = ?", (key,))

    def forget_call(self, key: str) -> None:
        """It has no answer in its batch: who asks again needs another."""
        with self._db:
            self._db.execute("DELETE FROM calls WHERE key = ?", (key,))

    # --- what came out --------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """A row for every repository of the batch, in the order of the sources."""
        found = self._db.execute(
            "SELECT source, state, attempts, error_kind, error, row FROM repositories WHERE listed ORDER BY position"
        )
        return [_row(Source(**json.loads(source)), *rest) for source, *rest in found]

    def faults(self) -> Iterator[tuple[str, list[Fault]]]:
        """Folder and findings of every repository that has a report."""
        found = self._db.execute(
            "SELECT folder, faults FROM repositories WHERE listed AND state = 'done' ORDER BY position"
        )
        for folder, faults in found:
            yield folder, [Fault.model_validate(fault) for fault in json.loads(faults)]


def _row(source: Source, state: str, attempts: int, kind: str | None, error: str | None, text: str | None) -> Row:
    if state == "done" and text is not None:
        row = Row.model_validate_json(text)
        return row.model_copy(update={"owner": source.owner, "labels": source.labels, "attempts": attempts})
    shown = "failed" if state == "failed" else "waiting"
    return blank_row(source).model_copy(
        update={"state": shown, "error": error, "error_kind": kind, "attempts": attempts}
    )


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; what a power cut loses is done again
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in (0, VERSION):
        database.close()
        raise IndexRefused(f"{path} was made by another version of ml-engineer; give another folder")
    with database:
        database.execute(_TABLE)
        database.execute("CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, cost TEXT, turns INTEGER)")
        database.execute("CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, batch TEXT, held TEXT)")
        database.execute("CREATE TABLE IF NOT EXISTS creations (name TEXT PRIMARY KEY, moment REAL)")
        database.execute(f"PRAGMA user_version = {VERSION}")
    return database
