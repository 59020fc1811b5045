"""Sizes suit the data and the budget; metrics are known by the names that people use; intervals hold what they say."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import f1_score, mean_absolute_error

from luthier.data import from_arrays
from luthier.estimators import measure
from luthier.estimators.drawings import end_seconds
from luthier.estimators.metric_names import metric_of
from luthier.estimators.objective import Parts, Training
from luthier.estimators.sizes import Sizes, _some_steps, batches, epoch_seconds, fit_sizes, usual_epochs
from luthier.estimators.targets import learn_targets
from luthier.recipes import recipe
from luthier.training import Trainer


def sizes(rows, epoch_s, *, left_s=600.0, epochs=None, end_s=4.0):
    return fit_sizes(
        "image", rows, epochs=epochs, timed=(epoch_s, 0.0, 2, 1.2 * epoch_s), left_s=left_s, end_s=end_s
    )  # fmt: skip


def test_many_rows_get_fewer_epochs_and_larger_batches():
    rows = [100, 1000, 10_000, 100_000]
    assert [usual_epochs("image", n) for n in rows] == sorted([usual_epochs("image", n) for n in rows], reverse=True)
    assert [batches(n).prior for n in rows] == sorted(batches(n).prior for n in rows)


def test_without_seconds_nothing_is_timed():
    found = fit_sizes("text", 1000, epochs=None, timed=None, left_s=math.inf)
    assert found == Sizes(usual_epochs("text", 1000), 1000)


@pytest.mark.parametrize("epoch_s", [0.01, 1.0, 10.0, 60.0, 400.0, 4000.0])
def test_the_default_and_its_retraining_fit_into_the_budget(epoch_s):
    found = sizes(10_000, epoch_s)
    one = found.epochs * epoch_s * found.rows / 10_000
    assert one <= found.tuning_s
    assert found.tuning_s + found.kept_s == pytest.approx(600.0)
    assert 1 <= found.epochs <= 24  # images: twice the usual where there is time


def test_a_slow_epoch_means_fewer_epochs_and_at_last_fewer_rows():
    assert sizes(10_000, 0.1).epochs == 24
    assert sizes(10_000, 60.0).epochs < 12
    slow = sizes(10_000, 4000.0)
    assert slow.rows < 10_000
    assert any("of 10,000 training rows" in note for note in slow.notes)


@pytest.mark.parametrize(("left_s", "least"), [(6.0, 3.0), (8.0, 4.0), (20.0, 4.0)])
def test_the_test_and_the_pictures_have_their_time_in_short_budgets_but_no_more_than_half(left_s, least):
    found = sizes(1000, 0.5, left_s=left_s, end_s=4.0)
    assert found.kept_s >= least
    assert found.tuning_s >= 0.5 * left_s


def test_an_epoch_is_timed_by_a_few_steps_where_there_is_no_time_for_more():
    x = torch.randn(1000, 40, generator=torch.Generator().manual_seed(0))
    parts = Parts((x, (x[:, 0] > 0).long()), (x[:50], (x[:50, 0] > 0).long()))
    training = Training(
        recipe("tabular", epochs=1, batch_size=10), learn_targets(from_arrays(x.numpy(), parts.train[1].numpy())), parts
    )
    taken = []

    class Counted(Trainer):
        def update(self, train, index, generator):
            taken.append(len(index))
            return super().update(train, index, generator)

    plan = training.plan(training.recipe.default, parts.train, seed=0)
    plan.trainer.__class__ = Counted
    assert _some_steps(plan, until=-math.inf) == 20 == sum(taken)
    assert _some_steps(plan, until=math.inf) == 1000
    assert epoch_seconds(training, parts.train, threads=1, most_s=0.0)[0] > 0.0


def test_a_last_batch_of_one_row_is_left_out_when_an_epoch_is_timed():
    x = torch.randn(17, 4, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(17) % 2).long()
    targets = learn_targets(from_arrays(x.numpy(), y.numpy()))
    training = Training(recipe("tabular", epochs=1, batch_size=16), targets, Parts((x, y), (x, y)))
    plan = training.plan(training.recipe.default, (x, y), seed=0)
    assert _some_steps(plan, until=math.inf) == 16


def test_the_end_of_a_job_takes_longer_with_pictures_and_onnx():
    plain, drawn = end_seconds(pictures=False, onnx=False), end_seconds(pictures=True, onnx=False)
    assert 0.0 < plain < end_seconds(pictures=False, onnx=True)
    assert drawn > 0.0


def test_epochs_that_are_asked_for_are_taken():
    assert sizes(10_000, 60.0, epochs=9).epochs == 9


def test_sizes_survive_json():
    for found in (sizes(1000, 1.0), Sizes(3, 100)):
        state = {
            "epochs": found.epochs, "rows": found.rows, "kept_s": found.kept_s, "notes": list(found.notes),
            "tuning_s": found.tuning_s if math.isfinite(found.tuning_s) else None,
        }  # fmt: skip
        assert Sizes.of(state) == found


@pytest.mark.parametrize(
    ("name", "goal", "key", "up"),
    [
        (None, "classes", "acc", True), ("Balanced Accuracy", "classes", "balanced_acc", True),
        ("log-loss", "classes", "log_loss", False), ("RMSE", "number", "rmse", False), (None, "number", "r2", True),
        ("exact match", None, "exact_match", True),
    ],
)  # fmt: skip
def test_metrics_have_the_names_that_people_use(name, goal, key, up):
    metric = metric_of(name, goal)
    assert (metric.name, metric.maximize) == (key, up)


def test_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(3), 200), rng.integers(3, size=200)
    assert measure.of_classes(p, y)["f1"] == pytest.approx(f1_score(y, p.argmax(1), average="macro"))
    a, b = rng.normal(size=(2, 50))
    assert measure.of_numbers(a, b)["mae"] == pytest.approx(mean_absolute_error(b, a))
    assert measure.of_texts(["a b", "c"], ["a b", "d"]) == {"exact_match": 0.5, "word_acc": pytest.approx(2 / 3)}


def test_wilson_solves_its_equation():
    low, high = measure.wilson(0.3, 50)
    z = norm.ppf(0.975)
    for end in (low, high):  # the share is z standard errors, at the end, from the end
        assert abs(0.3 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 50), rel=1e-5)
    assert measure.wilson(1.0, 10)[1] == pytest.approx(1.0)


def test_a_bootstrap_interval_holds_the_value_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(60):
        error = rng.normal(size=80)
        low, high = measure.interval("rmse", measure.of_numbers, error, np.zeros(80), seed=seed)
        held += low <= 1.0 <= high
    assert held >= 48  # 95 % of 60 is 57; a bootstrap of 80 rows holds a little less
