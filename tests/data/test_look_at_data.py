"""Looking at data: what is found, and what is not."""

import json

import numpy as np
import pytest
from sklearn import datasets

from luthier.data import Dataset, from_arrays, look
from luthier.errors import DataError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def kinds(dataset):
    return {finding.kind for finding in look(dataset).findings}


def found(dataset, kind):
    (finding,) = [finding for finding in look(dataset).findings if finding.kind == kind]
    return finding


def noise(n=200, **columns):
    return {"noise": np.random.default_rng(99).normal(size=n), **columns}


@pytest.mark.parametrize(
    "load", [datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer, datasets.load_diabetes]
)
def test_nothing_is_wrong_with_well_known_tables(load):
    seen = look(from_arrays(*load(return_X_y=True)))
    assert {finding.severity for finding in seen.findings} <= {"note"} and seen.suspects == seen.useless == ()


def test_real_images_are_described():
    digits = datasets.load_digits()
    seen = look(from_arrays(digits.images.astype(int), digits.target))
    assert dict(seen.facts)["inputs"].startswith("8 x 8 pixels (height x width), gray, uint8")
    assert seen.balance[0] == ("0", 178) and sum(count for _, count in seen.balance) == 1797
    assert str(seen).splitlines()[0] == "arrays: images with 10 classes"


@pytest.mark.parametrize("y", [["a"] * 60, [1.5] * 60, [7] * 60])
def test_one_class_or_value_only_is_an_error(y):
    seen = look(from_arrays(noise(60), y))
    assert len(seen.errors) == 1
    with pytest.raises(DataError, match="nothing to"):
        seen.check()


def test_a_good_data_set_passes_the_check():
    look(from_arrays(noise(), ["a", "b"] * 100)).check()


def test_few_rows_are_told():
    assert found(from_arrays(noise(30), ["a", "b"] * 15), "few rows").severity == "warning"
    assert found(from_arrays(noise(2), ["a", "b"]), "few rows").severity == "error"


def test_tiny_and_uneven_classes_are_named():
    dataset = from_arrays(noise(), ["a"] * 150 + ["b"] * 49 + ["c"])
    assert found(dataset, "tiny classes").rows == (199,) and "'c' (1)" in found(dataset, "tiny classes").text
    assert "balanced accuracy" in found(dataset, "uneven classes").text


def test_classes_that_differ_in_spelling_only_are_named():
    assert "'Cat', 'cat'" in found(from_arrays(noise(90), ["Cat", "cat", "dog"] * 30), "spellings").text


def test_far_targets_are_told(rng):
    y = rng.normal(size=200)
    y[17] = 1e6
    assert found(from_arrays(noise(), y), "far targets").rows == (17,)


def test_numbers_near_the_largest_can_be_looked_at(rng):
    y = np.where(np.arange(200) % 2, 3e38, -3e38) * rng.uniform(0.5, 1.0, 200)
    assert dict(look(from_arrays(noise(big=-y), y)).facts)["target"].startswith("from -")


@pytest.mark.parametrize("classes", [True, False])
def test_the_target_among_the_inputs_is_found(classes, rng):
    y = rng.integers(0, 3, 200) if classes else rng.normal(size=200)
    other = np.array(["x", "y", "z"])[y] if classes else 3.0 * y - 1.0
    seen = look(from_arrays(noise(copy=other), y))
    assert seen.suspects == ("copy",) and {finding.kind for finding in seen.findings} == {"target among inputs"}


def test_a_column_that_alone_tells_the_target_is_found(rng):
    y = rng.integers(0, 2, 400)
    seen = look(from_arrays(noise(400, telling=y + rng.uniform(0, 0.9, 400), weak=y + rng.normal(size=400)), y))
    assert seen.suspects == ("telling",)
    number = rng.normal(size=400)
    seen = look(from_arrays(noise(400, telling=np.round(number, 3), weak=number + 0.3 * rng.normal(size=400)), number))
    assert seen.suspects == ("telling",)


def test_columns_of_no_use_are_found(rng):
    names = [f"name {i}" for i in range(200)]
    one = ["same"] * 200
    dataset = from_arrays(
        noise(name=names, row=np.arange(200), user_id=rng.permutation(5000)[:200], one=one), ["a", "b"] * 100
    )
    assert set(look(dataset).useless) == {"name", "row", "user_id", "one"}
    assert list(dataset.without(look(dataset).useless).inputs) == ["noise"]


@pytest.mark.parametrize(
    ("name", "values", "inputs"),
    [
        ("when", np.datetime64("2024-01-30") + np.arange(200), ["when.days", "when.month", "when.weekday"]),
        ("year", np.arange(1820, 2020), ["year"]),
    ],
)
def test_a_row_a_day_or_a_year_is_a_date_and_no_number_of_the_row(name, values, inputs, rng):
    dataset = from_arrays(noise(day=np.arange(200), **{name: values}), rng.normal(size=200))
    assert look(dataset).useless == ("day",)
    assert set(inputs) <= set(dataset.inputs)


def test_missing_values_are_counted(rng):
    holes = np.where(np.arange(200) < 150, np.nan, rng.normal(size=200))
    dataset = from_arrays(noise(holes=holes), ["a", "b"] * 100)
    assert found(dataset, "mostly missing").columns == ("holes",)
    assert dict(look(dataset).facts)["missing"] == "37.5% of the values, in 1 column"


def test_a_number_that_stands_for_missing_values_is_suspected():
    dataset = from_arrays(
        noise(age=np.where(np.arange(200) % 10 == 0, -999, 20 + np.arange(200) % 50)), ["a", "b"] * 100
    )
    assert found(dataset, "sentinel").columns == ("age",)
    assert "sentinel" not in kinds(from_arrays(noise(age=np.arange(200) % 100), ["a", "b"] * 100))


def test_copies_and_contradictions_are_found():
    texts = [f"text {i}" for i in range(100)]
    texts[10], texts[20] = texts[0], texts[1]
    dataset = from_arrays(texts, ["a", "b"] * 49 + ["b", "b"])
    assert found(dataset, "duplicates").rows == (10, 20)
    assert (
        found(dataset, "contradictions").rows == (20,) and "row 1 and row 20" in found(dataset, "contradictions").text
    )


def test_leaks_between_given_parts_are_found(rng):
    images = rng.integers(0, 256, (100, 1, 4, 4), dtype=np.uint8)
    images[90:95] = images[:5]
    labels = np.array([0, 1] * 50)
    labels[99] = 2
    dataset = Dataset("image", images, labels, (0, 1, 2), given=np.array(["train"] * 80 + ["test"] * 20))
    leak = found(dataset, "leak")
    assert leak.rows == (90, 91, 92, 93, 94) and "5 rows of the test set (25.0%)" in leak.text
    assert found(dataset, "class not in training").rows == (99,)
    assert "leak" not in kinds(Dataset("image", images[:90], labels[:90], (0, 1), given=dataset.given[:90]))


def test_blank_images_and_silent_recordings_are_named(rng):
    images = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    images[7] = 200
    assert found(from_arrays(images, [0, 1] * 30), "blank images").rows == (7,)
    clips = [rng.normal(scale=0.1, size=100) for _ in range(60)]
    clips[9] = np.zeros(100)
    clips[3] = rng.normal(scale=0.1, size=7000)
    dataset = from_arrays(clips, [0, 1] * 30, rate=100)
    assert found(dataset, "silent recordings").rows == (9,) and found(dataset, "long recordings").rows == (3,)
    assert dict(look(dataset).facts)["inputs"].endswith("100 samples a second")


def test_texts_and_sequences_are_described():
    texts = [f"one two three {i}" for i in range(60)]
    assert "4 words" in dict(look(from_arrays(texts, ["a", "b"] * 30)).facts)["inputs"]
    pairs = look(from_arrays(texts, [f"{i} of all these" for i in range(60)], task="seq2seq"))
    assert pairs.title == "arrays: texts into texts" and "targets" in dict(pairs.facts)


def test_images_written_as_a_table_are_suspected():
    digits = datasets.load_digits()
    assert "task='image'" in found(from_arrays(digits.data, digits.target), "pixels").text
    assert "pixels" not in kinds(from_arrays(digits.data - 8, digits.target))


def test_data_to_predict_can_be_looked_at():
    seen = look(from_arrays(noise(60)))
    assert seen.title == "arrays: a table without targets" and {f.kind for f in seen.findings} == {"no targets"}


def test_a_look_is_plain_values_and_plain_words():
    seen = look(from_arrays(noise(300), [f"class {i:02}" for i in range(30)] * 10))
    plain = json.loads(json.dumps(seen.to_dict()))
    assert set(plain) == {"title", "facts", "balance", "findings", "notes"} and len(plain["balance"]) == 30
    assert "and 10 classes more with 10 rows to 10 each" in str(seen)
    assert max(map(len, str(seen).splitlines())) < 160


def test_errors_come_first_then_warnings_then_notes():
    dataset = from_arrays({"one": [1.0] * 60, "two": list(range(30)) * 2}, ["a"] * 60)
    order = [finding.severity for finding in look(dataset).findings]
    assert order == sorted(order, key=("error", "warning", "note").index) and len(set(order)) > 1
