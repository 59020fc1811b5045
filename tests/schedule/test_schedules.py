"""Schedules: the contract over all that are found, and their rules against plain definitions."""

import importlib
import pkgutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import luthier.schedule
from luthier import Curve, Float, Space, State, Trial
from luthier.contracts import CONTINUE, Decision, Resume, Verdict
from luthier.errors import SettingError
from luthier.history import History
from luthier.objective import Metric
from luthier.schedule import schedule_of
from luthier.schedule.chain import Chain
from luthier.schedule.median import Median
from luthier.schedule.patience import Patience
from luthier.testing import check_schedule

_LOSS = Metric("loss")
_SPACE = Space(x=Float(0, 1))


def _schedules():
    for module in sorted(m.name for m in pkgutil.iter_modules(luthier.schedule.__path__)):
        made = getattr(importlib.import_module(f"luthier.schedule.{module}"), "SCHEDULE", None)
        if made is not None and made() is not None:  # "full" is no schedule at all
            yield pytest.param(made, id=module)


_FOUND = list(_schedules())


@pytest.mark.parametrize("make", _FOUND)
@pytest.mark.parametrize("seed", range(3))
def test_every_schedule_keeps_the_contract(make, seed):
    check_schedule(make, seed=seed)


@pytest.mark.parametrize("make", [lambda: Median(pause=True), lambda: Chain([Median(25), Patience(2)])])
def test_schedules_with_settings_keep_it_too(make):
    check_schedule(make)


def _curve(losses, name="loss"):
    curve = Curve()
    for step, loss in enumerate(losses, 1):
        curve = curve.append(step, {name: loss})
    return curve


def _history(curves, *, metric=_LOSS, state=State.DONE):
    history = History(_SPACE, (metric,))
    for number, losses in enumerate(curves):
        curve = _curve(losses, metric.name)
        history = history.record(
            Trial(number, {"x": number / 100}, state, curve=curve, metrics={metric.name: losses[-1]})
        )
    return history


def _judge(schedule, others, mine, *, metric=_LOSS, state=State.DONE):
    history = _history(others, metric=metric, state=state)
    trial = Trial(len(others), {"x": 0.99}, State.RUNNING, curve=_curve(mine, metric.name))
    return schedule.judge(history.record(trial), trial)


_losses = st.lists(st.floats(-100, 100), min_size=1, max_size=6)


@given(st.lists(_losses, max_size=9), _losses, st.sampled_from([25.0, 50.0, 75.0]), st.integers(0, 3), st.booleans())
def test_the_median_rule_is_what_its_definition_says(others, mine, percentile, warmup, live):
    """Best so far at this step, against a percentile of what the others had at this step, if they got there."""
    step, reached = len(mine), sorted(min(o[: len(mine)]) for o in others if len(o) >= len(mine))
    stop = False
    if step > warmup and len(reached) >= 4:
        stop = min(mine) > reached[min(int(len(reached) * percentile / 100), len(reached) - 1)]
    state = State.PAUSED if live else State.DONE
    decision = _judge(Median(percentile, warmup=warmup, guard=False), others, mine, state=state)
    assert decision.verdict is (Verdict.STOP if stop else Verdict.CONTINUE)
    assert bool(decision.reason) is stop


def test_the_median_rule_says_why_in_the_units_of_the_metric():
    others = [[0.9, 0.95]] * 6
    decision = _judge(Median(guard=False), others, [0.5, 0.6], metric=Metric("acc", maximize=True))
    assert decision == Decision(Verdict.STOP, "best acc 0.6 at step 2; half of the others had 0.95 or better")
    assert _judge(Median(guard=False), others, [0.5, 0.96], metric=Metric("acc", maximize=True)) == CONTINUE


def test_the_median_rule_can_pause_instead():
    assert _judge(Median(pause=True, guard=False), [[1.0, 1.0]] * 6, [2.0, 2.0]).verdict is Verdict.PAUSE


@given(_losses, st.integers(1, 4), st.floats(0, 5), st.integers(0, 4))
def test_patience_is_what_its_definition_says(losses, patience, delta, warmup):
    finish = False
    if len(losses) >= warmup and len(losses) > patience:
        finish = min(losses[-patience:]) >= min(losses[:-patience]) - delta
    decision = _judge(Patience(patience, min_delta=delta, warmup=warmup), [], losses)
    assert decision.verdict is (Verdict.FINISH if finish else Verdict.CONTINUE)


def test_patience_ignores_steps_without_the_metric():
    curve = _curve([3.0, 2.0]).append(3, {"other": 1.0}).append(4, {"other": 1.0}).append(5, {"other": 1.0})
    trial = Trial(0, {"x": 0.5}, State.RUNNING, curve=curve)
    history = History(_SPACE, (Metric("loss"),)).record(trial)
    assert Patience(2).judge(history, trial) == CONTINUE


def test_full_is_no_schedule_at_all():
    assert schedule_of("full") is None


class _Fixed:
    """A schedule with set answers."""

    def __init__(self, grant, promoted, decision):
        self.answers = grant, promoted, decision

    def grant(self, history):
        return self.answers[0]

    def promote(self, history):
        return self.answers[1]

    def judge(self, history, trial):
        return self.answers[2]


def test_of_several_schedules_the_first_objection_and_the_shortest_grant_count():
    stop, finish = Decision(Verdict.STOP, "a"), Decision(Verdict.FINISH, "b")
    chain = Chain([_Fixed(9, None, CONTINUE), _Fixed(5, Resume(3), stop), _Fixed(None, Resume(4), finish)])
    history = _history([])
    assert chain.grant(history) == 5
    assert chain.promote(history) == Resume(3)
    assert chain.judge(history, Trial(0, {})) == stop
    assert Chain([]).grant(history) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Median(0),
        lambda: Median(100),
        lambda: Median(min_trials=0),
        lambda: Patience(0),
        lambda: Patience(min_delta=-1),
    ],
)
def test_settings_outside_are_refused(make):
    with pytest.raises(SettingError, match="needs"):
        make()


def test_schedules_are_found_by_name():
    assert isinstance(schedule_of("median"), Median)
    assert schedule_of("percentile").percentile == 25.0
    both = schedule_of("median+patience")
    assert [type(s) for s in both.schedules] == [Median, Patience]
    assert [type(s) for s in schedule_of([Patience(3), "median"]).schedules] == [Patience, Median]
    with pytest.raises(SettingError, match="did you mean 'median'"):
        schedule_of("medain")
    for wrong in (3, Median):
        with pytest.raises(SettingError, match="a name or an object"):
            schedule_of(wrong)


class _Forgetful(Median):
    calls = 0

    def judge(self, history, trial):
        self.calls += 1
        return Decision(Verdict.STOP, "odd") if self.calls % 2 else CONTINUE


class _Backwards(Patience):
    def promote(self, history):
        held = [t for t in history.live if t.state is State.PAUSED]
        return Resume(held[0].number, grant=held[0].steps) if held else None

    def grant(self, history):
        return 2


@pytest.mark.parametrize(("spoiled", "law"), [(_Forgetful, "without its cache"), (_Backwards, "leads further")])
def test_the_suite_catches_a_schedule_that_breaks_a_law(spoiled, law):
    with pytest.raises(AssertionError, match=law):
        check_schedule(spoiled)


def test_a_trial_that_lags_is_stopped_by_the_first_report_that_shows_it():
    history = _history([[1.0 - 0.01 * s for s in range(10)]] * 5)
    rng, verdicts, curve = np.random.default_rng(0), [], Curve()
    for step in range(1, 11):
        curve = curve.append(step, {"loss": 2.0 + float(rng.random())})
        trial = Trial(5, {"x": 0.5}, State.RUNNING, curve=curve)
        verdicts.append(Median(warmup=3, guard=False).judge(history.record(replace(trial)), trial).verdict)
    assert verdicts == [Verdict.CONTINUE] * 3 + [Verdict.STOP] * 7
