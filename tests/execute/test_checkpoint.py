"""Checkpoint files: whole or passed over, written beside and renamed, pruned, of any content."""

import errno
import os
import pickle
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.execute import checkpoint


def _write(directory, step, content):
    return checkpoint.write(directory, step, checkpoint.dumps(content))


@given(
    st.dictionaries(
        st.text(max_size=4), st.one_of(st.integers(), st.text(), st.binary(), st.floats(allow_nan=False)), max_size=4
    )
)
def test_what_is_written_is_read_back(content):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder) / "a" / "b", 3, content)
        assert checkpoint.whole(path)
        assert checkpoint.read(path) == content
        assert checkpoint.latest(Path(folder) / "a" / "b") == content


def test_arrays_keep_their_type_and_content(tmp_path):
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    read = checkpoint.read(_write(tmp_path, 1, {"w": array}))["w"]
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_the_latest_is_the_one_of_the_highest_step(tmp_path):
    for step in (3, 100_000, 20):
        _write(tmp_path, step, {"step": step})
    assert list(checkpoint.files(tmp_path)) == [3, 20, 100_000]
    assert checkpoint.latest(tmp_path) == {"step": 100_000}


def test_there_may_be_none(tmp_path):
    assert checkpoint.files(tmp_path / "nowhere") == {}
    assert checkpoint.latest(tmp_path / "nowhere") is None
    assert checkpoint.latest(tmp_path) is None


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_a_torn_one_is_passed_over_for_the_one_before(tmp_path, cut):
    _write(tmp_path, 1, {"step": 1})
    torn = _write(tmp_path, 2, {"step": 2})
    torn.write_bytes(torn.read_bytes()[:cut])
    assert not checkpoint.whole(torn)
    with pytest.raises(ValueError, match="is torn"):
        checkpoint.read(torn)
    assert checkpoint.latest(tmp_path) == {"step": 1}
    assert checkpoint.discard_torn(tmp_path) == [1]
    assert list(checkpoint.files(tmp_path)) == [1]


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_any_flipped_bit_is_noticed(position, bit):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder), 1, {"weights": list(range(50))})
        data = bytearray(path.read_bytes())
        data[position % len(data)] ^= 1 << bit
        path.write_bytes(bytes(data))
        assert not checkpoint.whole(path)


def test_pruning_keeps_what_it_is_told_and_sweeps_up_half_written_files(tmp_path):
    for step in range(1, 6):
        _write(tmp_path, step, {"step": step})
    (tmp_path / "00000009-0000000000000000.ckpt.123.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    checkpoint.prune(tmp_path, {2, 5, 77})
    assert list(checkpoint.files(tmp_path)) == [2, 5]
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".ckpt") == ["notes.txt"]


def test_other_files_are_no_checkpoints(tmp_path):
    for name in (
        "1-0123456789abcdef.ckpt",
        "00000001-0123456789abcdeg.ckpt",
        "00000001-0123456789abcdef.ckpt.part",
        "best.ckpt",
    ):
        (tmp_path / name).write_bytes(b"x")
        assert not checkpoint.whole(tmp_path / name)
    assert checkpoint.files(tmp_path) == {}


def test_a_write_that_fails_leaves_nothing_behind_and_the_old_one_alone(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
    try:
        _write(disk, 1, {"step": 1})
        with pytest.raises(OSError) as caught:
            _write(disk, 2, {"weights": os.urandom(200_000)})
        assert caught.value.errno == errno.ENOSPC
        assert [p.name for p in disk.iterdir()] == [p.name for p in checkpoint.files(disk).values()]
        assert checkpoint.latest(disk) == {"step": 1}
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_killed_writer_never_leaves_a_torn_latest(tmp_path):
    """Killed at 10 random instants, the latest checkpoint is always whole, and never older than one acknowledged."""
    code = """
        import os, sys
        from pathlib import Path
        from luthier.execute import checkpoint
        folder = Path(sys.argv[1])
        step = max(checkpoint.files(folder), default=0)
        while True:
            step += 1
            checkpoint.write(folder, step, checkpoint.dumps({"step": step, "weights": os.urandom(300_000)}))
            checkpoint.prune(folder, {step - 1, step})
            os.write(1, b"%d\\n" % step)
    """
    rng = np.random.default_rng(8)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), tmp_path], stdout=subprocess.PIPE)
        assert process.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        told = process.communicate()[0].split()
        latest = checkpoint.latest(tmp_path)
        assert latest["step"] == max(checkpoint.files(tmp_path))
        assert latest["step"] >= int(told[-1] if told else 1)


def test_torch_writes_and_reads_its_own(tmp_path):
    torch = pytest.importorskip("torch")
    path = _write(tmp_path, 1, {"weights": torch.arange(4.0), "step": 1})
    assert path.read_bytes()[:2] == b"PK"
    assert torch.equal(torch.load(path, weights_only=False)["weights"], torch.arange(4.0))
    assert checkpoint.read(path)["step"] == 1


def test_a_checkpoint_is_a_plain_pickle_where_torch_is_not_loaded(tmp_path):
    code = """if True:
        import sys
        from pathlib import Path
        from luthier.execute import checkpoint
        checkpoint.write(Path(sys.argv[1]), 1, checkpoint.dumps({"a": 1}))
    """
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    (path,) = checkpoint.files(tmp_path).values()
    assert pickle.loads(path.read_bytes()) == {"a": 1}
