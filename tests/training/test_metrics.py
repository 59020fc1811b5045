"""Metrics: against scikit-learn's."""

import numpy as np
import pytest
import sklearn.metrics as theirs
import torch
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingError
from luthier.training import metrics as ours


def drawn(seed, classes, n=60):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(size=(n, classes)).round(1))  # rounded, so that scores tie
    return logits, torch.tensor(rng.integers(classes, size=n))


seeds, classes = st.integers(0, 10_000), st.integers(2, 6)


@given(seeds, classes)
def test_counting_metrics_are_scikit_learns(seed, classes):
    logits, y = drawn(seed, classes, n=12)  # few rows: some classes do not occur
    predicted = logits.argmax(1)
    table = ours.confusion(predicted, y, classes)
    assert (table.numpy() == theirs.confusion_matrix(y, predicted, labels=range(classes))).all()
    assert ours.accuracy(table) == pytest.approx(theirs.accuracy_score(y, predicted))
    recalls = theirs.recall_score(y, predicted, labels=y.unique(), average="macro", zero_division=0)
    assert ours.balanced_accuracy(table) == pytest.approx(recalls)
    for name in ("precision", "recall", "f1"):
        for average in ("macro", "micro"):
            mine = getattr(ours, name)(table, average=average)
            score = getattr(theirs, f"{name}_score")(y, predicted, average=average, zero_division=0)
            assert float(mine) == pytest.approx(score)
        each = getattr(theirs, f"{name}_score")(y, predicted, labels=range(classes), average=None, zero_division=0)
        assert getattr(ours, name)(table, average="none").numpy() == pytest.approx(each)


@given(seeds, classes)
def test_metrics_of_probabilities_are_scikit_learns(seed, classes):
    logits, y = drawn(seed, classes)
    probabilities = logits.softmax(1)
    assert ours.log_loss(probabilities, y) == pytest.approx(theirs.log_loss(y, probabilities, labels=range(classes)))
    each = [theirs.roc_auc_score(y == c, probabilities[:, c]) for c in y.unique().tolist()]
    assert ours.auc_one_vs_rest(probabilities, y) == pytest.approx(np.mean(each))
    assert ours.auc(logits[:, 1], y == 1) == pytest.approx(theirs.roc_auc_score(y == 1, logits[:, 1]))


def test_auc_of_one_class_is_nothing_and_is_left_out():
    assert np.isnan(ours.auc(torch.rand(4), torch.ones(4)))
    assert "auc" not in ours.classification(torch.randn(4, 3), torch.zeros(4, dtype=torch.long))


def test_the_calibration_error_written_out():
    probabilities = torch.tensor([[0.9, 0.1], [0.92, 0.08], [0.55, 0.45], [0.3, 0.7]])
    y = torch.tensor([0, 1, 0, 1])
    # of ten bins: (0.9, 1] holds 0.92 wrong; (0.8, 0.9] 0.9 right; (0.5, 0.6] 0.55 right; (0.6, 0.7] 0.7 right
    expected = (0.92 + 0.1 + 0.45 + 0.3) / 4
    assert ours.calibration_error(probabilities.double(), y, bins=10) == pytest.approx(expected, abs=1e-6)


def test_confidence_that_is_right_as_often_as_it_says_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    p = 0.5 + 0.5 * torch.rand(100_000, generator=generator)
    y = (torch.rand(100_000, generator=generator) > p).long()
    assert ours.calibration_error(torch.stack([p, 1 - p], 1), y) < 0.01
    assert ours.calibration_error(torch.stack([p, 1 - p], 1), torch.zeros_like(y)) > 0.2


@given(seeds, st.sampled_from([(30,), (30, 3)]))
def test_regression_metrics_are_scikit_learns(seed, shape):
    rng = np.random.default_rng(seed)
    y, outputs = rng.normal(size=(2, *shape))
    found = ours.regression(torch.tensor(outputs), torch.tensor(y))
    assert found["r2"] == pytest.approx(theirs.r2_score(y, outputs))
    assert found["mae"] == pytest.approx(theirs.mean_absolute_error(y, outputs))
    assert found["rmse"] == pytest.approx(np.sqrt(theirs.mean_squared_error(y, outputs)))


@pytest.mark.parametrize(("outputs", "r2"), [([2.0, 2.0], 1.0), ([1.0, 2.0], 0.0)])
def test_r2_of_a_constant_target_is_scikit_learns(outputs, r2):
    y = torch.tensor([2.0, 2.0])
    assert ours.r2(torch.tensor(outputs), y) == r2 == theirs.r2_score(y, outputs)


def test_the_usual_ones_come_as_floats():
    found = ours.classification(torch.randn(20, 3), torch.arange(20) % 3)
    assert set(found) == {"acc", "balanced_acc", "f1", "log_loss", "calibration_error", "auc"}
    assert all(type(value) is float for value in found.values())
    with pytest.raises(SettingError, match="macro"):
        ours.f1(torch.eye(2, dtype=torch.long), average="mean")
