"""Scores, probabilities and labels: what passes the door, and what is said where something does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from luthier.errors import SettingError
from luthier.maths.scores import names_of, places_of, probabilities_of, scores_of, share_interval, softmax


@given(arrays(np.float64, (4, 3), elements=st.floats(-1e4, 1e4)), st.floats(-1e4, 1e4))
def test_softmax_gives_probabilities_and_does_not_mind_a_shift(scores, shift):
    found = softmax(scores)
    np.testing.assert_allclose(found.sum(1), 1.0)
    assert (found >= 0).all()
    np.testing.assert_allclose(softmax(scores + shift), found, atol=1e-9)


def test_softmax_is_scipys():
    from scipy.special import softmax as theirs

    scores = np.random.default_rng(0).normal(size=(20, 7)) * 30
    np.testing.assert_allclose(softmax(scores), theirs(scores, axis=1), rtol=1e-12)


def test_the_log_of_a_zero_probability_is_a_score_like_others():
    assert np.isfinite(scores_of([[0.0, -np.inf]])).all()
    assert softmax([[0.0, -np.inf]])[0, 1] < 1e-15


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([[1.0, np.nan], [0.0, 0.0]], r"NaN or infinity in 1 of 2 rows \(0\)"),
        ([[np.inf, 0.0]], "diverged"),
        ([[-np.inf, -np.inf]], "NaN or infinity"),
        ([[1.0], [2.0]], "two classes"),
        (np.zeros((0, 3)), "at least one row"),
        ([["a", "b"]], "numbers"),
    ],
)
def test_scores_that_are_none_are_told(scores, words):
    with pytest.raises(SettingError, match=words):
        scores_of(scores)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([[0.5, 0.5], [3.0, 0.2]], "row 1 sums to 3.2"),
        ([[1.5, -0.5]], "-0.5 as its least"),
        ([[np.nan, 1.0]], "NaN"),
        ([[0.7, 0.7]], "softmax"),
    ],
)
def test_probabilities_that_are_none_are_told(table, words):
    with pytest.raises(SettingError, match=words):
        probabilities_of(table)


def test_half_precision_passes_and_comes_out_summing_to_one():
    table = np.random.default_rng(0).dirichlet(np.ones(100), 50).astype(np.float16)
    np.testing.assert_allclose(probabilities_of(table).sum(1), 1.0, rtol=1e-12)


def test_one_number_a_row_is_the_second_class():
    np.testing.assert_allclose(probabilities_of([0.2, 1.0]), [[0.8, 0.2], [0.0, 1.0]])


def test_whole_numbers_are_columns_and_other_labels_are_looked_up():
    assert places_of([2, 0], 3).tolist() == [2, 0]
    assert places_of(np.array([1.0, 0.0]), 2).tolist() == [1, 0]
    assert places_of(["cat", "dog"], ["dog", "cat"]).tolist() == [1, 0]
    assert places_of([True, False], 2).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([0, 3], 3, "from 0 to 2, got 3"),
        ([0, -1], 3, "got -1"),
        (["cta"], ["cat", "dog"], "did you mean 'cat'"),
        ([0.5], 2, "whole numbers"),
        ([[0, 1]], 2, "one a row"),
        (["a"], 2, "give the classes' names"),
    ],
)
def test_labels_that_are_none_are_told(labels, classes, words):
    with pytest.raises(SettingError, match=words):
        places_of(labels, classes)


def test_names_have_to_be_as_many_as_classes():
    assert names_of(None, 2) == ("0", "1")
    with pytest.raises(SettingError, match="3 classes need 3 names, got 2"):
        names_of(["a", "b"], 3)


def test_intervals_of_shares_are_scipys():
    from scipy.stats import binomtest

    low, high = share_interval([0, 3, 10], [10, 10, 10])
    for place, hits in enumerate((0, 3, 10)):
        theirs = binomtest(hits, 10).proportion_ci(method="exact")
        assert (low[place], high[place]) == pytest.approx((theirs.low, theirs.high))
    assert [float(end[0]) for end in share_interval([0], [0])] == [0.0, 1.0]


def test_probabilities_may_be_tensors_that_want_a_gradient_or_have_16_bits():
    torch = pytest.importorskip("torch")
    scores = torch.tensor([[0.0, 1.0], [2.0, 0.5]], requires_grad=True)
    expected = scores.detach().softmax(1).numpy()
    np.testing.assert_allclose(probabilities_of(scores.softmax(1)), expected, atol=1e-6)
    np.testing.assert_allclose(probabilities_of(scores.softmax(1).bfloat16()), expected, atol=1e-2)
    np.testing.assert_allclose(probabilities_of(scores.softmax(1)[:, 1]), expected, atol=1e-6)
