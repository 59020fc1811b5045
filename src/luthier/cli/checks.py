"""What the doctor looks at: the environment, and the files of a study. Looking changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luthier import __version__
from luthier.errors import StoreError

Level = Literal["ok", "note", "error"]

_PACKAGES = ("numpy", "scipy", "click", "rich", "cloudpickle", "psutil", "torch", "tensorboard", "cmaes", "moocore")
_LOW_BYTES = 2**30  # of free disk
_TRIAL = re.compile(r"\d{5,}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    level
        ``ok``; ``note``, worth knowing; or ``error``, something is broken.
    about
        What was looked at, in a word or two.
    text
        What was found, and the way out.
    """

    level: Level
    about: str
    text: str


def environment(directory: Path) -> Iterator[Finding]:
    """Look at versions, processors, GPUs, memory and disk."""
    import psutil

    from luthier.execute.machine import cores, gpus

    yield Finding("ok", "luthier", f"{__version__}, Python {platform.python_version()} on {platform.platform()}")
    found = {name: _version(name) for name in _PACKAGES}
    yield Finding("ok", "packages", ", ".join(f"{n} {v}" for n, v in found.items() if v))
    absent = ", ".join(n for n, v in found.items() if not v)
    if absent:
        yield Finding("ok", "optional", f"not installed: {absent}")
    yield Finding("ok", "sqlite", sqlite3.sqlite_version)
    memory = psutil.virtual_memory()
    yield Finding("ok", "processors", f"{cores()} for this process, {memory.available / 2**30:.1f} GB of memory free")
    devices = gpus()
    hidden = " (CUDA_VISIBLE_DEVICES is set)" if "CUDA_VISIBLE_DEVICES" in os.environ else ""
    yield Finding("ok", "GPUs", (", ".join(devices) or "none") + hidden)
    place = next(p for p in (directory.absolute(), *directory.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free
    level: Level = "ok" if free > _LOW_BYTES else "note"
    yield Finding(level, "disk", f"{free / 2**30:.1f} GB free in {place}")
    if not os.access(place, os.W_OK):
        yield Finding("error", "disk", f"{place} is not writable: choose a directory that you may write to")


def study_file(directory: Path) -> Iterator[Finding]:
    """Look at ``study.db``: whole, of a known version, with trials that can be read."""
    from luthier.store.sqlite import MIGRATIONS

    path = directory / "study.db"
    if not path.exists():
        yield Finding("error", "study file", f"there is no {path}")
        return
    try:
        torn, version = integrity(path)
    except sqlite3.Error as error:
        yield Finding("error", "study file", f"{path} cannot be read: {error}")
        return
    if torn:
        yield Finding("error", "study file", f"{path} is damaged: {'; '.join(torn[:3])}")
        return
    yield Finding(
        "ok", "study file", f"whole, {path.stat().st_size / 2**10:,.0f} kB, version {version} of {len(MIGRATIONS)}"
    )
    yield from _trials(directory)


def _trials(directory: Path) -> Iterator[Finding]:
    """Look whether the study's record and all its trials can be read."""
    from luthier.store.sqlite import SqliteStore

    try:
        store = SqliteStore(directory, readonly=True)
        try:
            record, trials = store.load(), store.trials()
        finally:
            store.close()
    except (StoreError, ValueError, TypeError, KeyError) as error:
        yield Finding("error", "study file", str(error))
        return
    if record is None:
        yield Finding("note", "record", "the study has no record: the command that made it writes it anew")
        return
    yield Finding("ok", "record", f"study {record.name!r} with {len(trials)} trials")
    yield from _trial_directories(directory, {trial.number for trial in trials})


def integrity(path: Path) -> tuple[list[str], int]:
    """Return what SQLite finds wrong with a file, and its schema version.

    Raises
    ------
    sqlite3.Error
        If it cannot be opened at all.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        said = [str(row[0]) for row in db.execute("PRAGMA integrity_check(10)")]
    finally:
        db.close()
    return ([] if said == ["ok"] else [line.replace("\n", " ") for line in said]), version


def driver(directory: Path) -> Finding:
    """Look who drives the study."""
    from luthier.store.lock import driver_of

    owner = driver_of(directory)
    if owner is None:
        return Finding("ok", "driver", "nobody drives it now")
    since = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(owner["since"])) if "since" in owner else ""
    return Finding("ok", "driver", f"process {owner.get('pid', '?')} on {owner.get('host', '?')} drives it{since}")


def torn_checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints whose content does not match their name."""
    from luthier.execute.checkpoint import files, whole

    found = (path for place in sorted(directory.glob("trials/*/checkpoints")) for path in files(place).values())
    return [path for path in found if not whole(path)]


def unfinished_files(directory: Path) -> list[Path]:
    """Return what killed writers left behind."""
    return sorted(directory.glob("trials/*/checkpoints/*.part"))


def checkpoints(directory: Path) -> Iterator[Finding]:
    """Look at the digest of every checkpoint, and for files that a killed writer left."""
    torn = torn_checkpoints(directory)
    count = sum(1 for _ in directory.glob("trials/*/checkpoints/*.ckpt"))
    yield Finding("ok", "checkpoints", f"{count - len(torn)} whole")
    for path in torn:
        yield Finding("error", "checkpoints", f"{path} is torn; the one before it is used")
    left = unfinished_files(directory)
    if left:
        yield Finding(
            "note", "checkpoints", f"{len(left)} unfinished .part files, such as {left[0]}: nobody reads them"
        )


def _trial_directories(directory: Path, known: set[int]) -> Iterator[Finding]:
    found = [p for p in sorted(directory.glob("trials/*")) if p.is_dir() and _TRIAL.fullmatch(p.name)]
    orphans = [p for p in found if int(p.name) not in known]
    if orphans:
        some = ", ".join(p.name for p in orphans[:5])
        yield Finding("note", "directories", f"{len(orphans)} belong to no trial of the study: trials/{some}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
