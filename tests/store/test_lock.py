"""The driver's lock: one process drives, the others are told who; a dead driver blocks nobody."""

import errno
import fcntl
import os
import subprocess
import sys
import textwrap

import pytest

import luthier as lt
from luthier.errors import StoreError, StudyBusy
from luthier.store.lock import DriverLock, driver_of
from luthier.store.sqlite import SqliteStore

_HOLD = """
    import sys, time
    from pathlib import Path
    from luthier.store.lock import DriverLock
    lock = DriverLock(Path(sys.argv[1]))
    print("held", flush=True)
    sys.stdin.readline()
"""
_TRY = """
    import sys
    from pathlib import Path
    from luthier.errors import StudyBusy
    from luthier.store.lock import DriverLock
    try:
        DriverLock(Path(sys.argv[1]))
        print("got it")
    except StudyBusy as error:
        print(error)
"""


def _start(code, directory):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _try(directory):
    process = _start(_TRY, directory)
    return process.communicate()[0].strip()


@pytest.fixture
def holder(tmp_path):
    process = _start(_HOLD, tmp_path)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_driver_is_told_who_drives_since_when_and_how_to_read(tmp_path, holder):
    with pytest.raises(StudyBusy) as caught:
        DriverLock(tmp_path)
    message = str(caught.value)
    assert f"process {holder.pid} on " in message
    assert " since 20" in message
    assert f"luthier show {tmp_path}" in message
    assert f"luthier.load({str(tmp_path)!r})" in message
    assert driver_of(tmp_path)["pid"] == holder.pid


def test_a_file_system_without_locks_is_told_as_such(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    with pytest.raises(StoreError, match=r"cannot lock .*study\.lock: No locks available; the file system") as caught:
        DriverLock(tmp_path)
    assert not isinstance(caught.value, StudyBusy)
    monkeypatch.undo()
    DriverLock(tmp_path).release()


def test_asking_who_drives_takes_no_lock_so_a_driver_may_start_meanwhile(tmp_path, holder, monkeypatch):
    def refused(*_):
        raise AssertionError("the lock was taken")

    monkeypatch.setattr(fcntl, "lockf", refused)
    monkeypatch.setattr(fcntl, "flock", refused)
    assert driver_of(tmp_path)["pid"] == holder.pid
    holder.kill()
    holder.wait()
    assert driver_of(tmp_path) is None


def test_the_lock_of_a_dead_driver_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert driver_of(tmp_path) is None
    lock = DriverLock(tmp_path)
    assert driver_of(tmp_path)["pid"] == os.getpid()
    lock.release()
    assert driver_of(tmp_path) is None


def test_the_same_process_cannot_drive_twice(tmp_path):
    store = SqliteStore(tmp_path)
    with pytest.raises(StudyBusy, match="this process already drives"):
        SqliteStore(tmp_path)
    store.close()
    SqliteStore(tmp_path).close()


def test_asking_who_drives_does_not_drop_the_lock(tmp_path):
    """Closing any descriptor of a file drops all record locks that a process has on it."""
    store = SqliteStore(tmp_path)
    assert driver_of(tmp_path)["pid"] == os.getpid()
    with pytest.raises(StudyBusy):
        SqliteStore(tmp_path)
    assert f"process {os.getpid()}" in _try(tmp_path)
    store.close()
    assert _try(tmp_path) == "got it"


def test_a_study_can_be_read_in_the_process_that_drives_it_without_losing_the_lock(tmp_path):
    with lt.Study(lt.Space(x=lt.Float(0, 1)), minimize="loss", dir=tmp_path) as study:
        study.tell(study.ask(), {"loss": 1.0})
        with lt.load(tmp_path) as reader:
            assert len(reader.trials) == 1
        assert "drives the study" in _try(tmp_path)


def test_a_child_process_does_not_inherit_the_right_to_drive(tmp_path):
    lock = DriverLock(tmp_path)
    inherited = lock._file.fileno()
    subprocess.run([sys.executable, "-c", f"import os; os.close({inherited})"], pass_fds=[inherited], check=True)
    assert f"process {os.getpid()}" in _try(tmp_path)  # and its end does not free it
    lock.release()


def test_nobody_drives_where_there_is_nothing(tmp_path):
    assert driver_of(tmp_path) is None
    assert not list(tmp_path.iterdir())
