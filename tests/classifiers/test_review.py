"""The confidence filter: the cheapest threshold, what it promises, and prices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.classifiers import Review, TrackRecord
from luthier.errors import SettingError


def calibrated(rows, classes=4, seed=0):
    """Probabilities that mean what they say, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(classes, 0.3), rows)
    return table, (table.cumsum(1) > rng.random((rows, 1))).argmax(1)


def cost(threshold, table, truth, error, look):
    looked = table.max(1) < threshold
    return float(np.where(looked, look, error * (table.argmax(1) != truth)).mean())


@given(st.integers(0, 5000), st.floats(0.5, 50.0), st.floats(0.0, 3.0))
def test_no_threshold_is_cheaper_on_the_rows_it_was_chosen_on(seed, error, look):
    table, truth = calibrated(40, seed=seed)
    review = Review.choose(table, truth, error=error, look=look)
    others = [cost(threshold, table, truth, error, look) for threshold in (0.0, *table.max(1), 2.0)]
    assert cost(review.threshold, table, truth, error, look) == pytest.approx(min(others))


def test_with_calibrated_probabilities_it_is_chows_threshold():
    table, truth = calibrated(40_000)
    review = Review.choose(table, truth, error=10.0, look=2.0)
    assert review.threshold == pytest.approx(1 - 2.0 / 10.0, abs=0.05)


def test_what_it_promises_holds_on_new_rows():
    held = 0
    for seed in range(40):
        table, truth = calibrated(400, seed=seed)
        review = Review.choose(table, truth, error=8.0, look=1.0)
        new, new_truth = calibrated(20_000, seed=1000 + seed)
        kept = ~review.looks(new)
        true_cost = cost(review.threshold, new, new_truth, 8.0, 1.0)
        true_error = float((new.argmax(1) != new_truth)[kept].mean())
        held += review.cost.low <= true_cost <= review.cost.high
        held += review.error.low <= true_error <= review.error.high
        held += review.rate.low <= 1 - kept.mean() <= review.rate.high
    assert held >= 0.85 * 120  # 95 % each for a fixed threshold; the threshold varies too


def test_the_cost_is_near_the_best_in_hindsight():
    table, truth = calibrated(2000, seed=1)
    new, new_truth = calibrated(20_000, seed=2)
    review = Review.choose(table, truth, error=10.0, look=1.0)
    best = min(cost(threshold, new, new_truth, 10.0, 1.0) for threshold in np.linspace(0, 1.01, 200))
    assert cost(review.threshold, new, new_truth, 10.0, 1.0) < 1.05 * best


def test_free_looks_are_taken_and_looks_dearer_than_errors_never():
    table, truth = calibrated(500)
    every, none = Review.choose(table, truth, error=1.0, look=0.0), Review.choose(table, truth, error=1.0, look=5.0)
    assert every.looks(table)[table.argmax(1) != truth].all()
    assert not none.looks(table).any()
    assert "nobody looks" in str(none)
    assert none.cost.value == pytest.approx(none.cost_kept)


def test_a_useless_classifier_is_reviewed_as_a_whole():
    truth = np.random.default_rng(0).integers(0, 4, 300)
    review = Review.choose(np.full((300, 4), 0.25), truth, error=10.0, look=1.0)
    assert review.looks(np.full((5, 4), 0.25)).all()
    assert "every row" in str(review)
    assert np.isnan(review.error.value)
    assert (review.error.low, review.error.high) == (0.0, 1.0)


def test_a_review_rate_is_kept_and_leaves_fewer_errors():
    table, truth = calibrated(5000)
    review = Review.at_rate(table, truth, rate=0.3)
    assert review.looks(table).mean() == pytest.approx(0.3, abs=0.001)
    kept = ~review.looks(table)
    assert (table.argmax(1) != truth)[kept].mean() < 0.75 * (table.argmax(1) != truth).mean()
    assert not Review.at_rate(table, truth, rate=0.0).looks(table).any()
    assert Review.at_rate(table, truth, rate=1.0).looks(table).all()


def test_equally_sure_rows_are_treated_alike():
    table = np.tile([0.6, 0.4], (100, 1))
    assert not Review.at_rate(table, np.zeros(100, int), rate=0.5).looks(table).any()


def test_prices_by_true_class_and_by_pair_change_what_is_said():
    table, truth = np.tile([[0.8, 0.2]], (20, 1)), np.zeros(20, int)
    dear = np.array([[0.0, 1.0], [100.0, 0.0]])  # to say 0 where 1 is true
    review = Review.choose(table, truth, error=dear, look=0.5)
    assert review.predicted(table).tolist() == [1] * 20
    same = Review.choose(table, truth, error=[1.0, 100.0], look=0.5)
    assert same.predicted(table).tolist() == [1] * 20
    assert (same.prices == dear).all()


def test_one_price_for_all_is_the_same_in_each_form():
    table, truth = calibrated(300)
    forms = [Review.choose(table, truth, error=e, look=1.0) for e in (6.0, [6.0] * 4, 6.0 * (1 - np.eye(4)))]
    assert len({review.threshold for review in forms}) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"error": -1.0, "look": 1.0}, "at least 0"),
        ({"error": [1.0, 2.0], "look": 1.0}, "one for each of 4"),
        ({"error": 1.0, "look": float("nan")}, "price of a look"),
    ],
)
def test_bad_prices_are_told(arguments, words):
    with pytest.raises(SettingError, match=words):
        Review.choose(*calibrated(50), **arguments)


def test_bad_data_are_told():
    table, truth = calibrated(50)
    with pytest.raises(SettingError, match="share from 0 to 1"):
        Review.at_rate(table, truth, rate=10)
    with pytest.raises(SettingError, match="10 validation rows"):
        Review.at_rate(table[:5], truth[:5], rate=0.1)
    with pytest.raises(SettingError, match="sums to"):
        Review.choose(table * 3, truth, error=1.0, look=0.1)


def test_it_prints_what_to_expect():
    text = str(Review.choose(*calibrated(500), error=10.0, look=1.0))
    assert "a person looks where confidence is below" in text
    assert "wrong:" in text
    assert "if nobody looks" in text


@given(st.integers(0, 5000), st.floats(0.5, 50.0), st.floats(0.0, 3.0))
def test_a_track_record_chooses_as_the_probabilities_do(seed, error, look):
    table, truth = calibrated(40, seed=seed)
    record = TrackRecord.of(table, truth)
    for ours, theirs in (
        (record.choose(error=error, look=look), Review.choose(table, truth, error=error, look=look)),
        (record.at_rate(look / 3.0), Review.at_rate(table, truth, rate=look / 3.0)),
    ):
        assert str(ours) == str(theirs)
        np.testing.assert_array_equal(ours.prices, theirs.prices)


def test_a_track_record_that_does_not_fit_together_is_refused():
    with pytest.raises(SettingError, match="for each row"):
        TrackRecord(np.zeros(3), np.zeros(2, bool), 4)
    with pytest.raises(SettingError, match="10 validation rows at least, got 3"):
        TrackRecord(np.full(3, 0.9), np.ones(3, bool), 4).at_rate(0.1)
