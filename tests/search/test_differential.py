import numpy as np
import pytest
from playing import LOSS, ask, bowl, median_gain, mixed, play, told

from luthier import Float, Space
from luthier.errors import SettingError
from luthier.history import History
from luthier.search.differential import DifferentialSearch, _slots
from luthier.search.fresh import Results
from luthier.search.random import RandomSearch

SQUARE = Space(x=Float(0, 1), y=Float(0, 1))


def test_it_beats_random_search_on_a_tree():
    assert median_gain(DifferentialSearch, RandomSearch, mixed(), bowl, 60) > 0.1


def test_it_converges_along_a_narrow_valley():
    ends = [
        play(
            DifferentialSearch(population=10),
            SQUARE,
            lambda c: 100 * (c["y"] - c["x"] ** 2) ** 2 + (0.7 - c["x"]) ** 2,
            250,
            seed=s,
        ).losses.min()
        for s in range(5)
    ]
    assert np.median(ends) < 1e-3


def test_a_slot_is_held_by_the_best_of_its_numbers():
    history = History(SQUARE, LOSS)
    for number, loss in enumerate([3.0, 1.0, 2.0, None, 0.5, 0.9, 2.5]):
        history = told(history, {"x": number / 10, "y": 0.5}, loss)
    held = {slot: history.ended[row].number for slot, row in _slots(Results(history), 3).items()}
    assert held == {0: 0, 1: 4, 2: 5} or held == {0: 6, 1: 4, 2: 5}
    assert held[0] == 6


def test_reasons_name_the_trials_that_move_it():
    history = play(DifferentialSearch(), mixed(), bowl, 40)
    assert "moved towards trial" in ask(DifferentialSearch(), history)[0].reason


@pytest.mark.parametrize("given", [{"population": 3}, {"best": 0.0}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError, match=next(iter(given))):
        DifferentialSearch(**given)
