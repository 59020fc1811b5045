"""What a resume costs, measured: exact where the truth is known, and nothing where time is not what is spent."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playing import LOSS

import luthier as lt
from luthier.history import History
from luthier.search.freeze import FreezeSearch
from luthier.search.freeze_cost import Cost, measured
from luthier.simulate import simulate
from luthier.trial import Curve, Resumes, State, Trial

SPACE = lt.Space(x=lt.Float(0, 1))


def history_of(steps, resumes, *, pace, start, timed=True):
    """Trials that made these steps at one pace, after a start of some seconds."""
    history = History(SPACE, LOSS).spent(0.5, timed=timed)
    for number, (n, resumed) in enumerate(zip(steps, resumes, strict=True)):
        curve = Curve().append(n, {"loss": 1.0})
        seconds = start + pace * (n + resumed.repeated) + resumed.seconds
        trial = Trial(number, {"x": 0.5}, State.PAUSED, curve=curve, seconds=seconds, resumes=resumed)
        history = history.record(trial)
    return history


def cold(times, seconds, repeated=0):
    return Resumes(0, times, times * seconds, repeated)


@given(
    st.floats(0.01, 100.0),
    st.floats(0.0, 1.0),
    st.integers(1, 60),
    st.lists(st.integers(1, 50), min_size=2, max_size=9, unique=True),
    st.integers(0, 40),
)
def test_it_is_the_loading_time_in_steps_whatever_the_start_took(pace, start, cost, steps, repeated):
    loading = (cost + 0.5) * pace
    resumes = [cold(1, loading, repeated), *(cold(i, loading) for i in range(len(steps) - 1))]
    history = history_of(steps, resumes, pace=pace, start=start * loading)
    assert measured(history).resume == cost
    assert abs(measured(history).start - start * loading / pace) <= 1


def test_below_one_step_it_is_nothing():
    assert measured(history_of([4, 8], [cold(1, 0.9), cold(2, 0.9)], pace=1.0, start=0.9)) == Cost()


def test_resumes_in_memory_share_it():
    history = history_of([4, 8], [replace(cold(1, 12.5), memory=3), Resumes(memory=2)], pace=1.0, start=0.0)
    assert measured(history).resume == 2  # one of six cost 12.5


def test_it_is_nothing_while_runs_stay_alive_or_time_is_not_what_is_spent():
    resumes = [cold(1, 5.0), cold(1, 5.0)]
    assert measured(history_of([4, 8], resumes, pace=1.0, start=5.0)) == Cost(5, 5)
    assert measured(history_of([4, 8], resumes, pace=1.0, start=5.0, timed=False)) == Cost()
    assert measured(history_of([4, 8], [Resumes(memory=4)] * 2, pace=1.0, start=5.0)) == Cost()
    assert measured(History(SPACE, LOSS)) == Cost()


def test_it_is_nothing_while_no_trial_has_a_step_left():
    history = history_of([4], [cold(1, 5.0)], pace=1.0, start=5.0)
    begun_anew = replace(history.live[0], state=State.RUNNING, curve=Curve(), metrics={})
    assert measured(history.record(begun_anew)) == Cost()


def test_where_steps_take_no_time_a_resume_counts_for_a_thousand():
    assert measured(history_of([4, 8], [cold(1, 5.0), cold(1, 5.0)], pace=0.0, start=5.0)).resume == pytest.approx(
        1000, abs=1
    )


def dear(search, budget, seed=1, **given):
    def curve(config):
        return [abs(config["x"] - 0.3) + np.exp(-0.15 * step) for step in range(1, 33)]

    return simulate(
        curve, SPACE, minimize="loss", search=search, schedule="full", budget=budget, seed=seed, resume_s=6.0, **given
    )


def test_freeze_thaw_looks_at_what_resumes_cost_where_seconds_are_spent():
    pieces = {}
    for name, search in {"blind": FreezeSearch(resume_steps=0.0), "measured": FreezeSearch()}.items():
        done = dear(search, "400s")
        resumes = done.study.history.resumes
        assert resumes.seconds == pytest.approx(6.0 * resumes.checkpoint)
        pieces[name] = resumes.checkpoint
    assert 0 < pieces["measured"] < 0.5 * pieces["blind"]


def test_a_budget_in_steps_is_spent_the_same_whatever_resumes_take():
    told = [
        [(t.config, t.steps, t.reason) for t in dear(search, "200 steps").study.trials]
        for search in (FreezeSearch(resume_steps=0.0), FreezeSearch())
    ]
    assert told[0] == told[1]
