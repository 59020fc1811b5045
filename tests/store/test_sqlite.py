"""The SQLite file: migrations, damage, full and read-only disks: a clear error, never silence."""

import os
import re
import shutil
import sqlite3
import subprocess
from dataclasses import replace

import numpy as np
import pytest

import luthier as lt
from luthier import Curve, Resumes, State, Trial
from luthier.errors import StoreDamaged, StoreError, StoreFull, StoreTooNew
from luthier.store import sqlite
from luthier.store.base import StudyRecord
from luthier.store.sqlite import MIGRATIONS, SqliteStore

_RECORD = StudyRecord(
    "s", {"parameters": {"x": {"type": "float", "low": 0.0, "high": 1.0}}}, (("loss", "minimize"),), 7, 1.0
)


def _fill(directory, n=60):
    """Write a study of n ended trials with two steps each, and close it."""
    store = SqliteStore(directory)
    store.save(_RECORD)
    for number in range(n):
        trial = Trial(number, {"x": number / n}, State.RUNNING, seed=number)
        store.begin(trial)
        for step in (1, 2):
            store.report(number, step, {"loss": 1.0 / (number + step)}, 0.1)
            trial = replace(trial, curve=trial.curve.append(step, {"loss": 1.0 / (number + step)}))
        store.end(replace(trial, state=State.DONE, metrics={"loss": 0.5}))
    store.close()
    return directory / "study.db"


def _read(directory, *, readonly):
    store = SqliteStore(directory, readonly=readonly)
    try:
        return store.load(), store.trials()
    finally:
        store.close()


# -- versions ----------------------------------------------------------------------------------------------------------


def test_the_file_carries_its_version(tmp_path):
    path = _fill(tmp_path, 1)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_newer_file_is_refused_in_words_and_left_alone(tmp_path, readonly):
    path = _fill(tmp_path, 3)
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 7}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match=r"newer Luthier.*pip install -U luthier"):
        SqliteStore(tmp_path, readonly=readonly)
    assert path.read_bytes() == before


def test_an_older_file_is_brought_up_to_date_with_all_its_trials(tmp_path, monkeypatch):
    """Every version that was ever written can be opened by this program."""
    _fill(tmp_path, 3)
    later = (*MIGRATIONS, "ALTER TABLE trials ADD COLUMN color TEXT; CREATE TABLE extra (a INTEGER) STRICT;")
    monkeypatch.setattr(sqlite, "MIGRATIONS", later)
    record, trials = _read(tmp_path, readonly=False)
    assert record == _RECORD
    assert [t.steps for t in trials] == [2, 2, 2]
    db = sqlite3.connect(tmp_path / "study.db")
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(later)
    assert db.execute("SELECT count(*) FROM extra").fetchone()[0] == 0
    db.close()


def test_a_file_of_the_first_version_is_read_as_it_is_and_brought_up_to_date_by_its_driver(tmp_path, monkeypatch):
    """That version knew nothing of resumes."""
    _fill(tmp_path, 3)
    db = sqlite3.connect(tmp_path / "study.db")
    db.execute("ALTER TABLE trials DROP COLUMN resumes")
    db.execute("PRAGMA user_version = 1")
    db.close()
    before = _read(tmp_path, readonly=True)
    assert [t.steps for t in before[1]] == [2, 2, 2]
    assert {t.resumes for t in before[1]} == {Resumes()}
    assert _read(tmp_path, readonly=False) == before
    store = SqliteStore(tmp_path)
    resumed = replace(before[1][0], resumes=Resumes(1, 2, 0.5, 3))
    store.update(resumed)
    store.close()
    assert _read(tmp_path, readonly=True)[1][0] == resumed


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = _fill(tmp_path, 3)
    broken = (*MIGRATIONS, "CREATE TABLE extra (a INTEGER) STRICT; CREATE TABLE trials (a INTEGER)")
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "MIGRATIONS", broken)
        with pytest.raises(StoreError, match="already exists"):
            SqliteStore(tmp_path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert db.execute("SELECT name FROM sqlite_master WHERE name = 'extra'").fetchall() == []
    db.close()
    assert len(_read(tmp_path, readonly=False)[1]) == 3


# -- damage ------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "study.db").write_bytes(b"These are my notes.\n" * 100)
    for readonly in (False, True):
        with pytest.raises(StoreDamaged, match="doctor"):
            _read(tmp_path, readonly=readonly)


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path):
    db = sqlite3.connect(tmp_path / "study.db")
    db.execute("CREATE TABLE songs (title TEXT)")
    db.close()
    with pytest.raises(StoreDamaged, match=r"not a study.*songs"):
        SqliteStore(tmp_path)
    db = sqlite3.connect(tmp_path / "study.db")
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]
    db.close()


def test_a_zero_length_file_beside_trials_is_not_taken_for_a_new_study(tmp_path):
    path = _fill(tmp_path, 3)
    (tmp_path / "trials" / "00000").mkdir(parents=True)
    (tmp_path / "trials" / "00000" / "log.txt").write_text("hello")
    path.write_bytes(b"")
    with pytest.raises(StoreDamaged, match=r"is empty, but .* has trials of an earlier study"):
        SqliteStore(tmp_path)
    with pytest.raises(StoreError, match="empty"):
        lt.load(tmp_path)


def test_a_zero_length_file_alone_is_a_study_cut_off_at_its_creation(tmp_path):
    (tmp_path / "study.db").touch()
    store = SqliteStore(tmp_path)
    assert store.load() is None
    store.close()


def test_there_is_no_study_to_read(tmp_path):
    with pytest.raises(StoreError, match="there is no study"):
        lt.load(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_file_cut_by_fifty_bytes_is_noticed(tmp_path):
    path = _fill(tmp_path)
    os.truncate(path, path.stat().st_size - 50)
    for readonly in (False, True):
        with pytest.raises(StoreDamaged, match=r"doctor .* --repair"):
            _read(tmp_path, readonly=readonly)


@pytest.mark.parametrize("kind", ["zeros", "noise", "half"])
def test_a_torn_page_is_noticed_whichever_it_is(tmp_path, kind):
    """Either an error that names the file, or the whole truth; never a study with less in it, nor a bare traceback."""
    whole = _fill(tmp_path / "whole")
    truth = _read(tmp_path / "whole", readonly=True)
    data, rng = whole.read_bytes(), np.random.default_rng(5)
    noticed = 0
    pages = len(data) // 4096
    assert pages > 5
    for page in range(pages):
        at = page * 4096
        junk = {"zeros": bytes(4096), "noise": rng.bytes(4096), "half": bytes(2048)}[kind]
        copy = tmp_path / f"{page}"
        copy.mkdir()
        (copy / "study.db").write_bytes(data[:at] + junk + data[at + len(junk) :])
        for readonly in (False, True):
            try:
                assert _read(copy, readonly=readonly) == truth
            except StoreError as error:
                noticed += str(copy) in str(error)
        shutil.rmtree(copy)
    assert noticed >= pages  # nearly all: a page may hold an index or a tail that nobody reads


# -- disks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tmpfs(tmp_path):
    """Mount small file systems; skip where that is not allowed."""
    mounted = []

    def mount(size):
        where = tmp_path / f"disk{len(mounted)}"
        where.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
        mounted.append(where)
        return where

    yield mount
    for where in mounted:
        subprocess.run(["umount", "-l", where], check=True)


def _remount_readonly(where):
    subprocess.run(["mount", "-o", "remount,ro", where], check=True)


def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(tmpfs):
    directory = tmpfs("300k")
    store = SqliteStore(directory)
    store.save(_RECORD)
    acknowledged = []

    def write_on():
        for number in range(10_000):
            trial = Trial(number, {"x": 0.5}, State.RUNNING, note="n" * 500)
            store.begin(trial)
            store.end(replace(trial, state=State.DONE, metrics={"loss": float(number)}))
            acknowledged.append(number)

    with pytest.raises(StoreFull, match="what was acknowledged is safe"):
        write_on()
    assert len(acknowledged) > 20
    try:
        store.close()
    except StoreFull:
        pass
    subprocess.run(["mount", "-o", "remount,size=4m", directory], check=True)
    record, trials = _read(directory, readonly=False)
    assert record == _RECORD
    assert [t.number for t in trials if t.state is State.DONE][: len(acknowledged)] == acknowledged


def test_a_study_on_a_full_disk_continues_once_there_is_space(tmpfs):
    directory = tmpfs("220k")
    space = lt.Space(x=lt.Float(0, 1))

    def objective(x):
        return {"loss": x, **{f"extra{i}": x for i in range(40)}}

    def tune():
        return lt.tune(objective, space, minimize="loss", budget=120, workers=0, dir=directory, seed=1, view="none")

    with pytest.raises(StoreFull, match=re.escape(str(directory))):
        tune()
    subprocess.run(["mount", "-o", "remount,size=8m", directory], check=True)
    study = tune()
    assert [t.state for t in study.trials] == [State.DONE] * 120
    assert [t.number for t in study.trials] == list(range(120))


def test_a_directory_that_cannot_be_written_is_told_at_once(tmpfs):
    directory = tmpfs("1m")
    _remount_readonly(directory)
    with pytest.raises(StoreFull, match="Read-only file system"):
        SqliteStore(directory / "new")
    with pytest.raises(StoreFull, match=r"cannot write .*study.lock.*choose a directory"):
        SqliteStore(directory)


def test_a_study_on_a_read_only_disk_can_be_read_but_not_driven(tmpfs):
    directory = tmpfs("1m")
    _fill(directory, 5)
    _remount_readonly(directory)
    assert len(_read(directory, readonly=True)[1]) == 5
    assert len(lt.load(directory).trials) == 5
    with pytest.raises(StoreFull, match="cannot write"):
        SqliteStore(directory)


def test_a_store_opened_for_reading_refuses_to_write(tmp_path):
    _fill(tmp_path, 1)
    store = SqliteStore(tmp_path, readonly=True)
    with pytest.raises(StoreError, match="for reading only"):
        store.begin(Trial(9, {}))
    store.close()


def test_a_failed_transaction_leaves_no_part_of_itself(tmp_path):
    store = SqliteStore(tmp_path)
    store.begin(Trial(0, {}, State.RUNNING))
    store.report(0, 1, {"loss": 1.0}, 0.0)
    with pytest.raises(StoreError):
        store.begin(Trial(0, {}))  # the number is taken
    assert [t.steps for t in store.trials()] == [1]  # the buffered report is written later, not lost
    store.close()


def test_odd_directory_names_are_no_trouble(tmp_path):
    for name in ("100% sure?", "a#b", "ünï cödé", "sp ace'quote"):
        store = SqliteStore(tmp_path / name)
        store.begin(Trial(0, {}))
        store.close()
        assert (tmp_path / name / "study.db").exists()
        assert len(_read(tmp_path / name, readonly=True)[1]) == 1


def test_a_long_curve_comes_back_in_order(tmp_path):
    store = SqliteStore(tmp_path)
    store.begin(Trial(0, {}, State.RUNNING))
    for step in range(1, 1001):
        store.report(0, step, {"loss": 1.0 / step}, step / 10)
    store.flush()
    (trial,) = store.trials()
    assert trial.curve.steps.tolist() == list(range(1, 1001))
    assert trial.seconds == 100.0
    store.update(replace(trial, curve=trial.curve.upto(10)))
    assert store.trials()[0].curve == Curve.upto(trial.curve, 10)
    store.close()
