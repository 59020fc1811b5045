import sys

import cmaes
import numpy as np
import pytest
from playing import LOSS, ask, bowl, median_gain, mixed, play

from luthier import Choice, Float, Int, Ordinal, Space
from luthier.errors import MissingExtra, SettingError
from luthier.history import History
from luthier.search.cmaes import CmaesSearch, Layout
from luthier.search.random import RandomSearch

CUBE = Space({f"x{i}": Float(0, 1) for i in range(4)})


def sphere(config) -> float:
    return sum((v - 0.3) ** 2 for v in config.values())


def test_it_beats_random_search_on_a_tree():
    assert median_gain(CmaesSearch, RandomSearch, mixed(), bowl, 60) > 0.05


def test_it_converges_on_the_sphere():
    assert play(CmaesSearch(), CUBE, sphere, 400).losses.min() < 1e-6


def test_it_is_the_optimizer_of_the_package_told_by_generations():
    history = play(CmaesSearch(population=6), CUBE, sphere, 24, seed=5)
    seed = int(np.random.SeedSequence((5, 0)).generate_state(1)[0])
    peer = cmaes.CatCMAwM(
        x_space=[[0.0, 1.0]] * 4, population_size=6, mean=np.full(4, 0.5), sigma=1.0, cov=np.eye(4) / 16, seed=seed
    )
    expected = []
    for _ in range(4):
        solutions = [peer.ask() for _ in range(18)][:6]  # three draws for each place
        expected += [s.x for s in solutions]
        losses = [sphere(dict(enumerate(s.x))) for s in solutions]
        ranks = np.argsort(np.argsort(losses)).astype(float)
        peer.tell(list(zip(solutions, ranks.tolist(), strict=True)))
    assert history.x == pytest.approx(np.array(expected), abs=1e-12)


def test_more_trials_than_a_generation_may_run_at_once():
    history = History(CUBE, LOSS, planned=100)
    configs = [p.config for p in ask(CmaesSearch(population=4), history, 30)]
    assert len({tuple(c.values()) for c in configs}) == 30


def test_it_restarts_with_a_larger_population_where_it_is_stuck():
    history = play(CmaesSearch(population=4), CUBE, lambda c: 1.0, 60)
    assert "restart 4" in " ".join(p.reason for p in ask(CmaesSearch(population=4), history))


def test_columns_are_sorted_by_what_they_are_to_it():
    space = Space(
        a=Float(0, 1), b=Int(1, 1000), c=Int(1, 5, log=True), d=Choice("x", "y", "z"), e=Ordinal(1, 2), f=Choice("one")
    )
    layout = Layout.of(space)
    assert (layout.smooth.tolist(), layout.stepped.tolist(), layout.named.tolist()) == ([0, 1], [2], [3, 4])


def test_the_first_generation_lies_around_the_priors():
    space = Space(x=Float(0, 1, prior=0.1), y=Float(0, 1, prior=0.9))
    history = play(CmaesSearch(spread=0.05), space, sphere, 6)
    assert np.abs(history.x - [0.1, 0.9]).max() < 0.2


def test_without_the_package_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(MissingExtra, match=r'pip install "luthier\[cma\]"'):
        CmaesSearch()


@pytest.mark.parametrize("given", [{"population": 2}, {"spread": 0.0}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError, match=next(iter(given))):
        CmaesSearch(**given)
