"""Random, grid and Sobol search: the order of a grid, the evenness of a sequence, the use of priors."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from luthier import Choice, Float, Int, Ordinal, Space
from luthier.contracts import New
from luthier.errors import SettingError, SpaceError
from luthier.history import History
from luthier.objective import Metric
from luthier.search import search_of
from luthier.search.grid import GridSearch
from luthier.search.random import RandomSearch
from luthier.search.sobol import SobolSearch, sobol_points
from luthier.testing import history_of

_METRICS = (Metric("loss"),)


def _propose(search, history, n, seed=0):
    return [p.config for p in search.propose(history, n, np.random.default_rng((seed, history.began)))]


def _drawn(search, space, n, seed=0):
    """Propose and end n trials, one by one."""
    configs = []
    for _ in range(n):
        configs += _propose(search, history_of(space, configs, [0.0] * len(configs), seed=seed), 1, seed)
    return configs


# -- random ------------------------------------------------------------------------------------------------------------


def test_random_search_draws_from_the_space():
    """Kolmogorov and Smirnov over 2,000 proposals; fails by chance once in 10,000."""
    space = Space(x=Float(1e-4, 1.0, log=True))
    history = History(space, _METRICS)
    values = [c["x"] for c in _propose(RandomSearch(), history, 2000)]
    assert stats.kstest([(math.log10(v) + 4) / 4 for v in values], "uniform").pvalue > 1e-4


def test_the_first_trial_is_what_the_user_believes_and_the_rest_is_drawn_around_it():
    space = Space(lr=Float(1e-5, 1e-1, log=True, prior=1e-3, sure=0.9), depth=Int(1, 9))
    for search in (RandomSearch(), SobolSearch()):
        proposals = search.propose(History(space, _METRICS, 1), 200, np.random.default_rng(0))
        assert proposals[0].config["lr"] == 1e-3
        assert proposals[0].origin == "prior"
        near = np.mean([1e-4 < p.config["lr"] < 1e-2 for p in proposals])
        assert near > 0.8
        assert "prior" in search.describe(History(space, _METRICS, 1))


def test_priors_can_be_ignored():
    space = Space(lr=Float(0, 1, prior=0.5, sure=1.0))
    proposals = RandomSearch(prior=False).propose(History(space, _METRICS), 500, np.random.default_rng(0))
    assert stats.kstest([p.config["lr"] for p in proposals], "uniform").pvalue > 1e-4


def test_what_another_worker_is_trying_now_is_not_tried_again():
    from luthier import State, Trial

    space = Space(a=Int(1, 5))
    history = History(space, _METRICS)
    for number, a in enumerate((1, 2, 3)):
        history = history.record(Trial(number, {"a": a}, State.RUNNING))
    for search in (RandomSearch(), SobolSearch(), GridSearch()):
        assert sorted(c["a"] for c in _propose(search, history, 9)) == [4, 5]


def test_the_last_of_a_large_finite_space_are_found():
    space = Space(a=Int(1, 40), b=Int(1, 50))
    known = list(space.enumerate())
    history = history_of(space, known[:-3], [0.0] * (len(known) - 3))
    assert sorted(map(repr, _propose(RandomSearch(), history, 9))) == sorted(map(repr, known[-3:]))


# -- grid --------------------------------------------------------------------------------------------------------------


def test_what_has_no_continuous_part_of_its_own_is_not_drawn_twice():
    space = Space(opt=Choice("a", "b"), m=Float(0, 1, when={"opt": "b"}))
    drawn = _drawn(RandomSearch(), space, 12) + _propose(RandomSearch(), history_of(space, [], []), 12)
    for part in (drawn[:12], drawn[12:]):
        assert sum(config == {"opt": "a"} for config in part) <= 1


def test_a_grid_begins_with_what_the_user_believes():
    space = Space(lr=Ordinal(1e-4, 1e-3, 1e-2, prior=1e-3), depth=Choice(1, 2, prior=2))
    assert _propose(GridSearch(), history_of(space, [], []), 2)[0] == {"lr": 1e-3, "depth": 2}
    every = _drawn(GridSearch(), space, 6)
    assert every[0] == {"lr": 1e-3, "depth": 2}
    assert len({repr(config) for config in every}) == 6
    assert len(_propose(GridSearch(), history_of(space, [], []), 10)) == 6


def test_a_grid_goes_in_order_the_last_parameter_fastest():
    space = Space(a=Int(1, 2), b=Choice("x", "y"), c=Int(1, 2, when={"b": "y"}))
    configs = _drawn(GridSearch(), space, 6)
    assert configs == list(space.enumerate())
    assert [c["a"] for c in configs] == [1, 1, 1, 2, 2, 2]


def test_a_grid_takes_points_of_continuous_parameters_bounds_included():
    configs = _drawn(GridSearch(3), Space(lr=Float(1e-4, 1e-2, log=True)), 3)
    assert [c["lr"] for c in configs] == pytest.approx([1e-4, 1e-3, 1e-2])


def test_a_grid_over_a_continuous_space_needs_points():
    with pytest.raises(SpaceError, match="points="):
        GridSearch().propose(History(Space(x=Float(0, 1)), _METRICS), 1, np.random.default_rng(0))
    with pytest.raises(SpaceError, match="at least 2"):
        GridSearch(1)


def test_a_grid_over_a_huge_space_starts_at_once():
    space = Space({f"p{i}": Int(1, 100) for i in range(10)})
    assert len(_propose(GridSearch(), History(space, _METRICS), 5)) == 5
    assert "100,000,000,000,000,000,000" in GridSearch().describe(History(space, _METRICS))


# -- Sobol -------------------------------------------------------------------------------------------------------------


def test_the_sequence_is_the_scrambled_one_of_scipy():
    space = Space(x=Float(0, 1), y=Float(0, 1), z=Float(0, 1))
    expected = qmc.Sobol(3, rng=np.random.default_rng(5)).random_base2(5)
    np.testing.assert_array_equal(sobol_points(space, 5, 5), expected)
    configs = _propose(SobolSearch(), History(space, _METRICS, 5), 32)
    np.testing.assert_allclose([list(c.values()) for c in configs], expected)


def test_a_longer_sequence_begins_with_the_shorter_one():
    space = Space(x=Float(0, 1), y=Choice("a", "b", "c"), forbid=["y == 'a' and x > 0.5"])
    short, long = sobol_points(space, 3, 5), sobol_points(space, 3, 8)
    np.testing.assert_array_equal(long[: len(short)], short)


def test_it_fills_the_space_more_evenly_than_random_search():
    space = Space(x=Float(0, 1), y=Float(0, 1))
    history = History(space, _METRICS, 1)
    spread = {}
    for search in (SobolSearch(), RandomSearch()):
        points = np.array([list(c.values()) for c in _propose(search, history, 128)])
        spread[type(search)] = qmc.discrepancy(points)
    assert spread[SobolSearch] < spread[RandomSearch] / 4


def test_proposals_one_by_one_are_those_of_one_batch():
    space = Space(x=Float(0, 1), y=Int(1, 100))
    assert _drawn(SobolSearch(), space, 20, seed=4) == _propose(SobolSearch(), History(space, _METRICS, 4), 20)


def test_a_space_with_many_forbidden_combinations_is_still_filled_by_the_sequence():
    space = Space(x=Float(0, 1), y=Float(0, 1), forbid=["x > 0.3", "y > 0.3"])
    configs = []
    history = history_of(space, configs, [])
    reasons = set()
    for _ in range(60):
        (proposal,) = SobolSearch().propose(history, 1, np.random.default_rng(0))
        assert isinstance(proposal, New)
        reasons.add(proposal.reason)
        configs.append(proposal.config)
        history = history_of(space, configs, [0.0] * len(configs))
    assert reasons == {"the next point of a Sobol sequence"}


# -- names -------------------------------------------------------------------------------------------------------------


def test_searches_are_found_by_name():
    assert isinstance(search_of("random"), RandomSearch)
    search = GridSearch(4)
    assert search_of(search) is search
    with pytest.raises(SettingError, match="did you mean 'random'"):
        search_of("randon")
    with pytest.raises(SettingError, match="there is no search 'first'"):
        search_of("first")  # a helper
    for wrong in (3, RandomSearch, None):
        with pytest.raises(SettingError, match="a name or an object"):
            search_of(wrong)
