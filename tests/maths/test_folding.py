"""Folds: every row is tested on once, classes are shared out evenly, groups stay together."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingError
from luthier.maths.folding import folds, strata_of


@given(st.lists(st.sampled_from("abcd"), min_size=7, max_size=80), st.integers(2, 7), st.integers(0, 9))
def test_every_row_is_tested_on_once_and_classes_are_shared_out_evenly(labels, k, seed):
    pairs = folds(labels, k, seed=seed)
    assert sorted(np.concatenate([test for _, test in pairs]).tolist()) == list(range(len(labels)))
    for train, test in pairs:
        assert sorted([*train, *test]) == list(range(len(labels)))
    sizes = [len(test) for _, test in pairs]
    assert max(sizes) - min(sizes) <= 1
    for label in set(labels):
        counts = [sum(labels[row] == label for row in test) for _, test in pairs]
        assert max(counts) - min(counts) <= 1


@given(st.lists(st.integers(0, 12), min_size=30, max_size=90), st.integers(2, 4), st.integers(0, 9))
def test_groups_are_never_torn(groups, k, seed):
    if len(set(groups)) < k:
        return
    labels = ["odd" if group % 2 else "even" for group in groups]
    pairs = folds(labels, k, seed=seed, groups=groups)
    assert sorted(np.concatenate([test for _, test in pairs]).tolist()) == list(range(len(labels)))
    for train, test in pairs:
        assert not {groups[row] for row in train} & {groups[row] for row in test}


def test_small_groups_leave_the_shares_nearly_equal():
    rng = np.random.default_rng(0)
    groups, labels = rng.integers(150, size=400), rng.choice(["rare", "common", "usual"], 400, p=[0.1, 0.4, 0.5])
    pairs = folds(labels, 5, seed=1, groups=groups)
    counts = np.array([[Counter(labels[test])[name] for name in ("rare", "common", "usual")] for _, test in pairs])
    assert (np.abs(counts - counts.mean(0)) <= 4).all()


def test_the_folds_of_a_regression_have_about_the_same_targets():
    y = np.random.default_rng(0).exponential(size=203)
    means = [y[test].mean() for _, test in folds(y, 7, seed=3)]
    assert np.std(means) < 0.5 * y.std() / np.sqrt(29)


def test_a_seed_gives_the_same_folds_and_another_seed_others():
    def shown(seed):
        return [test.tolist() for _, test in folds(40, 4, seed=seed)]

    assert shown(1) == shown(1) != shown(2)


def test_few_numbers_are_classes_and_many_fractions_are_tenths():
    assert len(set(strata_of([1.0, 2.0, 1.0]))) == 2
    assert len(set(strata_of(np.arange(200.0)))) == 200
    assert len(set(strata_of(np.arange(200.0) / 7))) == 10
    assert strata_of([None, "a", None, 3]).tolist().count(0) in (1, 2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda: folds(3, 4), "use fewer folds"),
        (lambda: folds(9, 1), "2 <= k"),
        (lambda: folds(4, 3, groups=[0, 0, 1, 1]), "2 groups"),
        (lambda: folds(4, 2, groups=[0, 1]), "got 2 groups"),
    ],
)
def test_impossible_folds_are_told(given, told):
    with pytest.raises(SettingError, match=told):
        given()
