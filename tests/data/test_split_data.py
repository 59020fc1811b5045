"""Splitting: nothing lost, nothing twice, classes alike, copies and groups together."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from luthier.data import Dataset, folds, from_arrays, split
from luthier.errors import DataError, SettingError


def table(labels, x=None, **more):
    x = np.arange(len(labels)) if x is None else x
    kinds = tuple(sorted(set(labels)))
    return Dataset("tabular", {"x": np.asarray(x, float)}, np.array(labels), kinds, **more)


def parts_of(parts):
    return parts.train, parts.valid, parts.test


labelled = st.lists(st.integers(0, 3), min_size=30, max_size=200)
shares = st.fixed_dictionaries({"valid": st.floats(0.1, 0.4), "test": st.floats(0.1, 0.4)})


@given(labelled, shares, st.integers(0, 5))
def test_every_row_is_on_one_side_and_each_class_alike_within_one(labels, wanted, seed):
    parts = split(table(labels), shares=wanted, seed=seed)
    assert sorted(np.concatenate(parts_of(parts)).tolist()) == list(range(len(labels)))
    y = np.array(labels)
    for part, share in (("valid", wanted["valid"]), ("test", wanted["test"])):
        rows = getattr(parts, part)
        assert (np.diff(rows) > 0).all()
        for label in set(labels):
            assert abs((y[rows] == label).sum() - share * (y == label).sum()) < 1.0 + 1e-9


@given(labelled, st.integers(2, 8), st.integers(0, 5))
def test_each_row_is_held_out_once_and_each_class_alike_within_one(labels, k, seed):
    pairs = folds(table(labels), k, seed=seed)
    assert len(pairs) == k
    assert sorted(np.concatenate([held for _, held in pairs]).tolist()) == list(range(len(labels)))
    y = np.array(labels)
    for train, held in pairs:
        assert len(train) + len(held) == len(labels) and not set(train) & set(held)
        for label in set(labels):
            assert abs((y[held] == label).sum() - (y == label).sum() / k) < 1.0 + 1e-9


def test_the_whole_is_divided_as_asked_for_with_many_small_classes():
    labels = [f"{i % 40:02}" for i in range(40 * 7)]
    parts = split(table(labels))
    assert (len(parts.valid), len(parts.test)) == (42, 42)
    assert all(abs(len(held) - 56) <= 1 for _, held in folds(table(labels), 5))


@given(st.lists(st.integers(0, 30), min_size=40, max_size=100), st.integers(0, 5))
def test_rows_with_the_same_inputs_stay_on_one_side(words, seed):
    assume(len(set(words)) > 2)
    texts = [f"text number {word}" for word in words]
    dataset = from_arrays(texts, ["a", "b"] * (len(texts) // 2) + ["a"] * (len(texts) % 2))
    sides = [{texts[row] for row in part} for part in parts_of(split(dataset, seed=seed))]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    for train, held in folds(dataset, 3, seed=seed):
        assert not {texts[row] for row in train} & {texts[row] for row in held}


@given(labelled, st.integers(6, 12), st.integers(0, 5))
def test_groups_stay_on_one_side(labels, count, seed):
    groups = [f"speaker {row * 13 % count}" for row in range(len(labels))]
    sides = [{groups[row] for row in part} for part in parts_of(split(table(labels), seed=seed, groups=groups))]
    assert sum(map(len, sides)) == len(set(groups)) and all(sides)


def test_groups_and_copies_that_meet_stay_together():
    x = [0.0, 1.0, 1.0, 2.0, *range(10, 40)]
    groups = ["a", "a", "b", "b", *range(30)]
    for seed in range(20):
        side = np.empty(34)
        for number, part in enumerate(parts_of(split(table([0, 1] * 17, x), seed=seed, groups=groups))):
            side[part] = number
        assert len(set(side[:4])) == 1


def test_a_small_world_is_not_kept_together_and_it_is_told():
    parts = split(table([0, 1] * 50, np.arange(100) % 4))
    assert (len(parts.valid), len(parts.test)) == (15, 15)
    assert any("repeat others by chance" in note for note in parts.notes)


def test_copies_stay_together_however_many_they_are():
    x = np.random.default_rng(0).normal(size=(50, 2)).repeat(2, axis=0)
    parts = split(from_arrays(x, ["a", "b"] * 50))
    for part in parts_of(parts):
        assert (x[part][::2] == x[part][1::2]).all()


def test_a_split_that_came_along_is_kept():
    labels = ["a", "b"] * 50
    came = np.array(["train"] * 70 + ["test"] * 30)
    parts = split(table(labels, given=came))
    assert parts.test.tolist() == list(range(70, 100)) and parts.valid.max() < 70 and len(parts.valid) == 10
    assert parts.notes[:2] == (
        "the test set is the one that came along (30 rows)",
        "the valid set is taken from the training rows",
    )
    came[:20] = "valid"
    whole = split(table(labels, given=came))
    assert [len(part) for part in parts_of(whole)] == [50, 20, 30]


@given(st.lists(st.floats(-1e6, 1e6), min_size=60, max_size=150, unique=True), st.integers(0, 5))
def test_a_regression_is_split_alike_by_tenths(y, seed):
    dataset = from_arrays(np.arange(len(y))[:, None] * 1.0, np.array(y), goal="number")
    parts = split(dataset, seed=seed)
    ranks = np.argsort(np.argsort(dataset.targets))
    for part in (parts.valid, parts.test):
        low, high = len(y) // 2 - len(y) * 0.1, len(y) // 2 + len(y) * 0.1
        assert low <= np.median(ranks[part]) + len(y) * 0.05 and np.median(ranks[part]) - len(y) * 0.05 <= high


def test_the_seed_decides():
    dataset = table([0, 1] * 100)
    again = [split(dataset, seed=seed).test.tolist() for seed in (0, 0, 1)]
    assert again[0] == again[1] != again[2]
    assert folds(dataset, 4, seed=3)[0][1].tolist() == folds(dataset, 4, seed=3)[0][1].tolist()


def test_a_class_of_one_example_is_trained_on_and_told():
    for seed in range(10):
        parts = split(table([0] * 30 + [1] * 30 + [2]), seed=seed)
        assert 60 in parts.train
        assert "no test row of 1 class with few rows: 2 (1)" in parts.notes


def test_three_rows_make_three_parts_and_two_do_not():
    assert [len(part) for part in parts_of(split(table([0, 1, 0])))] == [1, 1, 1]
    with pytest.raises(DataError, match="2 rows that may part"):
        split(table([0, 1]))
    assert len(split(table([0, 1]), shares={"test": 0.5}).test) == 1


def test_parts_can_be_left_out():
    parts = split(table([0, 1] * 50), shares={"train": 0.8, "test": 0.2})
    assert [len(part) for part in parts_of(parts)] == [80, 0, 20]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shares": {"tset": 0.2}}, "did you mean 'test'"),
        ({"shares": {"test": 1.2}}, r"lies in \[0, 1\)"),
        ({"shares": {"test": 0.5, "valid": 0.5}}, "something left for training"),
        ({"shares": {"train": 0.5, "test": 0.2}}, "sum to 1"),
        ({"groups": [1, 2]}, "100 rows, but 2 groups"),
    ],
)
def test_what_cannot_be_split_like_that_is_refused(arguments, message):
    with pytest.raises(SettingError, match=message):
        split(table([0, 1] * 50), **arguments)


def test_folds_need_rows():
    for k in (1, 5):
        with pytest.raises(SettingError, match="use k from 2 to 4"):
            folds(table([0, 1, 0, 1]), k)


def test_sequences_and_data_without_targets_are_split_at_random():
    pairs = Dataset("seq2seq", [f"a {i}" for i in range(40)], [f"b {i}" for i in range(40)])
    assert [len(part) for part in parts_of(split(pairs))] == [28, 6, 6]
    assert len(split(Dataset("image", np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1))).test) == 6
