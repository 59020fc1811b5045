"""The doctor: what it finds, and what it saves."""

import os
import sqlite3

import pytest

import luthier as lt
from luthier.cli.repair import repair
from luthier.errors import StoreDamaged
from luthier.store.lock import DriverLock

PAGE = 4096


@pytest.fixture
def large(tmp_path):
    """A study of 150 trials with three reports each, in one file without a log."""
    directory = tmp_path / "large"
    with lt.Study(lt.Space(x=lt.Float(0, 1)), minimize="loss", dir=directory, seed=1, search="random") as study:
        for _ in range(150):
            trial = study.ask()
            for step in (1, 2, 3):
                study.report(trial, {"loss": 1.0 / step}, step=step)
            study.tell(trial)
    with sqlite3.connect(directory / "study.db") as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    return directory


def root(directory, table):
    db = sqlite3.connect(directory / "study.db")
    try:
        return db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    finally:
        db.close()


def leaves(directory, table):
    """Return the numbers of a table's pages below its root, in order."""
    data, top = (directory / "study.db").read_bytes(), root(directory, table)
    page = data[(top - 1) * PAGE : top * PAGE]
    assert page[0] in (2, 5), "the table has more than its root"
    cells = int.from_bytes(page[3:5], "big")
    starts = [int.from_bytes(page[12 + 2 * i : 14 + 2 * i], "big") for i in range(cells)]
    return [int.from_bytes(page[at : at + 4], "big") for at in starts] + [int.from_bytes(page[8:12], "big")]


def spoil(directory, *pages):
    with open(directory / "study.db", "r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(os.urandom(PAGE))


def test_all_is_well_with_a_sound_study(luthier, study):
    out = luthier("doctor", study).stdout
    assert "study 'study' with 12 trials" in out
    assert "9 whole" in out
    assert "ERROR" not in out


def test_the_environment_is_checked_without_a_study(luthier):
    out = luthier("doctor").stdout
    assert "numpy" in out
    assert "GPUs" in out
    assert "study file" not in out


def test_torn_checkpoints_orphans_and_unfinished_files_are_found(luthier, study):
    torn = next(study.glob("trials/00001/checkpoints/*.ckpt"))
    torn.write_bytes(b"torn")
    (torn.parent / "x.ckpt.1.part").write_bytes(b"")
    (study / "trials" / "00099").mkdir()
    result = luthier("doctor", study, code=4)
    assert f"{torn} is torn" in result.stdout
    assert "1 unfinished" in result.stdout
    assert "trials/00099" in result.stdout
    assert "--repair" in result.stderr
    luthier("doctor", study, "--repair")
    assert not torn.exists()
    assert not list(study.glob("trials/*/checkpoints/*.part"))
    luthier("doctor", study)


def test_a_damaged_study_is_exit_code_4_everywhere_and_says_who_helps(luthier, study):
    spoil(study, 1)
    for args in (["show", study], ["best", study], ["resume", study], ["doctor", study]):
        result = luthier(*args, code=4)
        assert "--repair" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_torn_first_page_costs_nothing(luthier, large):
    before = lt.load(large).trials
    spoil(large, 1)
    out = luthier("doctor", large, "--repair").stdout
    assert "rebuilt study.db with 150 trials and 450 reports" in out
    assert list(large.glob("study.db.damaged-*"))
    assert lt.load(large).trials == before


def test_a_torn_page_of_trials_costs_the_rows_on_it_and_no_others(luthier, large):
    before = {t.number: t for t in lt.load(large).trials}
    pages = leaves(large, "trials")
    assert len(pages) > 4
    spoil(large, pages[1], pages[3])
    out = luthier("doctor", large, "--repair").stdout
    after = {t.number: t for t in lt.load(large).trials}
    assert 150 * (len(pages) - 3) / len(pages) < len(after) < 150
    assert all(before[number] == trial for number, trial in after.items())
    assert f"{150 - len(after)} trials could not be read" in out


def test_a_torn_page_of_reports_costs_reports_only(luthier, large):
    pages = leaves(large, "reports")
    spoil(large, pages[len(pages) // 2])
    luthier("doctor", large, "--repair")
    study = lt.load(large)
    assert len(study.trials) == 150
    assert 0 < sum(len(t.curve) for t in study.trials) < 450
    assert all(t.metrics == {"loss": pytest.approx(1 / 3)} for t in study.trials)


def test_a_repaired_study_can_be_continued(luthier, large):
    spoil(large, leaves(large, "trials")[0])
    luthier("doctor", large, "--repair")
    with lt.Study(None, dir=large, search="random") as study:
        study.tell(study.ask(), 0.5)
    assert lt.load(large).trials[-1].number >= 150


def test_without_its_record_the_trials_are_kept_for_the_command_that_made_it(luthier, large):
    spoil(large, root(large, "study"))
    result = luthier("doctor", large, "--repair")
    assert "run the command that made the study" in result.stdout
    with lt.Study(lt.Space(x=lt.Float(0, 1)), minimize="loss", dir=large) as study:
        assert len(study.trials) == 150


def test_a_file_that_is_no_study_at_all_is_left_alone(study):
    (study / "study.db").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(StoreDamaged, match="nothing can be read"):
        repair(study)
    assert (study / "study.db").read_bytes().startswith(b"nothing of the kind")
    assert not list(study.glob("repair-*"))


def test_a_study_that_is_driven_is_not_repaired(luthier, study):
    lock = DriverLock(study)
    try:
        luthier("doctor", study, "--repair", code=3)
    finally:
        lock.release()


def test_a_newer_file_is_refused_in_words(luthier, study):
    with sqlite3.connect(study / "study.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert "newer Luthier" in luthier("show", study, code=4).stderr
