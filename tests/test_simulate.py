import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import luthier as lt
from luthier.errors import SettingError
from luthier.schedule.median import Median
from luthier.simulate import simulate
from luthier.trial import State

SPACE = lt.Space(x=lt.Float(0.0, 1.0), y=lt.Int(1, 9))


def curve(config):
    return [abs(config["x"] - 0.3) + 0.1 * config["y"] + 1.0 / step for step in range(1, 11)]


def run(**changes):
    settings = {"minimize": "loss", "budget": "60 steps", "search": "random", "schedule": "full", "seed": 3, **changes}
    return simulate(settings.pop("curve", curve), SPACE, **settings)


def told(study):
    return [(t.number, t.config, str(t.state), list(t.curve), t.metrics, t.grant, t.reason) for t in study.trials]


@pytest.mark.parametrize("schedule", ["full", "median", "asha", "hyperband"])
def test_one_simulated_worker_is_the_loop_in_this_process(schedule):
    def objective(config, run):
        kept = run.keep(kept=[])  # what a pause and a checkpoint need
        for step in run.steps(10):
            kept.append(step)
            run.report(loss=curve(config)[step])

    real = lt.tune(
        objective, SPACE, minimize="loss", budget="60 steps", search="random", schedule=schedule, workers=0, seed=3,
        view="none",
    )  # fmt: skip
    assert told(run(schedule=schedule).study) == told(real)


@given(st.integers(1, 40), st.sampled_from(["full", "median", "asha", "hyperband"]), st.integers(0, 99))
@settings(max_examples=15)
def test_two_simulations_are_equal(workers, schedule, seed):
    first, second = (run(workers=workers, schedule=schedule, seed=seed) for _ in range(2))
    assert first.log == second.log
    assert told(first.study) == told(second.study)


@given(st.integers(1, 1000), st.integers(1, 200))
@settings(max_examples=15)
def test_a_budget_of_steps_is_overrun_by_less_than_one_step_of_each_worker(workers, budget):
    done = run(workers=workers, budget=f"{budget} steps")
    assert budget <= done.log[-1].steps < budget + workers
    assert done.log[-1].steps == sum(t.steps for t in done.study.trials)


def test_the_clock_follows_the_pace_of_each_configuration():
    done = run(seconds=lambda config: float(config["y"]), workers=3, budget={"trials": 6})
    assert sum(t.seconds for t in done.study.trials) == pytest.approx(done.busy_s)
    assert all(t.seconds == pytest.approx(10.0 * t.config["y"]) for t in done.study.trials)
    assert [m.seconds for m in done.log] == sorted(m.seconds for m in done.log)
    assert 0.0 <= done.idle_share < 1.0


def test_a_budget_of_seconds_is_that_of_the_simulated_clock():
    done = run(budget="2h", seconds=60.0, workers=2)
    assert done.seconds == pytest.approx(7200.0)
    assert done.log[-1].steps == 240


def test_resuming_costs_what_it_is_said_to_cost():
    cheap, dear = (run(schedule="asha", resume_s=cost) for cost in (0.0, 5.0))
    assert told(cheap.study)[0][3] == told(dear.study)[0][3]
    resumed = sum("on to" in t.reason for t in dear.study.trials)
    assert dear.seconds >= cheap.seconds + 5.0 * resumed > cheap.seconds
    slow = run(schedule="asha", start_s=5.0)
    assert slow.seconds == pytest.approx(cheap.seconds + 5.0 * len(slow.study.trials))
    resumes = [d.study.history.resumes for d in (cheap, dear, slow)]
    assert [r.memory for r in resumes] == [resumes[1].checkpoint, 0, resumes[1].checkpoint]
    assert resumes[1].seconds == pytest.approx(5.0 * resumes[1].checkpoint)
    assert resumes[1].checkpoint > 0


def test_the_incumbent_is_the_lowest_loss_at_any_step_so_far():
    done = run(workers=4)
    lowest = math.inf
    for moment in done.log:
        at = done.study.history.trial(moment.trial).curve.at(moment.step)
        lowest = min(lowest, at["loss"])
        assert moment.value == lowest
    assert done.at_steps(30).steps == 30
    assert done.at_steps(0) is None
    assert done.at(done.seconds) == done.log[-1]


def test_a_higher_metric_is_better_when_maximizing():
    up = run(curve=lambda config: [-v for v in curve(config)], minimize=None, maximize="loss")
    assert [m.value for m in up.log] == [-m.value for m in run().log]


def test_nan_fails_a_trial_at_its_step_and_an_exception_at_once():
    def broken(config):
        if config["x"] < 0.3:
            raise RuntimeError("no")
        return [1.0, 0.5, math.nan] if config["x"] < 0.6 else curve(config)

    done = run(curve=broken, budget=30)
    kinds = {t.failure.kind for t in done.study.trials if t.state is State.FAILED}
    assert kinds == {"nan", "exception"}
    assert all(t.steps == 2 for t in done.study.trials if t.failure and t.failure.kind == "nan")
    assert {t.state for t in done.study.trials if t.config["x"] >= 0.6} == {State.DONE}


def test_a_thousand_workers_all_have_work():
    done = run(workers=1000, budget="20000 steps")
    assert done.waited == 0
    assert done.seconds == pytest.approx(21.0)  # what had begun when the budget was used up is still done


def test_a_pausing_rule_leaves_trials_paused():
    done = run(schedule=Median(pause=True), budget=20)
    assert {t.state for t in done.study.trials} == {State.DONE, State.PAUSED}


@pytest.mark.parametrize("bad", [{"workers": 0}, {"budget": None}, {"seconds": 0.0}, {"seconds": math.nan}])
def test_what_cannot_be_simulated_is_told(bad):
    with pytest.raises(SettingError):
        run(**bad)
