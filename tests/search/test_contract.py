"""The shipped contract, over every search that is found; and that it catches those who break it."""

import importlib
import pkgutil

import numpy as np
import pytest

import luthier.search
from luthier import Choice, Float, Int, Ordinal, Space
from luthier.contracts import New
from luthier.objective import Metric
from luthier.search.grid import GridSearch
from luthier.search.random import RandomSearch
from luthier.testing import check_search, history_of


def _searches():
    for module in sorted(m.name for m in pkgutil.iter_modules(luthier.search.__path__)):
        made = getattr(importlib.import_module(f"luthier.search.{module}"), "SEARCH", None)
        if made is not None:
            yield pytest.param(made, id=module)


_FOUND = list(_searches())


_ENDLESS = Space(
    lr=Float(1e-5, 1e-1, log=True, prior=1e-3),
    opt=Choice("adam", "sgd"),
    momentum=Float(0.0, 0.99, when={"opt": "sgd"}),
    depth=Int(1, 4),
    width=Int(16, 512, log=True),
    epochs=20,
    forbid=["opt == 'adam' and lr > 0.05"],
)
_FINITE = Space(a=Int(1, 4), b=Choice("x", "y"), c=Ordinal(1, 2, 3, when={"b": "x"}), forbid=["a == 4 and c == 3"])
_TINY = Space(a=Choice(False, True))


@pytest.mark.parametrize("make", _FOUND)
def test_every_search_keeps_the_contract_on_a_space_without_end(make):
    check_search((lambda: GridSearch(3)) if make is GridSearch else make, _ENDLESS, trials=16)


# population-based training repeats configurations by design: from other weights they are other trainings
@pytest.mark.parametrize("make", [p for p in _FOUND if p.id != "pbt"])
@pytest.mark.parametrize("space", [_FINITE, _TINY], ids=["finite", "tiny"])
def test_every_search_tries_each_configuration_of_a_finite_space_once_and_ends(make, space):
    check_search(make, space, seed=2)


@pytest.mark.parametrize("make", [p for p in _FOUND if p.id in ("random", "sobol", "grid")])
def test_several_metrics_and_batches_are_no_trouble(make):
    check_search(make, _FINITE, metrics=(Metric("loss"), Metric("acc", maximize=True)), batch=5)


# -- the contract suite itself: each law is broken once ----------------------------------------------------------------


class _Base(RandomSearch):
    """A search to be spoiled."""

    def __init__(self):
        super().__init__()
        self.calls = 0


class _Remembers(_Base):
    def propose(self, history, n, rng):
        self.calls += 1
        return super().propose(history, n, np.random.default_rng(self.calls))


class _Repeats(_Base):
    def propose(self, history, n, rng):
        return [New({"a": 1, "b": "y"}, "again")][:n]


class _Invalid(_Base):
    def propose(self, history, n, rng):
        return [New({"a": 9, "b": "y"}, "outside")]


class _WrongType(_Base):
    def propose(self, history, n, rng):
        found = super().propose(history, n, rng)
        return [New({**p.config, "a": float(p.config["a"])}, p.reason) for p in found]


class _Greedy(_Base):
    def propose(self, history, n, rng):
        return super().propose(history, n + 1, rng)


class _GivesUp(_Base):
    def propose(self, history, n, rng):
        return super().propose(history, n, rng) if history.began < 9 else []


class _Mute(_Base):
    def propose(self, history, n, rng):
        return [New(p.config) for p in super().propose(history, n, rng)]


class _Meddles(_Base):
    def propose(self, history, n, rng):
        found = super().propose(history, n, rng)
        if history.ended:
            history.ended[0].config["a"] += 100
        return found


class _NoList(_Base):
    def propose(self, history, n, rng):
        return tuple(super().propose(history, n, rng))


@pytest.mark.parametrize(
    ("spoiled", "law"),
    [
        (_Remembers, "without its cache|same question"),
        (_Repeats, "nothing is tried twice"),
        (_Invalid, "outside"),
        (_WrongType, "canonical types"),
        (_Greedy, "at most"),
        (_GivesUp, "until the space is exhausted"),
        (_Mute, "reason"),
        (_Meddles, "history is not changed"),
        (_NoList, "returns a list"),
    ],
)
def test_the_suite_catches_a_search_that_breaks_a_law(spoiled, law):
    with pytest.raises((AssertionError, ValueError), match=law):
        check_search(spoiled, _FINITE)


def test_the_history_for_tests_holds_what_it_was_given():
    history = history_of(_FINITE, [{"a": 1, "b": "y"}, {"a": 2, "b": "y"}], [0.5, float("nan")])
    np.testing.assert_array_equal(history.losses[:, 0], [0.5, np.nan])
    assert [t.state for t in history.ended] == ["done", "failed"]
