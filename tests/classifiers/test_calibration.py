"""Calibration: what the best temperature satisfies, data made by a known one, and agreement with what exists."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.classifiers import Temperature, VectorScaling, calibration_error, log_loss, softmax
from luthier.errors import SettingError
from luthier.training import metrics


def drawn(scores, rng):
    """Labels drawn from the softmax of scores."""
    return (softmax(scores).cumsum(1) > rng.random((len(scores), 1))).argmax(1)


@settings(max_examples=12)
@given(st.floats(0.2, 8.0), st.integers(0, 1000))
def test_the_temperature_that_made_the_scores_too_sure_is_found(made, seed):
    rng = np.random.default_rng(seed)
    scores = 2.0 * rng.normal(size=(2000, 5))
    found = Temperature.fit(made * scores, drawn(scores, rng))
    assert found.value == pytest.approx(made, rel=0.15)
    assert not found.at_limit


def test_no_other_temperature_has_a_smaller_log_loss():
    rng = np.random.default_rng(1)
    scores = 3.0 * rng.normal(size=(300, 4))
    truth = drawn(0.5 * scores, rng)
    found = Temperature.fit(scores, truth)
    least = log_loss(found.probabilities(scores), truth)
    others = [log_loss(softmax(scores / (found.value * factor)), truth) for factor in (0.9, 0.99, 1.01, 1.1)]
    assert least < min(others)


def test_expected_score_equals_mean_true_score_at_the_best_temperature():
    rng = np.random.default_rng(2)
    scores = 2.0 * rng.normal(size=(500, 3))
    truth = drawn(scores, rng)
    said = Temperature.fit(scores, truth).probabilities(scores)
    assert (said * scores).sum(1).mean() == pytest.approx(scores[np.arange(500), truth].mean(), abs=1e-6)


def test_predictions_do_not_change():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(200, 6))
    found = Temperature.fit(scores, rng.integers(0, 6, 200))
    assert (found.probabilities(scores).argmax(1) == scores.argmax(1)).all()


def test_a_limit_is_told_where_the_data_say_nothing():
    scores = 5.0 * np.eye(3)
    perfect, hopeless = Temperature.fit(scores, [0, 1, 2]), Temperature.fit(scores, [1, 2, 0])
    assert perfect.at_limit
    assert hopeless.at_limit
    assert perfect.value < 1 < hopeless.value


def test_one_row_and_one_class_in_the_rows_are_enough():
    assert np.isfinite(Temperature.fit([[1.0, 0.0]], [1]).value)
    assert np.isfinite(Temperature.fit([[1.0, 0.0, 2.0]] * 5, [1] * 5).value)
    assert np.isfinite(VectorScaling.fit([[1.0, 0.0, 2.0]] * 5, [1] * 5).shift).all()


def test_more_classes_than_rows_are_fitted_and_held_near_the_temperature():
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(20, 200))
    vector = VectorScaling.fit(scores, rng.integers(0, 200, 20), penalty=10.0)
    one = Temperature.fit(scores, rng.integers(0, 200, 20))
    assert np.isfinite(vector.scale).all()
    assert np.isfinite(one.value)


def test_vector_scaling_finds_a_class_that_is_said_too_often():
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(6000, 3))
    truth = drawn(scores, rng)
    bent = 2.0 * scores + np.array([1.5, 0.0, 0.0])
    vector = VectorScaling.fit(bent, truth)
    assert log_loss(vector.probabilities(bent), truth) < log_loss(
        Temperature.fit(bent, truth).probabilities(bent), truth
    )
    assert vector.shift[0] - vector.shift[1:].mean() == pytest.approx(-0.75, abs=0.1)
    np.testing.assert_allclose(vector.scale, 0.5, atol=0.05)


def test_a_large_penalty_makes_vector_scaling_the_temperature():
    rng = np.random.default_rng(6)
    scores, truth = rng.normal(size=(100, 3)), rng.integers(0, 3, 100)
    vector = VectorScaling.fit(scores, truth, penalty=1e9)
    np.testing.assert_allclose(
        vector.probabilities(scores), Temperature.fit(scores, truth).probabilities(scores), atol=1e-4
    )


@given(st.integers(0, 1000))
def test_metrics_are_those_of_training(seed):
    rng = np.random.default_rng(seed)
    table, truth = rng.dirichlet(np.full(4, 0.4), 60), rng.integers(0, 4, 60)
    tensors = torch.tensor(table), torch.tensor(truth)
    assert calibration_error(table, truth) == pytest.approx(metrics.calibration_error(*tensors), abs=1e-9)
    assert log_loss(table, truth) == pytest.approx(metrics.log_loss(*tensors), rel=1e-6)


def test_wrong_numbers_are_told():
    with pytest.raises(SettingError, match="NaN"):
        Temperature.fit([[np.nan, 1.0]], [0])
    with pytest.raises(SettingError, match="2 in all"):
        Temperature.fit([[0.0, 1.0], [1.0, 0.0]], [0])
    with pytest.raises(SettingError, match="at least 0"):
        VectorScaling.fit([[0.0, 1.0]], [0], penalty=-1)
    with pytest.raises(SettingError, match="fitted for 2 classes"):
        VectorScaling.fit([[0.0, 1.0]], [0]).probabilities([[0.0, 1.0, 2.0]])


def test_scores_may_be_tensors_that_want_a_gradient():
    scores = torch.randn(30, 3, requires_grad=True)
    assert np.isfinite(Temperature.fit(scores, torch.zeros(30, dtype=torch.long)).value)
