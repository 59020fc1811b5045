"""Files that are either whole or not there."""

import pytest

from luthier.durable import write_whole


def test_a_file_is_replaced_as_a_whole_and_its_directory_made(tmp_path):
    path = tmp_path / "new" / "file"
    assert write_whole(path, b"one") == path
    write_whole(path, memoryview(b"two"))
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("data", ["text is no bytes", None])
def test_what_cannot_be_written_leaves_the_old_file_and_nothing_beside(tmp_path, data):
    path = write_whole(tmp_path / "file", b"old")
    with pytest.raises(TypeError):
        write_whole(path, data)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_place_that_is_taken_by_a_directory_is_told_and_nothing_is_left(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_whole(tmp_path / "file", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
