from __future__ import annotations

import numpy as np
import pytest
from playing import LOSS, PAIR, ask, bowl, mixed, play, told

from luthier import Choice, Float, Int, Space, Study, Trial
from luthier.errors import SettingError
from luthier.history import History
from luthier.search import auto, search_of
from luthier.search.adaptive import AdaptiveSearch
from luthier.search.auto import AutoSearch, choose, noise_seen

SMALL = Space(layers=Int(1, 4), norm=Choice("batch", "layer", None))


def test_a_space_that_fits_into_the_budget_is_tried_completely():
    assert choose(History(SMALL, LOSS, planned=50)).search == "grid"
    assert choose(History(SMALL, LOSS, planned=12)).search == "grid"
    assert choose(History(SMALL, LOSS, planned=11)).search == "bayes"
    assert choose(History(SMALL, LOSS)).search == "grid"
    history = play(AutoSearch(), SMALL, lambda c: c["layers"], 50)
    assert len(history) == 12


def test_a_noisy_space_is_not_tried_completely():
    history = History(SMALL, LOSS, planned=50)
    for loss in (1.0, 2.0):
        history = told(history, {"layers": 1, "norm": None}, loss)
    assert choose(told(history, {"layers": 2, "norm": None}, 5.0)).search == "bayes"


@pytest.mark.parametrize(
    ("space", "planned", "search"),
    [
        (mixed(), None, "bayes"),
        (mixed(), 200, "bayes"),
        (mixed(), 20_000, "tpe"),
        (Space({f"x{i}": Float(0, 1) for i in range(101)}), 50, "tpe"),
    ],
)
def test_the_choice_hangs_on_the_space_and_the_budget(space, planned, search):
    choice = choose(History(space, LOSS, planned=planned))
    assert choice.search == search
    assert choice.why


def test_the_choice_hangs_on_how_many_trials_run():
    history = History(mixed(), LOSS)
    for k in range(101):
        history = history.record(Trial(k, mixed().sample(np.random.default_rng(k))))
    assert choose(history).search == "tpe"


def test_it_says_what_it_chose_and_why_and_proposes_it():
    history = History(mixed(), PAIR, planned=20_000)
    search = AutoSearch()
    assert search.describe(history) == "auto chose tpe: 20,000 trials are more than a Gaussian process repays"
    expected = ask(search_of("tpe"), history)[0]
    found = ask(search, history)[0]
    assert found.config == expected.config
    assert found.reason == f"tpe: {expected.reason}"


def test_without_the_gaussian_process_it_takes_tpe(monkeypatch):
    def missing(name):
        if name == "bayes":
            raise SettingError("none")
        return search_of(name)

    monkeypatch.setattr(auto, "search_of", missing)
    history = History(mixed(), LOSS)
    assert AutoSearch().describe(history).startswith("auto chose tpe")
    assert ask(AutoSearch(), history)


def test_noise_is_the_spread_of_repeats():
    x = np.array([[0.1], [0.1], [0.5], [0.5], [np.nan], [np.nan]])
    assert noise_seen(x, np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])) == 0.0
    assert noise_seen(x, np.array([1.0, 2.0, 1.0, 2.0, 1.0, 2.0])) == pytest.approx(0.5 * 2**0.5 / 0.5)
    assert noise_seen(x[::2], np.array([1.0, 2.0, 3.0])) == 0.0
    assert noise_seen(x, np.full(6, np.nan)) == 0.0
    assert np.isfinite(noise_seen(x, np.array([1.7e308, -1.7e308] * 3)))


def test_it_is_the_default_and_freeze_thaw_rests_on_it_unless_a_schedule_is_named():
    space = Space(x=Float(0, 1))
    adaptive = Study(space, minimize="loss", seed=0).policy.search
    assert isinstance(adaptive, AdaptiveSearch)
    assert isinstance(adaptive.search, AutoSearch)
    assert isinstance(Study(space, minimize="loss", seed=0, schedule="median").policy.search, AutoSearch)
    assert len(play(AutoSearch(), mixed(), bowl, 15)) == 15
