"""What more budget would bring: the law of records, and what is said."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import luthier as lt
from luthier.budget import Budget, Spent
from luthier.errors import SettingError
from luthier.history import History
from luthier.objective import Metric
from luthier.outlook import Least, Outlook, carried_on, course, outlook
from luthier.trial import State, Trial

SPACE = lt.Space(x=lt.Float(0, 1))


def history_of(losses, metric="loss"):
    history = History(SPACE, (Metric(metric),))
    for number, loss in enumerate(losses):
        failed = loss is None
        history = history.record(
            Trial(
                number, {"x": number / len(losses)}, State.FAILED if failed else State.DONE,
                metrics={} if failed else {metric: loss}, seconds=2.0,
            )
        )  # fmt: skip
    return history


def test_of_random_draws_twice_as_many_bring_a_record_in_half_of_all_cases():
    rng = np.random.default_rng(0)
    when, said, found = np.arange(1, 41) / 40, [], []
    for _ in range(400):
        losses = rng.exponential(size=80)
        said.append(carried_on(when, losses[:40], 2.0))
        found.append(losses[:40].min() - losses.min())
    chance = np.mean([c for _, c in said])
    assert chance == pytest.approx(0.5, abs=0.12)
    assert np.mean(np.array(found) > 0) == pytest.approx(0.5, abs=0.08)
    assert 0.4 < np.mean([g for g, _ in said]) / np.mean(found) < 2.5


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20), st.floats(1.01, 10))
def test_a_larger_budget_promises_no_less(losses, factor):
    when = np.arange(1, len(losses) + 1) / len(losses)
    some, more = (carried_on(when, np.array(losses), f) for f in (factor, factor * 1.5))
    assert 0.0 <= some[0] <= more[0]
    assert 0.0 <= some[1] <= more[1] <= 1.0


def test_what_never_improved_promises_nothing():
    ahead = outlook(history_of([1.0] * 20), Spent(20, 0, 40.0), Budget(trials=20))
    assert (ahead.gain, ahead.chance, ahead.expected) == (0.0, 0.0, 1.0)
    assert str(ahead) == "20 trials more would bring hardly anything: loss 1, 0% to find anything better"


def test_recent_improvements_promise_more_than_old_ones():
    late = outlook(history_of([*[2.0] * 15, *[1.0] * 5]), Spent(20, 0, 40.0), Budget(trials=10))
    early = outlook(history_of([*[2.0] * 5, *[1.0] * 15]), Spent(20, 0, 40.0), Budget(trials=10))
    assert late.gain > early.gain > 0.0
    assert late.chance > early.chance


def test_failures_count_as_spent_and_a_few_results_are_too_few():
    when, losses = course(history_of([None, 3.0, None, 2.0]), "trials")
    assert when.tolist() == [0.5, 1.0]
    assert losses.tolist() == [3.0, 2.0]
    assert outlook(history_of([1.0] * 4), Spent(4, 0, 8.0), Budget(trials=4)) is None
    assert outlook(history_of([1.0] * 9), Spent(9, 0, 18.0), Budget()) is None


def test_a_loss_that_is_never_negative_is_not_promised_to_become_so():
    near = outlook(history_of([8.0, 1.0, 0.5, 0.02, *[0.3] * 6]), Spent(10, 0, 20.0), Budget(trials=1000))
    assert 0.0 < near.expected < 0.02
    beyond = outlook(history_of([8.0, 1.0, 0.5, -0.02, *[0.3] * 6]), Spent(10, 0, 20.0), Budget(trials=1000))
    assert beyond.expected < -0.02
    perfect = outlook(history_of([1.0, 0.5, 0.0, *[0.3] * 6]), Spent(9, 0, 18.0), Budget(trials=9))
    assert (perfect.gain, perfect.chance) == (0.0, 0.0)


def test_an_accuracy_is_not_promised_to_exceed_one():
    history = History(SPACE, (Metric("acc", maximize=True),))
    for number, acc in enumerate([0.1, 0.5, 0.9, 0.97, 0.96, 0.98]):
        history = history.record(Trial(number, {"x": number / 10}, State.DONE, metrics={"acc": acc}, seconds=1.0))
    ahead = outlook(history, Spent(6, 0, 6.0), Budget(seconds=600.0))
    assert 0.98 < ahead.expected < 1.0


def test_nothing_is_said_while_the_best_trial_is_itself_on_its_way():
    history = history_of([1.0] * 20)
    paused = Trial(20, {"x": 0.5}, State.PAUSED, metrics={"loss": 0.5}, seconds=2.0)
    assert outlook(history.record(paused), Spent(21, 0, 42.0), Budget(trials=20)) is None


def test_of_several_limits_the_nearest_counts():
    history = history_of(np.linspace(2, 1, 20).tolist())
    spent = Spent(20, 0, 40.0)
    both = outlook(history, spent, Budget(trials=2, seconds=400.0))
    assert both.gain == outlook(history, spent, Budget(trials=2)).gain


def test_a_study_says_what_more_would_bring(tmp_path):
    study = lt.tune(
        lambda x: abs(x - 0.3), SPACE, minimize=True, budget=30, workers=0, dir=tmp_path / "s", view="none", seed=1,
        search="random",
    )  # fmt: skip
    assert str(study.outlook()) in study.summary()
    assert study.outlook().more == Budget(trials=30)
    assert study.outlook("10m").more == Budget(seconds=600.0)
    assert str(lt.load(tmp_path / "s").outlook()) == str(study.outlook())


def test_a_study_ends_when_the_rest_is_not_worth_it(capsys):
    study = lt.tune(
        lambda x: 1.0, SPACE, minimize=True, budget=500, workers=0, view="plain", seed=1, search="random",
        stop_below="0.1 %",
    )  # fmt: skip
    assert study.ended_by == "outlook"
    assert len(study.trials) < 40
    assert "the rest is not worth it" in capsys.readouterr().err
    better = iter(range(1, 1000))
    eager = lt.tune(
        lambda x: -next(better), SPACE, minimize=True, budget=60, workers=0, view="none", search="random",
        stop_below=1e-9,
    )  # fmt: skip
    assert eager.ended_by == "budget"


@pytest.mark.parametrize("bad", [0, -1.0, "much", "0 %", math.inf, True])
def test_thresholds_that_cannot_be_read_are_told(bad):
    with pytest.raises(SettingError):
        Least.of(bad)


def test_a_threshold_is_in_units_of_the_metric_or_a_share():
    ahead = Outlook(Budget(trials=5), "acc", 0.5, 0.51, 0.3)
    assert Least.of(0.02).reached(ahead)
    assert not Least.of(0.005).reached(ahead)
    assert Least.of("3 %").reached(ahead)
    assert not Least.of("1%").reached(ahead)
    with pytest.raises(SettingError):
        lt.tune(lambda x: x, lt.Space(x=lt.Choice(1, 2)), minimize=True, stop_below=1.0, view="none", workers=0)
