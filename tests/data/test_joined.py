"""Rows added for training only: the others stay where they were, and copies of them are left out."""

import numpy as np
import pytest

from luthier.data import from_arrays, join, look, split
from luthier.errors import DataError


def table(n=60, seed=0, **given):
    rng = np.random.default_rng(seed)
    return from_arrays(rng.normal(size=(n, 3)), rng.choice(["a", "b"], n), **given)


@pytest.mark.parametrize("seed", range(3))
def test_added_rows_are_trained_on_and_the_others_stay_where_they_were(seed):
    data, more = table(), table(25, seed=9)
    whole = join(data, more)
    before, after = split(data, seed=seed), split(whole, seed=seed)
    assert after.train.tolist() == [*before.train.tolist(), *range(60, 85)]
    assert after.valid.tolist() == before.valid.tolist()
    assert after.test.tolist() == before.test.tolist()
    assert whole.targets.tolist() == [*data.targets.tolist(), *more.targets.tolist()]


def test_two_additions_are_both_for_training():
    whole = join(join(table(), table(25, seed=9)), table(10, seed=8))
    parts = split(whole)
    assert set(range(60, 95)) <= set(parts.train.tolist())
    assert parts.test.tolist() == split(table()).test.tolist()


def test_a_test_set_that_came_along_stays_and_validation_is_taken_from_the_old_rows(tmp_path):
    for name, n, seed in (("train", 50, 0), ("test", 20, 1)):
        data = table(n, seed)
        lines = ["x,y,z,label", *(f"{r[0]},{r[1]},{r[2]},{t}" for r, t in zip(
            np.column_stack(list(data.inputs.values())), data.targets, strict=True
        ))]  # fmt: skip
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    from luthier.data import read

    data = read(tmp_path)
    more = from_arrays(
        dict(zip("xyz", np.random.default_rng(5).normal(size=(3, 15)), strict=True)), ["a", "b", "a"] * 5
    )
    parts, before = split(join(data, more)), split(data)
    assert parts.valid.tolist() == before.valid.tolist()
    assert parts.test.tolist() == before.test.tolist()
    assert set(range(70, 85)) <= set(parts.train.tolist())


def test_copies_of_rows_that_are_there_are_left_out_and_told():
    data = table()
    more = data.take([3, 5])
    with pytest.raises(DataError, match=r"2 rows to be added have the inputs of one in .* \(row 3 is row 3, row 5"):
        join(data, more)
    mixed = join(data, join(table(4, seed=7), more).take([0, 4, 1, 5]))
    assert len(mixed) == 62
    assert "left out" in mixed.notes[-1]


def test_rows_of_another_kind_are_refused():
    data = table()
    with pytest.raises(DataError, match="holds columns"):
        join(data, from_arrays(np.zeros((4, 2)), ["a", "b", "a", "b"]))
    with pytest.raises(DataError, match="'c' is none of the 2 classes"):
        join(data, from_arrays(np.eye(3), ["a", "b", "c"], task="tabular"))
    with pytest.raises(DataError, match="with classes only"):
        join(from_arrays(np.random.default_rng(0).normal(size=(30, 3)), np.linspace(0, 1, 30)), data)
    with pytest.raises(DataError, match="cannot be added"):
        join(data, from_arrays(["one text here", "another text"], ["a", "b"], task="text"))


def test_a_look_counts_what_is_for_training_only():
    found = str(look(join(table(), table(25, seed=9))))
    assert "85 (25 to train on only)" in found
    assert "no training row" not in found
