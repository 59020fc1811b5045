"""Ensemble selection: never worse than the best single model, and with any metric of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, make_scorer

from luthier.classifiers import select
from luthier.errors import SettingError


def library(seed, models=8, rows=120, classes=3):
    """Predictions of models that are better than a guess and err independently."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, rows)
    scores = np.eye(classes)[truth] * rng.uniform(0.3, 1.5, (models, 1, 1)) + rng.normal(size=(models, rows, classes))
    raised = np.exp(2 * scores)
    return raised / raised.sum(2, keepdims=True), truth


@given(st.integers(0, 10_000), st.sampled_from(["log_loss", "accuracy", "calibration_error"]), st.sampled_from([0, 3]))
def test_it_is_never_worse_than_the_best_single_model_where_it_was_selected(seed, metric, bags):
    predictions, truth = library(seed)
    found = select(predictions, truth, metric=metric, bags=bags, rounds=15)
    better = found.score >= found.single_score if metric == "accuracy" else found.score <= found.single_score
    assert better
    assert found.weights.sum() == pytest.approx(1.0)
    assert (found.weights >= 0).all()


def test_independent_models_together_are_better_on_other_rows_too():
    predictions, truth = library(0, rows=2000)
    found = select(predictions[:, :1000], truth[:1000])
    single, mixed = predictions[found.single, 1000:], found.probabilities(predictions[:, 1000:])
    assert len(found.members) > 2
    assert log_loss(truth[1000:], mixed) < log_loss(truth[1000:], single) - 0.02


def test_the_score_is_that_of_the_mean_probabilities():
    predictions, truth = library(1)
    found = select(predictions, truth)
    assert found.score == pytest.approx(log_loss(truth, found.probabilities(predictions)))


def test_members_alone_give_the_same_as_all_models():
    predictions, truth = library(2)
    found = select(predictions, truth)
    few = predictions[list(found.members)]
    assert len(few) < len(predictions)
    np.testing.assert_allclose(found.probabilities(few), found.probabilities(predictions))


def test_the_same_model_many_times_is_that_model():
    predictions, truth = library(3, models=1)
    found = select(np.repeat(predictions, 4, 0), truth)
    assert found.members == (0,)
    assert found.score == found.single_score


@pytest.mark.parametrize("metric", ["f1_macro", "neg_log_loss", "roc_auc_ovr", "balanced_accuracy"])
def test_any_scorer_of_scikit_learn_is_a_metric(metric):
    predictions, truth = library(4, models=5)
    found = select(predictions, truth, metric=metric, rounds=6)
    assert found.score >= found.single_score


def test_scorers_and_functions_give_what_they_would_alone():
    predictions, truth = library(5, models=4)
    by_name = select(predictions, truth, metric="f1_macro", rounds=8)
    by_scorer = select(predictions, truth, metric=make_scorer(f1_score, average="macro"), rounds=8)
    by_function = select(
        predictions, truth, metric=lambda t, p: f1_score(t, p.argmax(1), average="macro"), maximize=True, rounds=8
    )
    assert by_name.score == by_scorer.score == by_function.score
    said = by_name.probabilities(predictions).argmax(1)
    assert by_name.score == pytest.approx(f1_score(truth, said, average="macro"))


def test_a_metric_sees_the_names_of_the_classes():
    predictions, truth = library(6)
    names = ["cat", "dog", "emu"]
    found = select(
        predictions, [names[place] for place in truth], classes=names, rounds=5,
        metric=make_scorer(f1_score, labels=["dog"], average="macro"),
    )  # fmt: skip
    assert found.score >= found.single_score > 0.3


def test_a_seed_repeats_the_bags():
    predictions, truth = library(7)
    first, second, other = (select(predictions, truth, bags=4, seed=seed).weights for seed in (0, 0, 1))
    assert (first == second).all()
    assert (first != other).any()


def test_bad_input_is_told():
    predictions, truth = library(8)
    with pytest.raises(SettingError, match="one model at least"):
        select([], truth)
    with pytest.raises(SettingError, match="did you mean 'accuracy'"):
        select(predictions, truth, metric="acuracy")
    with pytest.raises(SettingError, match="maximize=True or False"):
        select(predictions, truth, metric=lambda t, p: 0.0)
    with pytest.raises(SettingError, match="same rows and classes"):
        select([predictions[0], predictions[1][:50]], truth)
    with pytest.raises(SettingError, match="gave nan"):
        select(predictions, truth, metric=lambda t, p: float("nan"), maximize=True)
    with pytest.raises(SettingError, match="sums to"):
        select(2 * predictions, truth)
    with pytest.raises(SettingError, match="of all 8 models"):
        select(predictions, truth).probabilities(predictions[:1].repeat(9, 0))
