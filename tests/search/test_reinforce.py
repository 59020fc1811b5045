from itertools import pairwise

import numpy as np
import pytest
from playing import ask, median_gain, play, told

from luthier import Choice, Float, Int, Space
from luthier.errors import SettingError
from luthier.search.random import RandomSearch
from luthier.search.reinforce import Learner, ReinforceSearch, cells_of

CELLS = Space({f"op{i}": Choice("skip", "conv", "pool", "none") for i in range(8)})


def chain(config) -> float:
    """Every operation should be another one than the one before: pairs matter, single choices do not."""
    ops = list(config.values())
    return sum(a == b for a, b in pairwise(ops)) + sum(op == "none" for op in ops)


def test_it_beats_random_search_on_a_chain():
    assert median_gain(ReinforceSearch, RandomSearch, CELLS, chain, 100) >= 0.5


def test_its_policy_learns_pairs():
    history = play(ReinforceSearch(), CELLS, chain, 200)
    assert np.mean(history.losses[150:]) < 0.6 * np.mean(history.losses[:50])


def test_the_reward_is_the_share_of_earlier_trials_that_are_worse():
    history = play(RandomSearch(), CELLS, lambda c: 0.0, 0)
    learner = Learner(history, rate=0.1, entropy=0.0, memory=10)
    rewards = []
    for row, loss in enumerate([5.0, 1.0, 3.0, None, 1.0, 1e300]):
        history = told(history, CELLS.sample(np.random.default_rng(row)), loss)
        rewards.append(learner._reward(history, row))
    assert rewards == [0.0, 1.0, 0.0, -1.0, pytest.approx(2 / 3), -1.0]


def test_numbers_with_many_values_are_choices_among_cells():
    assert cells_of(Space(a=Float(0, 1), b=Int(1, 4), c=Choice(*range(20)))).tolist() == [8, 4, 20]


def test_reasons_say_how_likely_a_sample_was():
    history = play(ReinforceSearch(), CELLS, chain, 30)
    assert "times as likely as by chance" in ask(ReinforceSearch(), history)[0].reason


@pytest.mark.parametrize("given", [{"rate": 0.0}, {"entropy": -1.0}, {"memory": 0}, {"start": 0}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError, match=next(iter(given))):
        ReinforceSearch(**given)
