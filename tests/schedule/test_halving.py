import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import luthier as lt
from luthier.errors import SettingError
from luthier.history import History
from luthier.objective import Metric
from luthier.schedule import schedule_of
from luthier.schedule.halving import Halving, ladder
from luthier.schedule.hyperband import Hyperband
from luthier.schedule.median import Median
from luthier.schedule.ranking import Rungs, rank_correlation, trusted
from luthier.simulate import simulate
from luthier.testing import check_schedule
from luthier.trial import Curve, State, Trial

SPACE = lt.Space(x=lt.Float(0.0, 1.0), y=lt.Float(0.0, 1.0))
LOSS = (Metric("loss"),)


def curve(config, steps=27):
    return [abs(config["x"] - 0.3) + 0.3 * config["y"] + 1.0 / step for step in range(1, steps + 1)]


def crossing(config, steps=27):
    """What is ahead early ends behind."""
    x = config["x"]
    return [0.1 * x * (1.0 - step / steps) - x * (step / steps) ** 2 for step in range(1, steps + 1)]


def run(schedule, function=curve, **changes):
    given = {"budget": "540 steps", "search": "random", "workers": 1, "seed": 1, **changes}
    return simulate(function, SPACE, minimize="loss", schedule=schedule, **given).study


def paused(losses, *, total=27, start=0):
    history = History(SPACE, LOSS)
    for number, values in enumerate(losses, start):
        c = Curve()
        for step, loss in enumerate(values, 1):
            c = c.append(step, {"loss": loss})
        state = State.DONE if len(values) == total else State.PAUSED
        best = {"loss": min(values)}
        config = {"x": 0.5, "y": 0.5}
        history = history.record(
            Trial(number, config, state, curve=c, metrics=best, grant=len(values), total_steps=total)
        )
    return history


@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=30, unique=True), st.sampled_from([2, 3, 4])
)
def test_exactly_the_top_share_of_a_rung_is_promoted(losses, eta):
    schedule, history = Halving(eta, min_steps=1, guard=False), paused([[loss] for loss in losses], total=eta**2)
    promoted = []
    while (resume := schedule.promote(history)) is not None:
        assert resume.grant == eta
        promoted.append(resume.number)
        trial = history.trial(resume.number)
        after = trial.curve
        for step in range(2, eta + 1):
            after = after.append(step, {"loss": 2.0})  # it never goes further: the lowest loss keeps its rank
        moved = Trial(trial.number, trial.config, State.RUNNING, curve=after, metrics=trial.metrics, total_steps=eta**2)
        history = history.record(moved)
    assert sorted(promoted) == sorted(np.argsort(losses)[: len(losses) // eta].tolist())


def test_rungs_are_powers_of_eta_below_a_full_training():
    assert ladder(3, None, 81).rungs == (3, 9, 27, 81)
    assert ladder(3, 1, 81).rungs == (1, 3, 9, 27, 81)
    assert ladder(2, 5, 40).rungs == (5, 10, 20, 40)
    assert ladder(3, None, 2).rungs == (1, 2)
    assert ladder(3, None, 1).rungs == (1,)
    assert ladder(3, 1, 81).grant(4) is None


def test_trials_stop_at_rungs_and_fewer_reach_each():
    counts = [sum(t.steps >= s for t in run("halving").trials) for s in (1, 3, 9, 27)]
    assert all(counts[i + 1] <= counts[i] / 2 for i in range(3))
    assert counts[3] >= 5
    assert {t.steps for t in run("halving").trials} <= {1, 3, 9, 27}


def test_a_synchronous_bracket_promotes_once_it_is_complete():
    study = run(Halving(asynchronous=False, min_steps=1, guard=False), budget=27, workers=3)
    reached = [sum(t.steps >= s for t in study.trials) for s in (1, 3, 9, 27)]
    assert reached == [27, 9, 3, 1]
    ends = {t.number: curve(t.config)[0] for t in study.trials}
    assert {t.number for t in study.trials if t.steps > 1} == set(sorted(ends, key=ends.get)[:9])


def test_it_promotes_by_resuming_so_no_step_is_trained_twice():
    study = run("asha")
    assert study.steps == sum(t.steps for t in study.trials)
    assert all(list(t.curve.steps) == list(range(1, t.steps + 1)) for t in study.trials)


def test_the_length_of_a_training_is_learned_from_the_first_trial():
    study = run(Halving(), function=lambda c: curve(c, 100), budget="400 steps")
    assert {t.steps for t in study.trials if not t.unfinished} <= {4, 11, 33, 100}


def test_the_guard_starts_later_where_early_steps_mislead():
    with_guard, without = (run(Halving(guard=g), crossing, budget="1080 steps") for g in (True, False))
    assert sum(t.steps == 1 for t in with_guard.trials) < sum(t.steps == 1 for t in without.trials) / 2
    assert min(t.steps for t in without.trials) == 1

    def end(study):
        return min(1.0 - t.config["x"] for t in study.trials if t.steps == 27)

    assert end(with_guard) <= end(without)


def test_the_guard_trusts_what_ranks_well():
    assert all(t.steps in {1, 3, 9, 27} for t in run(Halving(guard=True)).trials)
    assert sum(t.steps == 1 for t in run(Halving(guard=True)).trials) > 30


def test_median_with_the_guard_lets_crossing_curves_go_on():
    with_guard, without = (run(Median(guard=g), crossing, budget="1080 steps") for g in (True, False))
    whole = [sum(t.steps == 27 for t in study.trials) for study in (with_guard, without)]
    assert whole[0] >= whole[1]


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=20), st.data())
def test_rank_correlation_is_spearmans(a, data):
    from scipy.stats import spearmanr

    b = data.draw(st.lists(st.integers(-4, 4), min_size=len(a), max_size=len(a)))
    if len(set(a)) > 1 and len(set(b)) > 1:
        expected = spearmanr(a, b).statistic
        assert rank_correlation(np.array(a, float), np.array(b, float)) == pytest.approx(expected)


def test_few_pairs_are_trusted():
    assert trusted(np.arange(7.0), -np.arange(7.0))
    assert not trusted(np.arange(8.0), -np.arange(8.0))
    assert trusted(np.arange(8.0), np.where(np.arange(8) == 3, np.nan, -np.arange(8.0)))


def test_rungs_hold_the_best_so_far_and_no_future():
    history = paused([[3.0, 1.0, 2.0], [5.0], [1.0] * 27])
    _, table = Rungs().table(history, (1, 3, 9, 27))
    assert table[:, 0].tolist() == [1.0, 3.0, 5.0] or sorted(table[:, 0].tolist()) == [1.0, 3.0, 5.0]
    by_number = dict(zip([t.number for t in Rungs().table(history, (1, 3))[0]], table.tolist(), strict=True))
    assert by_number[0][:2] == [3.0, 1.0]
    assert np.isnan(by_number[0][2:]).all()
    assert np.isnan(by_number[1][1:]).all()
    assert by_number[2] == [1.0] * 4


@pytest.mark.parametrize("name", ["halving", "asha", "hyperband", "median", "percentile"])
def test_a_fresh_instance_gives_the_same_answers(name):
    class Fresh:
        def grant(self, history):
            return schedule_of(name).grant(history)

        def promote(self, history):
            return schedule_of(name).promote(history)

        def judge(self, history, trial):
            return schedule_of(name).judge(history, trial)

    def told(study):
        return [(t.config, t.steps, str(t.state), t.reason) for t in study.trials]

    small = {"budget": "120 steps", "workers": 4}
    assert told(run(Fresh(), **small)) == told(run(name, **small))


@pytest.mark.parametrize(
    "make", [Halving, Hyperband, Median, lambda: Halving(asynchronous=False), lambda: Median(pause=True)]
)
def test_it_keeps_the_contract_of_schedules(make):
    check_schedule(make)


def test_failures_are_not_promoted():
    def broken(config):
        return [float("nan")] if config["x"] < 0.3 else curve(config)

    study = run("asha", broken)
    assert all(t.steps == 0 for t in study.trials if t.state is State.FAILED)
    assert any(t.steps == 27 for t in study.trials)


@settings(max_examples=10)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 99))
def test_any_length_and_number_of_workers_works(length, workers, seed):
    study = run("asha", lambda c: curve(c, length), workers=workers, seed=seed, budget="200 steps")
    assert study.steps >= 200


@pytest.mark.parametrize("bad", [{"eta": 1.0}, {"eta": 0.5}, {"min_steps": 0}, {"min_steps": 9, "max_steps": 3}])
def test_bad_settings_are_told(bad):
    with pytest.raises(SettingError):
        Halving(**bad)
