"""Schedules with several metrics: a trial is given up only if it is off the way to the front."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import luthier as lt
from luthier.contracts import CONTINUE, Verdict
from luthier.history import History
from luthier.objective import Metric
from luthier.schedule.halving import Halving
from luthier.schedule.median import Median
from luthier.schedule.patience import Patience
from luthier.schedule.ranking import Rungs, standings
from luthier.simulate import simulate
from luthier.trial import Curve, State, Trial

BOTH = (Metric("loss"), Metric("acc", maximize=True))
SPACE = lt.Space(x=lt.Float(0, 1), y=lt.Float(0, 1))


def trial(number, rows, state=State.DONE):
    """A trial with these (loss, acc) by step."""
    curve = Curve()
    for step, (loss, acc) in enumerate(rows, 1):
        curve = curve.append(step, {"loss": loss, "acc": acc})
    config = {"x": number / 1000, "y": 0.5}
    return Trial(number, config, state, curve=curve, metrics={"loss": rows[-1][0], "acc": rows[-1][1]})


def judge(schedule, others, mine):
    history = History(SPACE, BOTH)
    for number, rows in enumerate(others):
        history = history.record(trial(number, rows))
    running = trial(len(others), mine, State.RUNNING)
    return schedule.judge(history.record(running), running)


FRONT = [[(k / 10, k / 10)] * 3 for k in range(10)]  # each better in one, worse in the other


def test_what_is_best_in_one_metric_is_never_stopped():
    for mine in ((-1.0, -9.0), (9.0, 2.0), (0.45, 0.46)):
        assert judge(Median(guard=False), FRONT, [mine] * 2) == CONTINUE


def test_what_half_of_the_others_beat_in_everything_is_stopped_and_told_why():
    behind = [[(0.1 * k, -0.1 * k)] * 3 for k in range(10)]
    decision = judge(Median(guard=False), behind, [(0.95, -0.95)] * 2)
    assert decision.verdict is Verdict.STOP
    assert decision.reason == "at step 2 on front 10 of loss and acc; 10 of 10 others are on better ones"
    assert judge(Median(guard=False), behind, [(0.35, -0.35)] * 2) == CONTINUE
    assert judge(Median(25, guard=False), behind, [(0.35, -0.35)] * 2).verdict is Verdict.STOP


def test_a_point_at_an_earlier_step_is_compared_at_that_step():
    falling = [[(1.0, 0.0), (0.0, 1.0), (0.0, 1.0)]] * 6
    assert judge(Median(guard=False, warmup=0), falling, [(0.9, 0.1)]) == CONTINUE
    assert judge(Median(guard=False, warmup=0), falling, [(0.9, 0.1)] * 2).verdict is Verdict.STOP


def test_patience_waits_while_one_metric_improves():
    assert judge(Patience(2), [], [(1.0, 0.1), (1.0, 0.2), (1.0, 0.3), (1.0, 0.4)]) == CONTINUE
    decision = judge(Patience(2), [], [(1.0, 0.4), (1.0, 0.4), (1.0, 0.3), (1.0, 0.2)])
    assert decision.verdict is Verdict.FINISH
    assert decision.reason == "no improvement in any metric in 2 reports"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_who_is_beaten_in_everything_stands_behind(points):
    places = standings(np.array(points, float)[:, None])[:, 0]
    assert sorted(places) == list(range(len(points)))
    for i, a in enumerate(points):
        for j, b in enumerate(points):
            if a[0] < b[0] and a[1] < b[1]:
                assert places[i] < places[j]


def test_a_missing_metric_leaves_a_trial_out():
    found = standings(np.array([[[1.0, 1.0]], [[0.0, math.nan]], [[0.0, 0.0]]]))
    assert found[[0, 2], 0].tolist() == [1.0, 0.0]
    assert math.isnan(found[1, 0])
    trials, table = Rungs().table(History(SPACE, BOTH).record(trial(0, [(1.0, 0.5)] * 3, State.PAUSED)), (1, 3, 9))
    assert len(trials) == 1
    assert table[0, :2].tolist() == [0.0, 0.0]
    assert math.isnan(table[0, 2])


def both(config):
    """The front is x anywhere, y at 0; early steps tell the truth."""
    return [
        {"loss": config["x"] + config["y"] + 1 / step, "acc": config["x"] - config["y"] - 1 / step}
        for step in range(1, 28)
    ]


@pytest.mark.parametrize("schedule", [Halving(), "hyperband", "median", "median+patience"])
def test_trials_near_the_front_go_further(schedule):
    run = simulate(
        both, SPACE, minimize="loss", maximize="acc", budget="800 steps", search="random", schedule=schedule, seed=3
    )
    trials = run.study.trials
    far = [t.config["y"] for t in trials if t.steps >= 9]
    near = [t.config["y"] for t in trials if t.steps < 9]
    assert len(near) > 10
    assert np.mean(far) < np.mean(near) - 0.1
    assert np.ptp([t.config["x"] for t in trials if t.steps >= 9]) > 0.5
