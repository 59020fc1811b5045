"""The SQLite store: one file, write-ahead log, one transaction per event, reports in groups.

Every transaction survives the death of the process. The ends of trials also survive a power cut: the disk confirms them
at once, or, where trials end faster than every 0.2 s, as a group.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luthier.errors import StoreDamaged, StoreError, StoreFull, StoreTooNew
from luthier.store.base import StudyRecord
from luthier.store.lock import DriverLock
from luthier.trial import ENDED, Curve, Failure, Resumes, State, Trial

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE study (id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, metrics TEXT NOT NULL,
        seed INTEGER NOT NULL, created REAL NOT NULL, command TEXT NOT NULL, settings TEXT NOT NULL) STRICT;
    CREATE TABLE spaces (version INTEGER PRIMARY KEY, space TEXT NOT NULL, added REAL NOT NULL) STRICT;
    CREATE TABLE sessions (id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, began REAL NOT NULL,
        seconds REAL NOT NULL) STRICT;
    CREATE TABLE trials (number INTEGER PRIMARY KEY, config TEXT NOT NULL, state TEXT NOT NULL, rank INTEGER,
        seed INTEGER NOT NULL, metrics TEXT NOT NULL, seconds REAL NOT NULL, "grant" INTEGER, total_steps INTEGER,
        parent INTEGER, origin TEXT NOT NULL, reason TEXT NOT NULL, failure TEXT, attempt INTEGER NOT NULL,
        started REAL, ended REAL, tags TEXT NOT NULL, note TEXT NOT NULL) STRICT;
    CREATE TABLE reports (trial INTEGER NOT NULL, step INTEGER NOT NULL, seconds REAL NOT NULL, metrics TEXT NOT NULL,
        PRIMARY KEY (trial, step)) STRICT, WITHOUT ROWID;
    """,
    "ALTER TABLE trials ADD COLUMN resumes TEXT NOT NULL DEFAULT '[]'",
)
"""Numbered migrations: entry k brings a file from version k to k + 1. Only ever append."""

_FIELDS = (
    "number", "config", "state", "seed", "metrics", "seconds", "grant", "total_steps", "parent", "origin", "reason",
    "failure", "attempt", "started", "ended", "tags", "note", "resumes",
)  # fmt: skip
_LATER = {"resumes": (2, "'[]'")}  # fields that files before a version lack, and what is read instead
_INSERT = "INSERT INTO trials VALUES (?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE = (
    'UPDATE trials SET config = ?, state = ?, seed = ?, metrics = ?, seconds = ?, "grant" = ?, total_steps = ?, '
    "parent = ?, origin = ?, reason = ?, failure = ?, attempt = ?, started = ?, ended = ?, tags = ?, note = ?, "
    "resumes = ? WHERE number = ?"
)
_RANK = "UPDATE trials SET rank = ? WHERE number = ? AND rank IS NULL"
_REPORT = "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?)"
_CUT = "DELETE FROM reports WHERE trial = ? AND step > ?"
_SESSION = "UPDATE sessions SET seconds = ? WHERE id = ?"
_WINDOW_S = 0.2  # a report waits at most about so long for its group, and the end of a trial for the disk
_GROUP = 256

_NOTHING = Curve()

Statement = tuple[str, tuple[Any, ...]]


class SqliteStore:
    """Keeps a study in ``study.db`` in a directory; several readers may open it while one process drives it.

    Parameters
    ----------
    directory
        The study's directory; made if it is not there.
    readonly
        Open for reading only; the study must exist. Otherwise this process becomes its driver.
    clock
        Seconds since some moment.

    Raises
    ------
    StudyBusy
        If another process drives it.
    StoreError
        If the study cannot be opened: `StoreDamaged`, `StoreTooNew` or `StoreFull`, or there is none to read.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, readonly: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = Path(directory) / "study.db"
        self.readonly = readonly
        self._clock = clock
        self._buffer: list[Statement] = []
        self._waiting_since = 0.0
        self._session: int | None = None
        if readonly and not self.path.exists():
            raise StoreError(f"there is no study in {directory}: no file {self.path.name} there")
        self._began = clock()
        self._ranked = 0
        self._synced = -math.inf  # when the disk last confirmed
        self._unsynced = False
        self._before = 0.0
        self._closed: float | None = None
        self._lock = None if readonly else _lock(self.path.parent)
        try:
            self._db = self._open()
            self._check()
        except BaseException as error:
            if self._lock:
                self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise self._told(error) from None
            raise

    def _open(self) -> sqlite3.Connection:
        mode = "ro" if self.readonly else "rwc"
        log = self.path.with_name(f"{self.path.name}-wal")
        if self.readonly and not os.access(self.path.parent, os.W_OK) and not log.exists():
            mode = "ro&immutable=1"  # a reader, too, would write an index of the log beside the file
        name = str(self.path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        db = sqlite3.connect(
            f"file:{name}?mode={mode}", uri=True, isolation_level=None, timeout=30, check_same_thread=False
        )
        if not self.readonly:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
        return db

    def _check(self) -> None:
        """Refuse newer and damaged files; bring older ones up to date."""
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreTooNew(
                f"{self.path} was written by a newer Luthier (file version {version}, this one knows up to "
                f"{len(MIGRATIONS)}): update with pip install -U luthier"
            )
        if version == 0 and (tables := self._db.execute("SELECT name FROM sqlite_master").fetchall()):
            raise StoreDamaged(f"{self.path} is an SQLite file, but not a study (it has the table {tables[0][0]})")
        self._version: int = version if self.readonly else len(MIGRATIONS)
        if self.readonly:
            if version == 0:
                raise StoreError(f"the study in {self.path.parent} is empty: it is being created, or was cut off")
            return
        if version == 0 and any(self.path.parent.glob("trials/*/*")):
            raise StoreDamaged(
                f"{self.path} is empty, but {self.path.parent / 'trials'} has trials of an earlier study: "
                "put the file back from a copy, or start in another directory"
            )
        if version and (bad := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise StoreDamaged(f"{self.path} is damaged ({bad}): {repair_advice(self.path.parent)}")
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            statements = [s for s in script.split(";") if s.strip()]
            self._write([(s, ()) for s in (*statements, f"PRAGMA user_version = {number}")], durable=True)

    # -- the record --------------------------------------------------------------------------------------------------

    def load(self) -> StudyRecord | None:
        """Return the study's record, None before `save`."""
        row = self._read("SELECT name, metrics, seed, created, command, settings FROM study")
        if not row:
            return None
        name, metrics, seed, created, command, settings = row[0]
        try:
            space = json.loads(self._read("SELECT space FROM spaces ORDER BY version DESC LIMIT 1")[0][0])
            pairs = tuple((metric, direction) for metric, direction in json.loads(metrics))
            told = tuple(json.loads(command))
            return StudyRecord(name, space, pairs, seed, created, told, json.loads(settings))
        except (ValueError, TypeError, IndexError) as error:
            raise self._torn(error) from None

    def save(self, record: StudyRecord) -> None:
        """Create the study, or replace its record; earlier spaces are kept."""
        before = self.load()
        texts = (json.dumps(record.metrics), record.seed, record.created, json.dumps(record.command))
        row = (record.name, *texts, json.dumps(record.settings))
        statements: list[Statement] = [("INSERT OR REPLACE INTO study VALUES (1, ?, ?, ?, ?, ?, ?)", row)]
        if before is None or before.space != record.space:
            added = (json.dumps(record.space), time.time())
            statements.append(("INSERT INTO spaces (space, added) VALUES (?, ?)", added))
        self._write(statements, durable=True)

    def spaces(self) -> list[dict[str, Any]]:
        """Return all spaces the study has had, oldest first."""
        return [json.loads(row[0]) for row in self._read("SELECT space FROM spaces ORDER BY version")]

    # -- trials ------------------------------------------------------------------------------------------------------

    def begin(self, trial: Trial) -> None:
        """Add a trial."""
        self._write([(_INSERT, _row(trial))])

    def report(self, number: int, step: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Add the metrics of one step; the same step again replaces it."""
        now = self._clock()
        if not self._buffer:
            self._waiting_since = now
        self._buffer.append((_REPORT, (number, step, seconds, json.dumps(metrics))))
        if len(self._buffer) >= _GROUP or now - self._waiting_since > _WINDOW_S:
            self._write([])

    def update(self, trial: Trial) -> None:
        """Replace what a trial says besides its curve; steps after its curve's last are dropped."""
        number, *rest = _row(trial)
        self._write([(_UPDATE, (*rest, number)), (_CUT, (number, trial.steps))])

    def end(self, trial: Trial) -> None:
        """Like `update`, for a trial that has ended; it keeps its place in the order of ending."""
        if not self._ranked:
            self._ranked = self._read("SELECT coalesce(max(rank), 0) FROM trials")[0][0]
        self._ranked += 1
        number, *rest = _row(trial)
        self._write([(_UPDATE, (*rest, number)), (_RANK, (self._ranked, number))], durable=True)

    def trials(self) -> list[Trial]:
        """Return all trials: the ended ones in their order of ending, then the others by number."""
        self.flush()
        columns = ", ".join(self._column(name) for name in _FIELDS)
        rows = self._read(f"SELECT {columns} FROM trials ORDER BY rank IS NULL, rank, number")  # noqa: S608 - constant
        curves: dict[int, Curve] = {}
        seconds: dict[int, float] = {}
        reports = self._read("SELECT trial, step, seconds, metrics FROM reports ORDER BY trial, step")
        try:
            for number, step, ran, metrics in reports:
                curves[number] = curves.get(number, _NOTHING).append(step, json.loads(metrics))
                seconds[number] = ran
            return [_trial(row, curves.get(row[0], _NOTHING), seconds.get(row[0], 0.0)) for row in rows]
        except (ValueError, TypeError, AttributeError) as error:
            raise self._torn(error) from None

    def _column(self, name: str) -> str:
        """How a field is read; a file that was opened for reading only is not brought up to date."""
        since, instead = _LATER.get(name, (1, ""))
        return f'"{name}"' if self._version >= since else instead

    def spent_seconds(self) -> float:
        """Return how long the study was driven, in all sessions."""
        if self._session is not None:
            return self._before + (self._clock() if self._closed is None else self._closed) - self._began
        return float(self._read("SELECT coalesce(sum(seconds), 0.0) FROM sessions")[0][0])

    def flush(self) -> None:
        """Write what is buffered, and let ends survive a power cut."""
        if self._buffer or self._unsynced:
            self._synced = -math.inf
            self._write([])

    def close(self) -> None:
        """Write what is buffered and let go; once is enough, even if it failed."""
        if self._closed is not None:
            return
        try:
            if not self.readonly:
                self.flush()
        finally:
            self._closed = self._clock()
            self._db.close()
            if self._lock:
                self._lock.release()

    # -- the file ----------------------------------------------------------------------------------------------------

    def _write(self, statements: list[Statement], *, durable: bool = False) -> None:
        """Run the buffered reports and these statements as one transaction; on an error none of them is."""
        if self.readonly:
            raise StoreError(f"{self.path} was opened for reading only")
        run, buffer, now = self._db.execute, self._buffer, self._clock()
        self._unsynced |= durable
        sync = self._unsynced and now - self._synced > _WINDOW_S
        try:
            if sync:
                run("PRAGMA synchronous = FULL")
            run("BEGIN IMMEDIATE")
            for sql, values in buffer:
                run(sql, values)
            for sql, values in statements:
                run(sql, values)
            if self._session is not None:
                run(_SESSION, (now - self._began, self._session))
            run("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                run("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._told(error) from None
            raise
        finally:
            if sync:
                run("PRAGMA synchronous = NORMAL")
        buffer.clear()
        if sync:
            self._unsynced, self._synced = False, now

    def drive(self) -> None:
        """Begin a session: from now on, time counts as spent."""
        self._before = self.spent_seconds()
        self._began = self._clock()
        self._write([("INSERT INTO sessions (pid, began, seconds) VALUES (?, ?, 0.0)", (os.getpid(), time.time()))])
        self._session = self._read("SELECT max(id) FROM sessions")[0][0]

    def _read(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._told(error) from None
        except UnicodeDecodeError as error:
            raise self._torn(error) from None

    def _torn(self, error: Exception) -> StoreDamaged:
        return StoreDamaged(f"{self.path} is damaged ({error}): {repair_advice(self.path.parent)}")

    def _told(self, error: sqlite3.Error) -> StoreError:
        """Say what an SQLite error means for the study."""
        text, code = str(error), getattr(error, "sqlite_errorname", "")
        if code in ("SQLITE_FULL",) or code.startswith("SQLITE_IOERR"):
            return StoreFull(
                f"cannot write {self.path}: {text}; what was acknowledged is safe. "
                "Free some space and run the same again: it continues"
            )
        if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            return StoreFull(f"cannot write {self.path}: {text}; choose a directory that you may write to")
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return self._torn(error)
        return StoreError(f"{self.path}: {text}")


def _lock(directory: Path) -> DriverLock:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFull(f"cannot make the directory {directory}: {error.strerror}") from None
    return DriverLock(directory)


def repair_advice(directory: Path) -> str:
    """Say what to do with a damaged study."""
    return f"'luthier doctor {directory} --repair' saves every trial that can still be read"


def _row(trial: Trial) -> tuple[Any, ...]:
    f, r = trial.failure, trial.resumes
    return (
        trial.number, json.dumps(trial.config), trial.state.value, trial.seed, json.dumps(trial.metrics), trial.seconds,
        trial.grant, trial.total_steps, trial.parent, trial.origin, trial.reason,
        None if f is None else json.dumps((f.kind, f.message, f.traceback)),
        trial.attempt, trial.started, trial.ended, json.dumps(trial.tags) if trial.tags else "[]", trial.note,
        json.dumps((r.memory, r.checkpoint, r.seconds, r.repeated)) if r.memory or r.checkpoint else "[]",
    )  # fmt: skip


def _trial(row: tuple[Any, ...], curve: Curve, seconds: float) -> Trial:
    values = dict(zip(_FIELDS, row, strict=True))
    values["state"] = State(values["state"])
    values["config"], values["metrics"] = json.loads(values["config"]), json.loads(values["metrics"])
    values["failure"] = None if values["failure"] is None else Failure(*json.loads(values["failure"]))
    values["tags"], values["resumes"] = tuple(json.loads(values["tags"])), Resumes(*json.loads(values["resumes"]))
    if values["state"] not in ENDED:
        values["seconds"] = max(values["seconds"], seconds)  # as of its last report
    return Trial(curve=curve, **values)
