"""Data sets from memory."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import sparse
from sklearn import datasets

from luthier.data import Dataset, from_arrays
from luthier.errors import DataError, SettingError


def same(a, b):
    assert list(a.inputs) == list(b.inputs)
    for name in a.inputs:
        np.testing.assert_array_equal(a.inputs[name], b.inputs[name])
    np.testing.assert_array_equal(a.targets, b.targets)
    assert a.classes == b.classes and a.task == b.task


@given(npst.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 5)), elements=st.floats(-1e9, 1e9)))
def test_a_table_is_the_same_from_an_array_a_list_a_tensor_and_frames(x):
    y = np.arange(len(x)) % 2
    names = [f"x{i}" for i in range(x.shape[1])]
    expected = from_arrays(x, y)
    same(expected, from_arrays(x.tolist(), y.tolist()))
    same(expected, from_arrays(torch.tensor(x), torch.tensor(y)))
    same(expected, from_arrays(pd.DataFrame(x, columns=names), pd.Series(y)))
    same(expected, from_arrays(dict(zip(names, x.T, strict=True)), y))
    same(expected, from_arrays(pa.table(dict(zip(names, x.T, strict=True))), pd.DataFrame({"y": y})))


def test_real_tables_are_understood():
    iris = from_arrays(*datasets.load_iris(return_X_y=True, as_frame=True))
    assert (iris.task, iris.goal, iris.classes) == ("tabular", "classes", (0, 1, 2))
    diabetes = from_arrays(*datasets.load_diabetes(return_X_y=True))
    assert diabetes.goal == "number" and diabetes.classes is None and diabetes.targets.dtype == np.float64


@pytest.mark.parametrize(
    ("y", "goal", "classes"),
    [
        (["b", "a", "b", "a"], "classes", ("a", "b")),
        ([True, False, True, False], "classes", (False, True)),
        ([1.0, 2.0, 1.0, 2.0], "classes", (1, 2)),
        ([-1, 1, -1, 1], "classes", (-1, 1)),
        ([-5, -7, -5, -7], "classes", (-7, -5)),
        ([0.5, 1.0, 2.0, 3.0], "number", None),
        ([10, 20, 35, 70], "number", None),
        ([[0, 1], [1, 0], [0, 1], [1, 0]], "classes", (0, 1)),
        ([[1], [2], [1], [2]], "classes", (1, 2)),
    ],
)
def test_the_goal_follows_the_targets(y, goal, classes):
    dataset = from_arrays(np.arange(8.0).reshape(4, 2), np.array(y))
    assert (dataset.goal, dataset.classes) == (goal, classes)


def test_the_goal_can_be_asked_for():
    x = np.arange(8.0).reshape(4, 2)
    assert from_arrays(x, [1, 2, 1, 2], goal="number").targets.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert from_arrays(x, [10, 20, 35, 70], goal="classes").classes == (10, 20, 35, 70)
    with pytest.raises(DataError, match="holds text such as 'a'"):
        from_arrays(x, ["a", "b", "a", "b"], goal="number")


def test_rows_without_a_target_are_left_out_and_told():
    dataset = from_arrays(np.arange(8.0).reshape(4, 2), [1.5, np.nan, np.inf, 2.5])
    assert dataset.targets.tolist() == [1.5, 2.5] and dataset.origins == ("row 0", "row 3")
    assert "2 rows without a target left out" in dataset.notes


@pytest.mark.parametrize(
    ("shape", "taken"),
    [
        ((5, 8, 9), (5, 1, 8, 9)),
        ((5, 3, 8, 9), (5, 3, 8, 9)),
        ((5, 8, 9, 3), (5, 3, 8, 9)),
        ((5, 8, 9, 1), (5, 1, 8, 9)),
    ],
)
def test_images_have_their_channels_first(shape, taken):
    x = np.random.default_rng(0).integers(0, 256, shape)
    dataset = from_arrays(x, np.arange(5))
    assert dataset.task == "image" and dataset.inputs.shape == taken and dataset.inputs.dtype == np.uint8
    assert sorted(dataset.inputs.ravel()) == sorted(x.ravel())


def test_images_of_floats_stay_floats_and_broken_ones_are_left_out():
    x = np.random.default_rng(0).normal(size=(6, 8, 8))
    x[2, 0, 0], x[4, 1, 1] = np.nan, np.inf
    dataset = from_arrays(x, [0, 1, 0, 1, 0, 1])
    assert dataset.inputs.dtype == np.float32 and dataset.targets.tolist() == [0, 1, 1, 1]
    assert "2 images with NaN or infinity left out: row 2, row 4" in dataset.notes
    with pytest.raises(DataError, match="3 images with NaN or infinity: row 0, row 1, row 2"):
        from_arrays(np.full((3, 8, 8), np.nan))


def test_strings_are_texts_and_pairs_of_strings_are_sequences():
    labels = from_arrays(["good food", "bad food", "good"], ["pos", "neg", "pos"])
    assert labels.task == "text" and labels.inputs == ["good food", "bad food", "good"]
    into = [f"{i} and this is the answer" for i in range(3)]
    assert from_arrays(["a", "b", "c"], into).task == "seq2seq"
    pairs = from_arrays(np.array(["12", "007"]), ["21", "700"], task="seq2seq")
    assert pairs.inputs == ["12", "007"] and pairs.targets == ["21", "700"] and pairs.goal is None


def test_clips_of_different_lengths_are_audio():
    clips = [np.sin(np.arange(n) / 10).astype(np.float32) for n in (100, 50, 70)]
    dataset = from_arrays(clips, ["a", "b", "a"], rate=8000)
    assert (dataset.task, dataset.rate) == ("audio", 8000) and [len(clip) for clip in dataset.inputs] == [100, 50, 70]
    with pytest.raises(DataError, match="rate=16000"):
        from_arrays(clips, ["a", "b", "a"])


def test_a_clip_with_nan_or_nothing_is_left_out():
    clips = [np.zeros(10), np.full(5, np.nan), np.zeros(0), np.ones(3)]
    dataset = from_arrays(clips, ["a", "b", "a", "b"], rate=100)
    assert dataset.origins == ("row 0", "row 3") and "2 recordings left out, empty or with NaN" in dataset.notes[-1]


def test_whole_numbers_are_scaled_by_their_range():
    dataset = from_arrays([np.array([-32768, 0, 16384], np.int16), np.array([1], np.int16)], rate=10)
    np.testing.assert_allclose(dataset.inputs[0], [-1.0, 0.0, 0.5])


def test_loud_floats_are_divided_by_one_number_which_later_data_follows():
    dataset = from_arrays([np.array([100.0, -200.0]), np.array([50.0])], rate=10)
    assert [clip.tolist() for clip in dataset.inputs] == [[0.5, -1.0], [0.25]]
    later = from_arrays([np.array([100.0])], like=dataset.form)
    assert later.inputs[0].tolist() == [0.5]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), [1, 2], "3 inputs but 2 targets"),
        ([[1, 2], [3]], [1, 2], "different lengths"),
        (np.zeros((3, 1, 2, 2, 2)), [1, 2, 3], r"shape \(3, 1, 2, 2, 2\)"),
        (np.zeros(5), None, "reshape"),
        (np.zeros((0, 3)), None, "no rows"),
        (np.zeros((3, 2)), np.zeros((3, 2, 2)), r"shape \(3, 2, 2\)"),
        (np.zeros((3, 2)), [[1, 1], [0, 1], [1, 0]], "several classes in one row"),
        (np.zeros((3, 2)), [None, None, None], "holds no values"),
        (np.zeros((3, 2)), np.array(["2020-01-01"] * 3, dtype="datetime64"), "holds dates"),
        (sparse.eye(3).tocsr(), [1, 2, 3], "toarray"),
        (pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]), [1, 2], "two columns are named 'a'"),
        ({"a": [1, 2], "b": [1]}, [1, 2], "column 'b' has 1 rows"),
        ({}, [1, 2], "no columns"),
        (["", " "], ["a", "b"], "every text is empty"),
        (np.zeros((2, 2)), pd.DataFrame({"a": [1, 2], "b": [1, 2]}), "2 columns"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(x, y, message):
    with pytest.raises(DataError, match=message):
        from_arrays(x, y)


@pytest.mark.parametrize(
    ("x", "task", "message"),
    [
        ("photos", "auto", "luthier.data.read"),
        (None, "auto", "luthier.data.read"),
        ([], "auto", "no rows"),
        (np.zeros((0, 4, 4)), "auto", "no rows"),
        (np.zeros((3, 100)), "audio", "rate=16000"),
        (["a", "b"], "image", r"got \(2,\)"),
        (["a", "b"], "tabular", "x holds strings"),
        (np.zeros((3, 4, 4)), "tabular", "tables have 2 axes"),
        (np.zeros((3, 5)), "image", r"got \(3, 5\)"),
        ({"a": [1.0, 2.0], "b": ["x", "y"], "c": [1, 2], "d": [1, 2]}, "image", "column 'b' holds no numbers"),
        ({"a": [1.0, 2.0]}, "audio", "holds no recordings"),
    ],
)
def test_data_of_another_task_is_refused_with_a_reason(x, task, message):
    with pytest.raises(DataError, match=message):
        from_arrays(x, task=task)


def test_a_target_can_be_named_among_the_columns():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0, 1, 0], "split": ["train", "train", "test"]})
    dataset = from_arrays(frame, "b")
    assert list(dataset.inputs) == ["a"] and dataset.targets.tolist() == [0, 1, 0] and dataset.form["target"] == "b"
    assert dataset.given.tolist() == ["train", "train", "test"]
    with pytest.raises(DataError, match="no target column 'bb'"):
        from_arrays(frame, "bb")
    with pytest.raises(DataError, match="y='b' names a column, but x has no named columns"):
        from_arrays(np.zeros((3, 2)), "b")


def test_one_number_is_no_target():
    with pytest.raises(DataError, match="y is 5"):
        from_arrays(np.zeros((3, 2)), 5)


def test_rows_of_pixels_are_images_if_asked_for():
    x, y = datasets.load_digits(return_X_y=True)
    flat = from_arrays(x, y, task="image")
    np.testing.assert_array_equal(flat.inputs[:, 0], datasets.load_digits().images)
    frame = from_arrays(pd.DataFrame(x.astype(int)), y, task="image")
    assert frame.inputs.dtype == np.uint8 and (frame.inputs == flat.inputs).all()


def test_a_class_of_which_no_row_is_left_is_no_class():
    assert from_arrays(["a text", None, "another"], ["x", "y", "z"]).classes == ("x", "z")
    images = np.ones((4, 4, 4)) * np.array([1.5, np.nan, 1.5, 1.5])[:, None, None]
    assert from_arrays(images, ["x", "y", "z", "z"]).classes == ("x", "z")


def test_no_row_of_later_data_is_left_out():
    texts = from_arrays(["a", "b"], ["x", "y"])
    later = from_arrays(["a", None], [None, "x"], like=texts.form)
    assert later.inputs == ["a", ""] and later.targets is None and "1 row without one" in later.notes[-1]
    images = from_arrays(np.full((2, 4, 4), 0.5), ["x", "y"])
    with pytest.raises(DataError, match="1 image with NaN or infinity: row 1"):
        from_arrays(np.full((2, 4, 4), [[[0.5]], [[np.nan]]]), like=images.form)
    clips = from_arrays([np.ones(3), np.ones(2)], ["x", "y"], rate=10)
    with pytest.raises(DataError, match="1 recording empty or with NaN: row 0"):
        from_arrays([np.zeros(0), np.ones(2)], like=clips.form)


def test_columns_that_are_left_out_leave_the_form_too():
    dataset = from_arrays({"a": [1.0, 2.0], "b": [3.0, 4.0]}).without(["a"])
    assert list(dataset.inputs) == ["b"] and dataset.form["columns"] == {"b": "number"}


def test_a_misspelt_task_or_goal_gets_a_hint():
    with pytest.raises(SettingError, match="did you mean 'tabular'"):
        from_arrays([[1.0]], task="tabluar")
    with pytest.raises(SettingError, match="did you mean 'number'"):
        from_arrays([[1.0]], goal="numbers")


def test_columns_of_every_kind_of_pandas():
    frame = pd.DataFrame(
        {
            "number": [1.5, None, 3.0],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "word": ["a", None, "b"],
            "level": pd.Categorical([3, 1, 3]),
            "when": pd.to_datetime(["2020-01-01", None, "2021-05-05"]),
        }
    )
    dataset = from_arrays(frame, [0, 1, 0])
    kinds = {"number": "number", "nullable": "number", "flag": "boolean", "word": "category", "level": "category"}
    assert dataset.form["columns"] == {**kinds, "when": "date"}
    assert dataset.inputs["word"].tolist() == ["a", None, "b"] and dataset.inputs["level"].tolist() == ["3", "1", "3"]
    assert np.isnan(dataset.inputs["nullable"][1]) and dataset.inputs["when.month"][2] == 5.0
    assert [name for name in dataset.inputs if name.startswith("when")] == ["when.days", "when.month", "when.weekday"]


def test_later_data_is_read_like_the_first():
    first = from_arrays({"a": ["1", "x", "y"], "b": ["1", "2", "3"]}, [0, 1, 0])
    later = from_arrays({"b": ["4", "?"], "a": ["2", "z"], "more": [1, 2]}, like=first.form)
    assert list(later.inputs) == ["a", "b"] and later.inputs["a"].tolist() == ["2", "z"]
    assert later.inputs["b"][0] == 4.0 and np.isnan(later.inputs["b"][1]) and later.targets is None
    with pytest.raises(DataError, match="no column 'b'"):
        from_arrays({"a": ["1"]}, like=first.form)
    with pytest.raises(DataError, match="1 column, 2 are needed"):
        from_arrays([[1.0]], like=first.form)


def test_later_images_have_the_same_shape():
    form = from_arrays(np.zeros((2, 8, 8), np.uint8), [0, 1]).form
    assert len(from_arrays(np.zeros((1, 8, 8), np.uint8), like=form)) == 1
    assert from_arrays(np.full((1, 8, 8), 7.0), like=form).inputs.dtype == np.uint8
    with pytest.raises(DataError, match=r"pixels from 0 to 255 are needed, got 0.5"):
        from_arrays(np.full((1, 8, 8), 0.5), like=form)
    with pytest.raises(DataError, match=r"\(1, 8, 8\) \(C, H, W\) are needed"):
        from_arrays(np.zeros((1, 9, 8), np.uint8), like=form)


@given(st.integers(1, 30), st.data())
def test_taking_rows_takes_them_from_every_part(n, data):
    rows = data.draw(st.lists(st.integers(0, n - 1)))
    whole = Dataset("tabular", {"a": np.arange(n) * 1.0}, np.arange(n), tuple(range(n)), given=np.array(["train"] * n))
    part = whole.take(rows)
    assert part.inputs["a"].tolist() == rows and part.targets.tolist() == rows and len(part.given) == len(rows)
    assert part.origins == tuple(f"row {row}" for row in rows) or not rows
    mask = np.isin(np.arange(n), rows)
    assert whole.take(mask).targets.tolist() == sorted(set(rows))


def test_a_data_set_checks_its_parts():
    with pytest.raises(DataError, match="3 inputs but 2 targets"):
        Dataset("text", ["a", "b", "c"], np.array([1, 2]))
    with pytest.raises(DataError, match="did you mean 'size'"):
        Dataset("tabular", {"size": np.zeros(2)}).without(["sise"])
    with pytest.raises(DataError, match="no column of arrays would be left"):
        Dataset("tabular", {"size": np.zeros(2)}).without(["size"])
    assert Dataset("text", ["a", "b"], np.array(["x", "y"]), ("x", "y")).labels().tolist() == [0, 1]


@pytest.mark.parametrize("labels", [["1", "0"], ["true", "false"], ["007", "8"]])
def test_labels_that_are_strings_stay_strings(labels):
    for y in (labels * 10, np.array(labels * 10), np.array(labels * 10, dtype=object)):
        dataset = from_arrays(np.arange(40.0).reshape(20, 2), y)
        assert dataset.targets.tolist() == labels * 10
        assert dataset.classes == tuple(sorted(labels))


def test_numbers_written_as_strings_can_be_predicted():
    dataset = from_arrays(np.arange(40.0).reshape(20, 2), [f"{n}.5" for n in range(20)])
    assert dataset.goal == "number" and dataset.targets[3] == 3.5


def test_an_array_keeps_its_width_where_a_column_is_left_out():
    x = np.column_stack([np.full(20, np.nan), np.arange(20.0), np.arange(20.0) ** 2])
    first = from_arrays(x, [0, 1] * 10)
    later = from_arrays(x, like=first.without(["x1"]).form)
    assert list(later.inputs) == ["x2"]
    np.testing.assert_array_equal(later.inputs["x2"], x[:, 2])
    with pytest.raises(DataError, match="2 columns, 3 are needed"):
        from_arrays(x[:, 1:], like=first.form)
