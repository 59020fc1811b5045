"""Rebuilding a damaged study file from every row that can still be read.

Rows are read one by one, from both ends of each table towards the damage and then by their keys, so that a torn page
costs the rows on it and no others. A torn first page, which holds nothing of the study itself but without which SQLite
opens nothing, is replaced by that of an empty study.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from luthier.cli.checks import integrity
from luthier.errors import StoreDamaged
from luthier.store.sqlite import MIGRATIONS, SqliteStore
from luthier.trial import Failure, State

_BEYOND = 10_000  # keys probed past the last one known
_SIDES = ("", "-wal", "-shm")
_JSON = {"metrics", "command", "settings", "space", "config", "tags", "resumes"}


@dataclass(slots=True)
class Salvage:
    """What was saved of a damaged study.

    Parameters
    ----------
    trials, reports
        How many rows were saved.
    lost
        Numbers of trials that are known to have been there and could not be read.
    record
        Whether the study's own record was saved.
    kept
        Where the damaged file is now.
    """

    trials: int = 0
    reports: int = 0
    lost: list[int] = field(default_factory=list)
    record: bool = False
    kept: Path | None = None


def repair(directory: Path) -> Salvage:
    """Rebuild ``study.db`` in a directory and keep the damaged file beside it.

    The caller holds the study's `luthier.store.lock.DriverLock`.

    Raises
    ------
    StoreDamaged
        If nothing can be read; the files are then as they were.
    """
    path = directory / "study.db"
    with tempfile.TemporaryDirectory(dir=directory, prefix="repair-") as place:
        copy, fresh = Path(place) / "copy.db", Path(place) / "study.db"
        for side in ("", "-wal"):
            if Path(f"{path}{side}").exists():
                shutil.copyfile(f"{path}{side}", f"{copy}{side}")
        _make_empty(fresh)
        if not _opens(copy):
            _transplant_first_page(copy, fresh)
        with closing(sqlite3.connect(copy)) as old, closing(sqlite3.connect(fresh, isolation_level=None)) as new:
            new.execute("BEGIN")
            salvage = _copy_rows(old, new, directory)
            new.execute("COMMIT")
        torn, _ = integrity(fresh)
        if torn or not (salvage.trials or salvage.record):
            raise StoreDamaged(
                f"nothing can be read from {path}: put it back from a copy, or start in another directory"
            )
        if salvage.record:
            SqliteStore(Path(place), readonly=True).trials()  # what cannot be read again does not replace anything
        salvage.kept = _exchange(path, fresh)
    return salvage


def _make_empty(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for number, script in enumerate(MIGRATIONS, start=1):
            db.executescript(f"{script}; PRAGMA user_version = {number};")


def _opens(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path)) as db:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
            version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error:
        return False
    return {"study", "trials", "reports"} <= tables and 0 < version <= len(MIGRATIONS)


def _transplant_first_page(damaged: Path, empty: Path) -> None:
    """Put the first page of an empty study into a damaged file; its tables begin on the same pages."""
    page = empty.read_bytes()[:4096]
    size = struct.unpack(">H", page[16:18])[0]
    pages = damaged.stat().st_size // size
    head = bytearray(page[:size])
    head[28:32] = struct.pack(">I", pages)
    head[32:40] = bytes(8)  # no free pages are known
    head[92:96] = head[24:28]  # the number of pages is to be believed
    with open(damaged, "r+b") as file:
        file.write(head)


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, directory: Path) -> Salvage:
    salvage, old.row_factory = Salvage(), sqlite3.Row
    salvage.record = _copy_table(old, new, "study", "id", 1) > 0
    salvage.record &= _copy_table(old, new, "spaces", "version", _BEYOND) > 0
    if not salvage.record:
        new.execute("DELETE FROM study")
    _copy_table(old, new, "sessions", "id", _BEYOND)
    known = {int(p.name) for p in directory.glob("trials/*") if p.name.isdigit()}
    known.update(row["trial"] for row in _both_ways(old, "reports", "trial") if isinstance(row["trial"], int))
    numbers = [row["number"] for row in _both_ways(old, "trials", "number")]
    last = max([*known, *(number for number in numbers if isinstance(number, int))], default=0)
    salvage.trials = _copy_table(old, new, "trials", "number", last + _BEYOND)
    saved = {row[0] for row in new.execute("SELECT number FROM trials")}
    salvage.lost = sorted(known - saved)
    for number in sorted(saved):
        for row in {row["step"]: row for row in _both_ways(old, "reports", "step", f"WHERE trial = {number}")}.values():
            salvage.reports += _insert(new, "reports", row)
    return salvage


def _copy_table(old: sqlite3.Connection, new: sqlite3.Connection, table: str, key: str, last: int) -> int:
    """Copy the readable, sound rows of a table; return how many."""
    found = {row[key]: row for row in _both_ways(old, table, key)}
    if _rows(old, table)[1]:
        missing = (n for n in range(last + 1) if n not in found)
        found |= {row[key]: row for n in missing for row in _rows(old, table, f"WHERE {key} = {n}")[0]}
    return sum(_insert(new, table, found[number]) for number in sorted(found))


def _both_ways(db: sqlite3.Connection, table: str, key: str, where: str = "") -> list[sqlite3.Row]:
    """Return the rows from the first one up to the damage, then from the last one down to it."""
    up, torn = _rows(db, table, f"{where} ORDER BY {key}")
    return up + (_rows(db, table, f"{where} ORDER BY {key} DESC")[0] if torn else [])


def _rows(db: sqlite3.Connection, table: str, rest: str = "") -> tuple[list[sqlite3.Row], bool]:
    """Return the rows of a table as far as they can be read, and whether there was damage."""
    rows: list[sqlite3.Row] = []
    try:
        for row in db.execute(f"SELECT * FROM {table} {rest}"):  # noqa: S608 - our own names
            rows.append(row)  # noqa: PERF402 - what was read before an error counts
    except (sqlite3.Error, UnicodeDecodeError):
        return rows, True
    return rows, False


def _insert(db: sqlite3.Connection, table: str, row: sqlite3.Row) -> bool:
    """Insert a row by the names of its columns, if it is sound."""
    try:
        for name in _JSON & set(row.keys()):
            json.loads(row[name])
        if table == "trials":
            State(row["state"])
            _ = row["failure"] is None or Failure(*json.loads(row["failure"]))
        columns = ", ".join(f'"{name}"' for name in row.keys())  # noqa: SIM118 - a Row iterates over its values
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(row))  # noqa: S608 - our own names
    except (ValueError, TypeError, IndexError, sqlite3.Error):
        return False
    return True


def _exchange(path: Path, fresh: Path) -> Path:
    """Put the rebuilt file in place; the damaged one gets a name with the date."""
    kept = Path(f"{path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for side in _SIDES[:2]:
        if Path(f"{path}{side}").exists():
            os.replace(f"{path}{side}", f"{kept}{side}")
    Path(f"{path}-shm").unlink(missing_ok=True)
    os.replace(fresh, path)
    return kept
