"""Racing over folds: who is surely behind is stopped, and what it would have got is foreseen."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import luthier as lt
from luthier import Curve, Float, Space, State, Trial
from luthier.contracts import Verdict
from luthier.errors import SettingError
from luthier.history import History
from luthier.objective import Metric
from luthier.schedule import schedule_of
from luthier.schedule.race import Race, chance_behind, fold_losses

ACC = Metric("acc", maximize=True)


def trial(number, scores, state=State.DONE):
    curve = Curve()
    for step in range(1, len(scores) + 1):
        curve = curve.append(step, {"acc": math.fsum(scores[:step]) / step})
    return Trial(number, {"x": number / 100}, state, curve=curve, metrics={"acc": max(scores)}, total_steps=10)


def history(*folds):
    found = History(Space(x=Float(0, 1)), (ACC,))
    for number, scores in enumerate(folds):
        found = found.record(trial(number, scores))
    return found


def judged(race, past, scores):
    return race.judge(past, trial(99, scores, State.RUNNING))


BEST = [0.9, 0.7, 0.8, 0.95, 0.85]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_folds_are_read_out_of_the_running_means(scores):
    np.testing.assert_allclose(-fold_losses(history(), trial(0, scores)), scores, atol=1e-9)


def test_the_first_trials_run_through():
    assert judged(Race(), history(), [0.1]).verdict is Verdict.CONTINUE


def test_a_trial_that_is_behind_on_every_fold_is_stopped_and_told_why():
    past = history(BEST, [b - 0.1 + d for b, d in zip(BEST, (0.01, -0.01, 0.02, 0.0, 0.01), strict=True)])
    decision = judged(Race(), past, [0.75, 0.56])
    assert decision.verdict is Verdict.STOP
    assert decision.estimate == pytest.approx(np.mean(BEST) - 0.145)
    assert "after 2 of 5 folds" in decision.reason


def test_what_is_hard_for_all_is_no_reason_to_stop():
    past = history(BEST, [b - 0.02 for b in BEST[::-1]])
    assert judged(Race(), past, [0.9, 0.71]).verdict is Verdict.CONTINUE


def test_the_estimate_of_a_trial_is_the_best_plus_its_differences():
    past = history(BEST, [0.5, 0.5, 0.5, 0.5, 0.5])
    decision = judged(Race(sure=0.99), past, [0.92, 0.7, 0.81])
    assert decision.verdict is Verdict.CONTINUE
    assert decision.estimate == pytest.approx(np.mean(BEST) + 0.01)


def test_a_margin_stops_what_would_hardly_be_better():
    past = history(BEST, [b - 0.1 + d for b, d in zip(BEST, (0.01, -0.01, 0.02, 0.0, 0.01), strict=True)])
    scores = [b + 0.001 for b in BEST[:4]]
    assert judged(Race(), past, scores).verdict is Verdict.CONTINUE
    assert judged(Race(margin=0.1), past, scores).verdict is Verdict.STOP


def test_every_trial_gets_the_folds_that_were_promised():
    past = history(BEST, [b - 0.5 + d for b, d in zip(BEST, (0.01, -0.01, 0.02, 0.0, 0.01), strict=True)])
    assert judged(Race(), past, [0.1]).verdict is Verdict.STOP
    assert judged(Race(least=3), past, [0.1, 0.1]).verdict is Verdict.CONTINUE


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.integers(1, 9))
def test_without_earlier_trials_the_chance_is_that_of_a_t_test_with_a_finite_number_of_folds(behind, more):
    behind = np.array(behind)
    assume(behind.std() > 1e-6)
    k, folds = len(behind), len(behind) + more
    scale = behind.std(ddof=1) / math.sqrt(k) * math.sqrt(1 - k / folds)  # the finite population correction
    expected = stats.t.cdf(behind.mean() / scale, k - 1)
    assert chance_behind(behind, folds) == pytest.approx(expected, abs=1e-9)


def test_the_chance_is_calibrated():
    rng = np.random.default_rng(0)
    wrong = []
    for _ in range(4000):
        behind = rng.normal(0.2, 1.0, 10)
        if chance_behind(behind[:4], 10) > 0.9:
            wrong.append(behind.mean() < 0)
    assert len(wrong) > 300
    assert np.mean(wrong) < 0.1


def test_one_fold_says_nothing_while_nobody_knows_how_folds_differ():
    assert chance_behind(np.array([0.3]), 5) == 0.5
    assert chance_behind(np.array([0.3]), 5, pooled=(0.01, 8.0)) > 0.95


def test_equal_differences_leave_no_doubt():
    assert chance_behind(np.array([0.1, 0.1]), 5) == 1.0
    assert chance_behind(np.zeros(2), 5) == 0.5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_race_finds_what_a_whole_study_finds_with_fewer_folds(workers):
    def train(x, run):
        total = 0.0
        run.keep(nothing=[])
        for fold in run.steps(10):
            total += abs(x - 0.3) + 0.2 * math.sin(3.0 * fold) + 0.02 * math.sin(900.0 * x + fold)
            run.report(total / (fold + 1))
        return total / 10

    studies = [
        lt.tune(
            train, Space(x=Float(0, 1)), minimize=True, budget=25, search="random", schedule=schedule, workers=workers,
            view="none", seed=3,
        )
        for schedule in ("full", "race")
    ]  # fmt: skip
    whole, raced = studies
    assert raced.best.config == whole.best.config
    assert raced.best.state == "done"
    assert raced.spent.steps < 0.6 * whole.spent.steps
    full = {t.number: t.metrics["value"] for t in whole.trials}
    stopped = [t for t in raced.trials if t.state == "stopped"]
    errors = [abs(t.metrics["value"] - full[t.number]) for t in stopped]
    assert len(stopped) > 10
    assert max(errors) < 0.05
    assert min(t.metrics["value"] for t in stopped) > raced.best.metrics["value"]


@pytest.mark.parametrize("wrong", [{"sure": 0.5}, {"sure": 1.0}, {"least": 0}, {"margin": -1.0}])
def test_settings_out_of_range_are_told(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Race(**wrong)


def test_it_is_found_by_its_name():
    assert isinstance(schedule_of("race"), Race)
