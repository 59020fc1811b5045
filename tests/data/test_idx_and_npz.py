"""IDX, NPZ and NPY files, and paths that lead nowhere."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from luthier.data import memory, read
from luthier.data.idx import read_idx, write_idx
from luthier.errors import DataError, SettingError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 5, 4), dtype=np.uint8)
LABELS = (np.arange(20) % 3).astype(np.uint8)


@pytest.fixture
def mnist(tmp_path):
    for part, rows in (("train", slice(0, 14)), ("t10k", slice(14, 20))):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", IMAGES[rows])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", LABELS[rows])
    return tmp_path


shapes = npst.array_shapes(min_dims=1, max_dims=4, max_side=5)
kinds = st.sampled_from([np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds.flatmap(lambda kind: npst.arrays(kind, shapes)), st.booleans())
def test_what_is_written_as_idx_is_read_again(tmp_path, values, packed):
    path = tmp_path / "x"
    write_idx(path, values)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    found = read_idx(path)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_an_idx_file_is_what_its_format_says(tmp_path):
    write_idx(tmp_path / "x", np.array([[1, 2]], np.int16))
    assert (tmp_path / "x").read_bytes() == bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 2])
    with pytest.raises(DataError, match="got complex128"):
        write_idx(tmp_path / "x", np.array([1j]))


def test_train_and_t10k_files_are_a_given_split(mnist):
    dataset = read(mnist)
    assert (dataset.task, dataset.classes) == ("image", (0, 1, 2))
    np.testing.assert_array_equal(dataset.inputs[:, 0], IMAGES)
    np.testing.assert_array_equal(dataset.targets, LABELS)
    assert dataset.given.tolist() == ["train"] * 14 + ["test"] * 6
    assert (dataset.origins[0], dataset.origins[14]) == ("train 0", "t10k 0")


def test_one_pair_is_read_by_a_file_or_by_what_its_names_begin_with(mnist):
    for name in ("t10k", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        assert len(read(mnist / name)) == 6


def test_packed_idx_files_are_read(mnist):
    for path in list(mnist.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert len(read(mnist)) == 20


def test_damaged_idx_files_are_named(mnist):
    path = mnist / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte is damaged: shape \(6, 5, 4\) takes 136 bytes"):
        read(mnist)
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match="no IDX file"):
        read(mnist)


def test_images_and_labels_must_be_equally_many(mnist):
    write_idx(mnist / "t10k-labels-idx1-ubyte", LABELS[:5])
    with pytest.raises(DataError, match=r"6 images.*5 labels"):
        read(mnist)
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte has no file of labels"):
        read(mnist)


def test_several_sets_in_one_folder_must_be_named(mnist):
    write_idx(mnist / "emnist-train-images-idx3-ubyte", IMAGES)
    write_idx(mnist / "emnist-train-labels-idx1-ubyte", LABELS)
    with pytest.raises(DataError, match="several sets"):
        read(mnist)
    assert len(read(mnist / "emnist")) == 20


@pytest.mark.parametrize(
    "names",
    [
        ("x", "y"),
        ("images", "labels"),
        ("data", "target"),
        ("arr_0", "arr_1"),
        ("X_train", "y_train"),
        ("train_images", "train_labels"),
    ],
)
def test_arrays_in_npz_are_known_by_their_names(tmp_path, names):
    np.savez_compressed(tmp_path / "d.npz", **dict(zip(names, (IMAGES, LABELS), strict=True)))
    dataset = read(tmp_path / "d.npz")
    assert dataset.task == "image" and dataset.targets.tolist() == LABELS.tolist() and dataset.given is None


def test_train_and_test_arrays_are_a_given_split(tmp_path):
    np.savez(
        tmp_path / "d.npz", x_train=IMAGES[:14], y_train=LABELS[:14], x_test=IMAGES[14:], y_test=LABELS[14:], extra=1
    )
    dataset = read(tmp_path / "d.npz")
    assert dataset.given.tolist() == ["train"] * 14 + ["test"] * 6 and dataset.origins[-1] == "test row 5"
    assert any("1 array left out: extra" in note for note in dataset.notes)


def test_npy_files_side_by_side_are_one_data_set(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    np.save(tmp_path / "y.npy", LABELS)
    assert read(tmp_path).classes == read(tmp_path / "x.npy").classes == (0, 1, 2)


def test_a_table_in_npy_has_its_target_last(tmp_path):
    np.save(tmp_path / "t.npy", np.column_stack([np.arange(8.0), np.arange(8) / 3]))
    dataset = read(tmp_path / "t.npy")
    assert (dataset.task, dataset.goal, list(dataset.inputs)) == ("tabular", "number", ["x0"])
    assert dataset.targets.tolist() == (np.arange(8) / 3).tolist()


def test_clips_with_a_rate_are_audio(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 100), np.float32) + 0.1, y=[0, 1, 0, 1], rate=8000)
    dataset = read(tmp_path / "d.npz")
    assert (dataset.task, dataset.rate, len(dataset.inputs[0])) == ("audio", 8000, 100)


def test_rows_left_out_keep_the_others_in_place(tmp_path):
    x = np.zeros((6, 4, 4), np.float32)
    x[1] = np.nan
    np.savez(tmp_path / "d.npz", x_train=x[:4], y_train=[0, 1, 0, 1], x_test=x[4:], y_test=[0, 1])
    dataset = read(tmp_path / "d.npz")
    assert dataset.given.tolist() == ["train"] * 3 + ["test"] * 2 and dataset.origins[1] == "train row 2"


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.savez(tmp_path / "d.npz", x=np.array([Bomb()], dtype=object), y=[1])
    with pytest.raises(DataError, match=r"holds Python objects.*Luthier does not load them"):
        read(tmp_path / "d.npz")


@pytest.mark.parametrize("cut", [0, 10, 300])
def test_damaged_npz_files_are_named(tmp_path, cut):
    path = tmp_path / "d.npz"
    np.savez(path, x=IMAGES, y=LABELS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"d.npz is (damaged|empty)"):
        read(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": IMAGES, "y": LABELS[:5]}, "20 inputs but 5 targets"),
        ({"first": IMAGES, "second": LABELS}, "name the arrays x and y"),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES}, "test has no targets"),
        ({"x_train": IMAGES, "x_test": IMAGES[:, :2]}, "different shapes"),
        ({"x": np.zeros((3, 1, 2, 2, 2)), "y": [1, 2, 3]}, r"shape \(3, 1, 2, 2, 2\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "d.npz")


def test_a_path_that_leads_nowhere_gets_a_hint(mnist):
    mnist.joinpath("animals").mkdir()
    with pytest.raises(DataError, match="did you mean 'animals'"):
        read(mnist / "anmials")
    with pytest.raises(DataError, match="nor the folder"):
        read(mnist / "no" / "where")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.zip", b"PK", "unpack it first"),
        ("d.pkl", b"x", "any program"),
        ("d.xlsx", b"x", "save it as CSV"),
        ("d.bin", b"x", "of a kind that cannot be read"),
        ("d.csv", b"", "is empty"),
    ],
)
def test_files_of_other_kinds_are_refused_with_a_way_out(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_an_empty_folder_and_one_without_data_are_refused(tmp_path):
    with pytest.raises(DataError, match="is an empty folder"):
        read(tmp_path)
    (tmp_path / "thing.bin").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no data that can be read \(it holds thing.bin\)"):
        read(tmp_path)
    with pytest.raises(DataError, match="of task 'audio'"):
        read(tmp_path, task="audio")


def test_a_form_of_another_task_is_refused(mnist):
    form = read(mnist).form
    with pytest.raises(DataError, match="task 'image', and task='text' was asked for"):
        read(mnist, task="text", like=form)
    with pytest.raises(SettingError, match="no task 'images'; did you mean 'image'"):
        read(mnist, task="images")


def test_what_does_not_fit_into_memory_is_refused_with_the_size():
    with pytest.raises(DataError, match=r"the pictures would need 1000000.0 GB of memory.*: take fewer"):
        memory.check_fits(1e15, "the pictures", "take fewer")
