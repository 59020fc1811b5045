import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import LOSS, ask, bowl, median_gain, mixed, play, told

from luthier import Choice, Float, Int, Ordinal, Space
from luthier.errors import SettingError
from luthier.history import History
from luthier.search.inner import inside
from luthier.search.random import RandomSearch
from luthier.search.zoom import ZoomSearch, narrow, region
from strategies import points, spaces

SQUARE = Space(x=Float(0, 1), y=Float(0, 1))


def hill(config) -> float:
    return (config["x"] - 0.7) ** 2 + (config["y"] - 0.2) ** 2


def test_zooming_random_search_beats_random_search():
    assert median_gain(lambda: ZoomSearch("random"), RandomSearch, SQUARE, hill, 60) > 0


def test_later_phases_are_finer_and_a_share_stays_global():
    history = play(ZoomSearch("random", phases=3, everywhere=0.25), SQUARE, hill, 200)
    last = np.abs(history.x[134:] - [0.7, 0.2]).max(axis=1)
    assert np.median(last) < 0.5 * np.median(np.abs(history.x[:66] - [0.7, 0.2]).max(axis=1))
    reasons = [
        ask(ZoomSearch("random", everywhere=0.25), History.of(SQUARE, LOSS, history.trials[:n], planned=200))[0].reason
        for n in range(140, 160)
    ]
    assert sum("in the whole space" in r for r in reasons) == 5
    assert sum("zoom 3 of 3, around the best 20 of the first 133 trials" in r for r in reasons) == 15


def test_without_a_plan_phases_double():
    search = ZoomSearch("random", phases=3)
    history, seen = History(SQUARE, LOSS), []
    for k in range(60):
        seen.append(search.phase(history))
        history = told(history, SQUARE.sample(np.random.default_rng(k)), 1.0)
    assert [seen[k] for k in (24, 25, 49, 50)] == [(0, 0), (1, 25), (1, 25), (2, 50)]


@given(spaces(), st.integers(0, 99), st.integers(0, 30))
@settings(max_examples=60)
def test_a_region_lies_in_its_space_and_holds_the_best(space, seed, n):
    x = points(space, n, seed)
    x = space.snap(x[space.allowed(x)])
    losses = np.random.default_rng(seed).random((len(x), 1))
    part = region(space, x, losses, 0.2)
    if len(x):
        config = space.decode(x[int(np.argmin(losses))])
        assert inside(part, config) is not None
    for k in range(5):
        space.validate(part.sample(np.random.default_rng(k)))


def test_what_conditions_name_keeps_its_range():
    space = mixed()
    history = play(RandomSearch(), space, bowl, 30)
    part = region(space, history.x, history.losses, 0.1)
    for name in ("opt", "batch", "act"):
        assert part.parameters[name] == space.parameters[name]
    assert part.parameters["lr"].high / part.parameters["lr"].low < 1e4


def test_parameters_narrow_on_their_own_scale():
    part = narrow(Float(0, 1), 0.4, 0.6)
    assert (part.low, part.high) == pytest.approx((0.35, 0.65))
    assert narrow(Int(1, 100), 0.105, 0.105) == Int(10, 12)
    assert narrow(Ordinal("a", "b", "c", "d", prior="a"), 0.625, 0.625) == Ordinal("c")
    assert narrow(Ordinal([(0, 1)]), 0.5, 0.5) == Ordinal([(0, 1)])
    assert narrow(Int(0, 100, step=10), 0.5, 0.5) == Int(0, 100, step=10)
    assert narrow(Float(0, 1, step=0.1), 0.5, 0.5) == Float(0, 1, step=0.1)
    assert narrow(Choice("a", "b"), 0.25, 0.25) == Choice("a", "b")
    assert narrow(Float(0, 1, prior=0.9), 0.4, 0.6).prior is None


@pytest.mark.parametrize("given", [{"phases": 0}, {"quantile": 0.0}, {"everywhere": 2.0}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError, match=next(iter(given))):
        ZoomSearch(**given)
