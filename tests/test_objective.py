"""Objectives: how they want to be called, and what they may give back."""

import asyncio
import functools
import math
import random
import re

import numpy as np
import pytest

from luthier.errors import MetricError, ObjectiveError, SettingError
from luthier.objective import Metric, metrics_of, objective_of, read_metrics, result_of

_loss = (Metric("loss"),)
_two = (Metric("loss"), Metric("acc", maximize=True))


class _Zero:
    """A zero-dimensional tensor of another library."""

    shape = ()

    def item(self):
        return 0.25

    def __repr__(self):
        return "a scalar"


class _Float:
    """A scalar that has no item(), as TensorFlow's."""

    shape = ()

    def __float__(self):
        return 0.25

    def __repr__(self):
        return "a scalar without item()"


class _Lost:
    """A scalar on a GPU that has failed before."""

    shape = ()

    def __init__(self, said):
        self.said = said

    def item(self):
        raise RuntimeError(self.said)


# -- what is tuned -----------------------------------------------------------------------------------------------------


def test_metrics_are_named_with_a_direction():
    assert metrics_of("loss", None) == (Metric("loss"),)
    assert metrics_of(["loss", "time"], "acc") == (Metric("loss"), Metric("time"), Metric("acc", True))
    assert metrics_of(True, None) == (Metric("value"),)
    assert metrics_of(None, True) == (Metric("value", True),)
    assert (Metric("loss").sign, Metric("acc", True).sign) == (1.0, -1.0)


@pytest.mark.parametrize(
    ("low", "high"), [(None, None), ("a", "a"), (["a", "a"], None), ("", None), ([3], None), ([], [])]
)
def test_what_is_tuned_must_be_clear(low, high):
    with pytest.raises(SettingError):
        metrics_of(low, high)


# -- what comes back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.5, 0.5),
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(0.25), 0.25),
        (_Zero(), 0.25),
        (_Float(), 0.25),
        ({"loss": np.float64(0.5)}, 0.5),
    ],
    ids=repr,
)
def test_numbers_of_any_library_become_plain_floats(given, expected):
    metrics = read_metrics(given, _loss)
    assert metrics == {"loss": expected}
    assert type(metrics["loss"]) is float


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("1.5", "type"),
        (None, "type"),
        ([0.5], "type"),
        (True, "type"),
        (np.array([0.5]), "type"),
        (1 + 2j, "type"),
        (b"1", "type"),
        (math.nan, "nan"),
        (math.inf, "nan"),
        (-math.inf, "nan"),
        (10**400, "nan"),
        (np.float32("nan"), "nan"),
        ({"loss": "x"}, "type"),
        ({"loss": 0.5, "note": "x"}, "type"),
        ({"acc": 0.5}, "missing"),
        ({}, "missing"),
    ],
    ids=lambda v: repr(v)[:20],
)
def test_what_cannot_be_used_says_which_kind_of_failure_it_is(given, kind):
    with pytest.raises(MetricError) as caught:
        read_metrics(given, _loss, final=True)
    assert caught.value.failure.kind == kind
    assert str(caught.value) == caught.value.failure.message
    assert len(caught.value.failure.message) < 200


@pytest.mark.parametrize(
    ("said", "kind"), [("CUDA error: device-side assert", "exception"), ("CUDA error: out of memory", "memory")]
)
def test_a_scalar_that_cannot_be_read_is_a_failure_of_its_kind(said, kind):
    with pytest.raises(MetricError) as caught:
        read_metrics(_Lost(said), _loss)
    assert caught.value.failure.kind == kind
    assert caught.value.failure.message == f"loss cannot be read: RuntimeError: {said}"


def test_only_wanted_metrics_have_to_be_finite():
    metrics = read_metrics({"loss": 1.0, "grad": math.inf, "skew": math.nan}, _loss)
    assert metrics["grad"] == math.inf
    assert math.isnan(metrics["skew"])


def test_names_of_metrics_are_strings():
    assert list(read_metrics({"loss": 1.0, 3: 2.0}, _loss)) == ["loss", "3"]


def test_a_single_number_is_refused_where_several_metrics_are_tuned():
    with pytest.raises(MetricError, match="return a dict of them"):
        read_metrics(0.5, _two)


def test_a_missing_metric_gets_a_hint():
    with pytest.raises(MetricError, match=r"reported were los; did you mean 'los'\?"):
        read_metrics({"los": 0.5}, _loss, final=True)


def test_reading_does_not_change_what_was_given():
    given = {"loss": np.float32(0.5)}
    read_metrics(given, _loss)
    assert type(given["loss"]) is np.float32


def test_the_result_is_the_best_step_and_with_several_metrics_the_last():
    result = {}
    for step in ({"loss": 3.0, "t": 1.0}, {"loss": 1.0, "t": 2.0}, {"loss": 2.0, "t": 3.0}, {"t": 4.0}):
        result = result_of(result, step, _loss)
    assert result == {"loss": 1.0, "t": 2.0}
    assert result_of({"acc": 0.5}, {"acc": 0.6}, (Metric("acc", True),)) == {"acc": 0.6}
    assert result_of({"loss": 1.0, "acc": 0.5}, {"loss": 2.0}, _two) == {"loss": 2.0, "acc": 0.5}


# -- how it is called --------------------------------------------------------------------------------------------------


def _call(function, config, names=("lr", "depth")):
    result, failure = objective_of(function, names).attempt(config, 0, "RUN")
    assert failure is None, failure
    return result


class _Callable:
    def __call__(self, lr, depth):
        return lr, depth

    def method(self, config):
        return config


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda lr, depth: (lr, depth), (0.1, 2)),
        (lambda depth, lr, run: (lr, depth, run), (0.1, 2, "RUN")),
        (lambda lr, depth, extra=7: (lr, depth, extra), (0.1, 2, 7)),
        (lambda lr=5, depth=6: (lr, depth), (0.1, 2)),
        (lambda *, lr, depth: (lr, depth), (0.1, 2)),
        (lambda **config: config, {"lr": 0.1, "depth": 2}),
        (lambda lr, **rest: (lr, rest), (0.1, {"depth": 2})),
        (lambda config: config, {"lr": 0.1, "depth": 2}),
        (lambda config, run: (config, run), ({"lr": 0.1, "depth": 2}, "RUN")),
        (lambda c, scale=3: (c["lr"], scale), (0.1, 3)),
        (_Callable(), (0.1, 2)),
        (_Callable().method, {"lr": 0.1, "depth": 2}),
        (functools.partial(lambda data, lr, depth: (data, lr, depth), "DATA"), ("DATA", 0.1, 2)),
        (functools.partial(lambda lr, depth, data: (data, lr, depth), data="DATA"), ("DATA", 0.1, 2)),
        (dict, {"lr": 0.1, "depth": 2}),
    ],
    ids=range(15),
)
def test_an_objective_is_called_the_way_it_wants(function, expected):
    assert _call(function, {"lr": 0.1, "depth": 2}) == expected


def test_an_inactive_parameter_is_none_or_its_default():
    assert _call(lambda lr, depth: (lr, depth), {"lr": 0.1}) == (0.1, None)
    assert _call(lambda lr, depth=9: (lr, depth), {"lr": 0.1}) == (0.1, 9)


def test_the_objective_may_change_the_configuration_it_got():
    config = {"lr": 0.1, "depth": 2}
    _call(lambda c: c.clear(), config)
    assert config == {"lr": 0.1, "depth": 2}


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (3, "an objective is a function"),
        (lambda lr, dept: 0, r"needs 'dept', which is not in the space; did you mean 'depth'"),
        (lambda lr: 0, r"the space has 'depth'"),
        (lambda a, b: 0, "needs 'a'"),
        (lambda: 0, "the space has 'lr'"),
    ],
    ids=range(5),
)
def test_an_objective_that_does_not_fit_the_space_is_refused_at_the_door(function, says):
    with pytest.raises(ObjectiveError, match=says):
        objective_of(function, ("lr", "depth"))


def _yields(lr, depth, extra):
    yield lr * depth * extra


class _Yields:
    def __call__(self, lr, depth):
        yield lr * depth


@pytest.mark.parametrize(
    "function",
    [_Yields(), functools.partial(_yields, extra=1), functools.partial(functools.partial(_yields), extra=1)],
    ids=range(3),
)
def test_a_generator_is_known_behind_objects_and_partials(function):
    assert objective_of(function, ("lr", "depth")).streams


async def _waits(lr, depth):
    return lr * depth


async def _waits_and_yields(lr, depth):
    yield lr * depth


@pytest.mark.parametrize("function", [_waits, _waits_and_yields, functools.partial(_waits)], ids=range(3))
def test_what_is_async_is_refused_at_the_door(function):
    with pytest.raises(ObjectiveError, match=r"is async: give a plain function"):
        objective_of(function, ("lr", "depth"))


def test_a_decorator_may_run_what_is_async():
    @functools.wraps(_waits)
    def runs(lr, depth):
        return asyncio.run(_waits(lr, depth))

    assert _call(runs, {"lr": 0.5, "depth": 2}) == 1.0


def test_a_parameter_named_run_collides_with_the_run():
    with pytest.raises(ObjectiveError, match="'run'"):
        objective_of(lambda run, lr: 0, ("run", "lr"))


class _Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (ValueError("bad lr"), "exception", "ValueError: bad lr"),
        (MemoryError(), "memory", "MemoryError"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "memory", "CUDA out of memory"),
        (SystemExit(3), "exit", r"exit\(3\)"),
        (_Unspeakable(), "exception", "_Unspeakable"),
    ],
    ids=range(5),
)
def test_what_an_objective_raises_becomes_a_failure(error, kind, says):
    def objective(lr):
        raise error

    result, failure = objective_of(objective, ("lr",)).attempt({"lr": 0.1}, 0)
    assert result is None
    assert failure.kind == kind
    assert re.search(says, failure.message)
    assert "raise error" in failure.traceback
    assert "/luthier/objective.py" not in failure.traceback  # only the user's own frames


def test_the_global_generators_are_seeded_for_each_trial():
    def objective(lr):
        return random.random(), np.random.rand()

    one = objective_of(objective, ("lr",))
    assert one.attempt({"lr": 1}, 5) == one.attempt({"lr": 2}, 5) != one.attempt({"lr": 1}, 6)
