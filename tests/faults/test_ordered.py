"""ordered=True: the same seed and number of workers give the same configurations, curves and results, bit for bit."""

import random
import time

import numpy as np
import pytest

import luthier as lt

_SPACE = lt.Space(lr=lt.Float(1e-5, 1e-1, log=True), depth=lt.Int(1, 4), opt=lt.Choice("adam", "sgd"))


def _objective(lr, depth, opt, run):
    """Take a random time at each step; use all the random generators there are."""
    dice = random.SystemRandom()
    state = run.keep(state={"loss": 10.0})
    for _ in run.steps(6):
        time.sleep(dice.uniform(0, 0.02))
        state["loss"] *= 0.5 + 0.4 * random.random() + 0.1 * float(np.random.rand()) + abs(np.log10(lr) + 3) * 0.05
        run.report(loss=state["loss"], noise=random.random(), depth=depth)


def _tune(directory, budget, *, search="random", schedule="median", workers=2):
    study = lt.tune(
        _objective,
        _SPACE,
        minimize="loss",
        budget=budget,
        search=search,
        schedule=schedule,
        workers=workers,
        ordered=True,
        seed=11,
        dir=directory,
        view="none",
    )
    return [(t.number, t.config, t.state, t.seed, list(t.curve), t.metrics, t.reason, t.origin) for t in study.trials]


@pytest.mark.parametrize(("search", "schedule"), [("random", "median"), ("sobol", "full"), ("auto", "auto")])
def test_two_parallel_runs_are_equal_bit_for_bit(tmp_path, search, schedule):
    first = _tune(tmp_path / "a", 14, search=search, schedule=schedule)
    second = _tune(tmp_path / "b", 14, search=search, schedule=schedule)
    assert first == second
    assert len(first) == 14


def test_the_schedule_had_something_to_decide(tmp_path):
    states = {state for _, _, state, *_ in _tune(tmp_path, 14)}
    assert states == {lt.State.DONE, lt.State.STOPPED}  # otherwise the test above would prove little


def test_without_workers_a_study_is_repeatable_too(tmp_path):
    assert _tune(tmp_path / "a", 8, workers=0) == _tune(tmp_path / "b", 8, workers=0)


def test_a_run_that_ended_and_was_continued_equals_one_that_was_not(tmp_path):
    """With one trial at a time; with several in flight, those at the seam end in another order."""
    whole = _tune(tmp_path / "a", 12, workers=1)
    for budget in (3, 12):
        parts = _tune(tmp_path / "b", budget, workers=1)
    assert parts == whole


def test_an_interrupted_trial_goes_on_to_the_same_result(tmp_path):
    """Budgets in steps cut trials in the middle; their random generators go on where they stood."""
    whole = _tune(tmp_path / "a", {"trials": 5}, workers=1, schedule="full")
    for steps in (4, 9, 1000):
        parts = _tune(tmp_path / "b", {"trials": 5, "steps": steps}, workers=1, schedule="full")
    assert parts == whole


def test_a_parallel_run_that_was_continued_is_the_same_where_no_decision_looks_at_the_others(tmp_path):
    whole = _tune(tmp_path / "a", 12, schedule="full")
    for budget in (5, 12):
        parts = _tune(tmp_path / "b", budget, schedule="full")
    assert parts == whole


def test_another_seed_gives_another_study():
    def one(seed):
        return lt.tune(lambda lr, depth, opt: lr, _SPACE, minimize=True, budget=3, workers=0, seed=seed, view="none")

    assert [t.config for t in one(1).trials] != [t.config for t in one(2).trials]


@pytest.mark.parametrize("ordered", [True, False])
def test_only_a_study_that_is_not_ordered_looks_at_how_long_loading_takes(monkeypatch, ordered):
    class Clock:
        now = 0.0

        @classmethod
        def monotonic(cls):
            return cls.now

    def told(loading_s):
        def objective(lr, depth, opt, run):
            Clock.now += loading_s
            losses = run.keep(losses=[])
            for step in run.steps(16):
                Clock.now += 1.0
                losses.append(abs(np.log10(lr) + 3) + 1 / (step + depth))
                run.report(loss=losses[-1])

        study = lt.tune(
            objective, _SPACE, minimize="loss", search="freeze", workers=0, seed=11, view="none", ordered=ordered,
            budget={"seconds": 1e6, "steps": 80},
        )  # fmt: skip
        assert study.history.resumes.seconds == loading_s * study.history.resumes.checkpoint > 0.0
        return [(t.config, t.steps, t.reason) for t in study.trials]

    monkeypatch.setattr("luthier.execute.run.time", Clock)
    assert (told(0.125) == told(50.0)) == ordered
