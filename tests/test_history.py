"""Histories: recording one trial after the other equals building it afresh; what was handed out never changes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from luthier import Choice, Float, Int, Space, State, Trial
from luthier.history import History
from luthier.objective import Metric
from luthier.trial import ENDED

_SPACE = Space(a=Int(1, 4), b=Choice("x", "y"), c=Float(0, 1, when={"b": "x"}))
_METRICS = (Metric("loss"), Metric("acc", maximize=True))
_values = st.floats(-100, 100)


def _same(one, other):
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.losses, other.losses)
    np.testing.assert_array_equal(one.seconds, other.seconds)
    np.testing.assert_array_equal(one.pending, other.pending)
    assert one.ended == other.ended
    assert one.live == other.live
    assert one.outside == other.outside
    assert one.trials == other.trials
    assert one.best == other.best
    assert (one.began, len(one), one.seed, one.planned) == (other.began, len(other), other.seed, other.planned)


class Recording(RuleBasedStateMachine):
    """Trials begin, report, pause, end in any order; earlier histories are kept and must not change."""

    @initialize()
    def begin(self):
        self.history = History(_SPACE, _METRICS, 7, 50)
        self.model: dict[int, Trial] = {}
        self.order: list[int] = []
        self.kept = []

    @rule(seed=st.integers(0, 2**20), state=st.sampled_from([State.WAITING, State.RUNNING]))
    def start(self, seed, state):
        trial = Trial(len(self.model), _SPACE.sample(np.random.default_rng(seed)), state)
        self.set(trial)

    def set(self, trial):
        self.history = self.history.record(trial)
        self.model[trial.number] = trial

    @rule(data=st.data(), state=st.sampled_from(list(State)), loss=_values, acc=_values)
    def change(self, data, state, loss, acc):
        living = [n for n in self.model if n not in self.order]
        if not living:
            return
        trial = self.model[data.draw(st.sampled_from(living))]
        curve = trial.curve.append(trial.steps + 1, {"loss": loss})
        metrics = {"loss": loss, "acc": acc} if data.draw(st.booleans()) else {"loss": loss}
        self.set(replace(trial, state=state, curve=curve, metrics=metrics, seconds=abs(acc)))
        if state in ENDED:
            self.order.append(trial.number)

    @rule()
    def keep(self):
        self.kept.append((self.history, self.model.copy(), self.order.copy()))

    def afresh(self, model, order):
        rest = sorted(n for n in model if n not in order)
        return History.of(_SPACE, _METRICS, [model[n] for n in (*order, *rest)], seed=7, planned=50)

    @invariant()
    def equals_the_history_built_afresh(self):
        if hasattr(self, "history"):
            _same(self.history, self.afresh(self.model, self.order))
            assert [t.number for t in self.history.ended] == self.order
            assert self.history.recorded == [*self.history.ended, *self.history.live]
            for number, trial in self.model.items():
                assert self.history.trial(number) == trial

    @rule()
    def kept_ones_have_not_changed(self):
        for history, model, order in self.kept[-3:]:
            _same(history, self.afresh(model, order))


TestRecording = Recording.TestCase


def _done(number, a, loss, state=State.DONE, b="y"):
    metrics = {} if loss is None else {"loss": loss, "acc": -loss}
    return Trial(number, {"a": a, "b": b, **({"c": 0.5} if b == "x" else {})}, state, metrics=metrics)


@given(st.lists(st.tuples(_values, _values), max_size=8))
def test_losses_are_lower_for_better_whatever_the_direction(pairs):
    history = History(_SPACE, _METRICS)
    for number, (loss, acc) in enumerate(pairs):
        history = history.record(Trial(number, {"a": 1, "b": "y"}, State.DONE, metrics={"loss": loss, "acc": acc}))
    np.testing.assert_array_equal(history.losses, np.array([[p[0], -p[1]] for p in pairs]).reshape(-1, 2))


def test_the_best_trial_is_the_lowest_of_what_counts():
    history = History(_SPACE, _METRICS)
    assert history.best is None
    history = history.record(_done(0, 1, None, State.FAILED))
    assert history.best is None
    history = history.record(_done(1, 1, 3.0)).record(_done(2, 2, 2.0, State.STOPPED))
    assert history.best.number == 2
    history = history.record(_done(3, 3, -9.0, State.RUNNING))
    assert history.best.number == 2  # what runs may yet fail
    history = history.record(_done(4, 3, 1.0, State.PAUSED))
    assert history.best.number == 4
    history = history.record(_done(5, 3, -50.0, State.FAILED))
    assert history.best.number == 4
    history = history.record(_done(6, 4, 1.0))
    assert history.best.number == 4  # the earlier of equals


def test_what_a_failed_trial_measured_is_no_loss():
    history = History(_SPACE, _METRICS).record(_done(0, 1, 1.0, State.FAILED))
    assert np.isnan(history.losses).all()
    assert len(history.x) == 1


def test_columns_cannot_be_written():
    history = History(_SPACE, _METRICS).record(_done(0, 1, 1.0))
    for column in (history.x, history.losses, history.seconds):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 5.0


def test_a_trial_ends_once_and_only_the_latest_history_grows():
    old = History(_SPACE, _METRICS)
    new = old.record(_done(0, 1, 1.0))
    with pytest.raises(ValueError, match="has ended before"):
        new.record(_done(0, 1, 2.0))
    with pytest.raises(ValueError, match="only the latest"):
        old.record(_done(1, 1, 1.0))
    assert len(old.x) == 0
    with pytest.raises(KeyError, match="no trial 7"):
        new.trial(7)


def test_a_configuration_is_seen_once_it_began():
    history = History(_SPACE, _METRICS)
    code = _SPACE.encode({"a": 2, "b": "x", "c": 0.5})
    assert not history.seen(code)
    running = history.record(_done(0, 2, None, State.RUNNING, b="x"))
    assert running.seen(code)
    assert not history.seen(code)
    ended = running.record(_done(0, 2, 1.0, b="x"))
    assert ended.seen(code)
    assert not ended.seen(_SPACE.encode({"a": 2, "b": "y"}))


def test_trials_outside_of_a_changed_space_are_kept_but_not_seen():
    trials = [_done(0, 1, 5.0), _done(1, 4, 1.0), _done(2, 2, 3.0, b="x"), _done(3, 4, None, State.PAUSED)]
    narrow = Space(a=Int(1, 3), b=Choice("x", "z", "y"), c=Float(0, 2, when={"b": "x"}))
    history = History.of(narrow, _METRICS, trials)
    assert [t.number for t in history.outside] == [1, 3]
    assert [t.number for t in history.trials] == [0, 1, 2, 3]
    assert [t.number for t in history.ended] == [0, 2]
    assert history.began == 4
    assert history.best.number == 2
    np.testing.assert_array_equal(history.x, [narrow.encode(t.config) for t in history.ended])
    assert history.trial(1).metrics["loss"] == 1.0


def test_a_loss_curve_leaves_out_steps_without_the_metric():
    trial = _done(0, 1, 1.0)
    curve = trial.curve.append(1, {"loss": 2.0}).append(2, {"acc": 0.5}).append(4, {"loss": 1.0, "acc": 0.7})
    history = History(_SPACE, _METRICS)
    steps, losses = history.loss_curve(replace(trial, curve=curve))
    assert (steps.tolist(), losses.tolist()) == ([1, 4], [2.0, 1.0])
    steps, losses = history.loss_curve(replace(trial, curve=curve), 1)
    assert (steps.tolist(), losses.tolist()) == ([2, 4], [-0.5, -0.7])


def test_planning_changes_the_plan_only():
    history = History(_SPACE, _METRICS, 3).record(_done(0, 1, 1.0))
    planned = history.planning(99)
    assert (history.planned, planned.planned) == (None, 99)
    _same(planned.planning(None), history)


def test_recording_many_trials_shares_one_set_of_columns():
    history = History(_SPACE, _METRICS)
    for number in range(200):
        history = history.record(_done(number, 1 + number % 4, float(number)))
    assert len(history.x) == 200
    assert history.lineage is history.planning(5).lineage
    assert not math.isnan(history.losses.sum())
