"""Trials: the table of transitions, and curves that grow without changing the ones they grew from."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from luthier import Curve, State, Trial
from luthier.errors import TrialStateError
from luthier.trial import NEXT, move

_metrics = st.dictionaries(st.sampled_from(["loss", "acc", "grad"]), st.floats(-1e6, 1e6), max_size=3)
_rows = st.lists(st.tuples(st.integers(1, 5), _metrics), max_size=12).map(
    lambda gaps: [(sum(g for g, _ in gaps[: i + 1]), m) for i, (_, m) in enumerate(gaps)]
)


def _curve(rows):
    curve = Curve()
    for step, metrics in rows:
        curve = curve.append(step, metrics)
    return curve


class GrowingCurves(RuleBasedStateMachine):
    """Any number of curves that branch from one another, against plain dicts."""

    curves = Bundle("curves")

    @initialize(target=curves)
    def begin(self):
        return Curve(), {}

    @rule(target=curves, known=curves, gap=st.integers(0, 3), metrics=_metrics)
    def append(self, known, gap, metrics):
        curve, model = known
        step = curve.last_step + gap
        grown = curve.append(step, metrics)
        return grown, {**model, step: {**model.get(step, {}), **metrics}}

    @rule(target=curves, known=curves, step=st.integers(-1, 20))
    def cut(self, known, step):
        curve, model = known
        return curve.upto(step), {s: m for s, m in model.items() if s <= step}

    @rule(known=curves)
    def equals_its_model(self, known):
        curve, model = known
        assert list(curve) == sorted(model.items())
        assert len(curve) == len(model)
        assert curve.last_step == max(model, default=0)
        assert curve.steps.tolist() == sorted(model)
        for name in ("loss", "acc", "grad", "other"):
            expected = [model[s].get(name, math.nan) for s in sorted(model)]
            np.testing.assert_array_equal(curve.values(name), expected)
        assert curve == _curve(sorted(model.items()))
        assert hash(curve) == hash(_curve(sorted(model.items())))
        assert pickle.loads(pickle.dumps(curve)) == curve


TestGrowingCurves = GrowingCurves.TestCase


@given(_rows, st.integers(0, 60))
def test_upto_keeps_the_steps_up_to_and_with_the_one_given(rows, step):
    assert list(_curve(rows).upto(step)) == [(s, m) for s, m in rows if s <= step]


@given(_rows, st.integers(0, 60))
def test_at_gives_the_metrics_of_a_step_or_says_that_there_is_none(rows, step):
    if step in dict(rows):
        assert _curve(rows).at(step) == dict(rows)[step]
    else:
        with pytest.raises(KeyError):
            _curve(rows).at(step)


@given(_rows)
def test_appending_to_a_copy_leaves_the_original_alone(rows):
    curve = _curve(rows)
    for twin in (copy.copy(curve), copy.deepcopy(curve), pickle.loads(pickle.dumps(curve))):
        twin.append(curve.last_step + 1, {"loss": 1.0})
        curve.append(curve.last_step + 2, {"acc": 2.0})
        assert list(curve) == list(twin) == rows


def test_a_curve_that_was_changed_through_its_arrays_would_be_no_record():
    curve = _curve([(1, {"loss": 1.0}), (2, {"loss": 2.0})])
    for view in (curve.steps, curve.values("loss")):
        try:
            view[0] = 99
        except ValueError:  # read-only
            continue
    assert list(curve) == [(1, {"loss": 1.0}), (2, {"loss": 2.0})]


def test_steps_rise():
    with pytest.raises(ValueError, match="steps rise: 2 was reported after 3"):
        Curve().append(3, {}).append(2, {})


def test_all_trials_begin_with_a_curve_of_their_own():
    a, b = Trial(0, {}), Trial(1, {})
    grown = a.curve.append(1, {"loss": 1.0})
    assert len(grown) == 1
    assert len(a.curve) == len(b.curve) == len(Trial(2, {}).curve) == 0


def test_appending_takes_constant_time():
    """Ten times as many appends cost about ten times the copies: none, where the tip grows."""
    curve = _curve([(1, {"loss": 1.0})])
    storage = curve._steps
    for step in range(2, 2000):
        curve = curve.append(step, {"loss": 1.0})
    assert curve._steps is storage


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("after", list(State))
def test_a_trial_moves_along_the_table_only(before, after):
    trial = Trial(3, {"x": 1}, before)
    if after in NEXT[before]:
        moved = move(trial, after, reason="because")
        assert (moved.state, moved.reason, trial.state) == (after, "because", before)
    else:
        with pytest.raises(TrialStateError, match=f"trial 3 is {before}; it cannot become {after}"):
            move(trial, after)


def test_every_state_can_be_reached_and_an_ended_one_is_final():
    assert set().union(*NEXT.values()) == set(State)
    assert {s for s in State if not NEXT[s]} == {State.DONE, State.STOPPED, State.FAILED}


@pytest.mark.parametrize(
    ("state", "steps", "grant", "unfinished"),
    [
        ("waiting", 0, None, True),
        ("running", 2, 5, False),
        ("paused", 2, None, True),
        ("paused", 2, 5, True),
        ("paused", 5, 5, False),
        ("paused", 0, 0, False),
        ("done", 2, 5, False),
    ],
)
def test_a_trial_is_unfinished_if_it_was_interrupted_before_its_grant(state, steps, grant, unfinished):
    curve = Curve().append(steps, {"loss": 1.0}) if steps else Curve()
    assert Trial(0, {}, State(state), curve=curve, grant=grant).unfinished is unfinished
