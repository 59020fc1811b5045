import numpy as np
import pytest
from playing import LOSS, PAIR, ask, best, bowl, median_gain, mixed, play, told

from luthier import Choice, Float, Int, Space, State, Trial
from luthier.errors import SettingError
from luthier.history import History
from luthier.search.random import RandomSearch
from luthier.search.tpe import TpeSearch, columns_of, split, thinned

SQUARE = Space(x=Float(0, 1), y=Float(0, 1))


def test_it_beats_random_search_on_a_tree():
    assert median_gain(TpeSearch, RandomSearch, mixed(), bowl, 40) > 0.1


def test_good_trials_are_the_best_share_and_rows_keep_their_order():
    losses = np.array([[5.0], [np.nan], [1.0], [4.0], [0.0], [3.0]])
    good, others = split(losses, 0.4)
    assert good.tolist() == [2, 4]
    assert others.tolist() == [0, 1, 3, 5]


def test_there_are_never_more_than_25_good_trials_of_one_metric():
    rng = np.random.default_rng(0)
    assert len(split(rng.random((5000, 1)), 0.1)[0]) == 25
    assert len(split(rng.random((5000, 2)), 0.1)[0]) == 100


def test_thinning_keeps_the_latest_and_the_first():
    rows = thinned(np.arange(1000), 100)
    assert len(rows) == len(set(rows.tolist())) == 100
    assert rows[0] == 0
    assert rows[-50:].tolist() == list(range(950, 1000))
    assert thinned(np.arange(30), 100).tolist() == list(range(30))


def test_trials_that_run_push_the_next_away():
    history = History(SQUARE, LOSS)
    rng = np.random.default_rng(0)
    for _ in range(30):
        config = SQUARE.sample(rng)
        history = told(history, config, (config["x"] - 0.3) ** 2 + (config["y"] - 0.3) ** 2)
    alone = np.array(
        [
            list(ask(TpeSearch(), history.record(Trial(30 + k, {"x": 0.99, "y": 0.99})))[0].config.values())
            for k in range(1)
        ]
    )
    crowded = history
    for k in range(10):
        crowded = crowded.record(Trial(30 + k, {"x": alone[0, 0], "y": alone[0, 1]}, state=State.RUNNING))
    gaps = []
    for n in range(8):
        config = TpeSearch().propose(crowded, 1, np.random.default_rng(n))[0].config
        near = TpeSearch().propose(history, 1, np.random.default_rng(n))[0].config
        gaps.append([np.hypot(*(np.array(list(c.values())) - alone[0])) for c in (config, near)])
    away, near = np.mean(gaps, axis=0)
    assert away > near


def test_where_half_of_the_space_fails_it_stays_in_the_other_half():
    failed = []
    for seed in range(6):
        history = play(TpeSearch(), SQUARE, lambda c: None if c["x"] > 0.5 else 0.5 - c["x"] + c["y"], 60, seed=seed)
        failed.append(np.isnan(history.losses[30:, 0]).mean())
    assert np.mean(failed) < 0.25


def test_where_all_failed_it_looks_elsewhere():
    history = History(SQUARE, LOSS)
    for k in range(30):
        history = told(history, {"x": 0.2 + 0.001 * k, "y": 0.2}, None)
    found = [TpeSearch().propose(history, 1, np.random.default_rng(s))[0].config for s in range(10)]
    assert np.mean([np.hypot(c["x"] - 0.2, c["y"] - 0.2) for c in found]) > 0.4


def test_a_branch_is_modelled_by_its_own_trials():
    """The best of each branch lies elsewhere; a flat model would look for both in the middle."""
    space = Space(kind=Choice("a", "b"), a=Float(0, 1, when="kind == 'a'"), b=Float(0, 1, when="kind == 'b'"))
    found = [
        best(
            play(
                TpeSearch(),
                space,
                lambda c: abs(c.get("a", 2) - 0.9) if "a" in c else 0.05 + abs(c["b"] - 0.1),
                40,
                seed=s,
            )
        )
        for s in range(8)
    ]
    assert np.median(found) < 0.02


def test_reasons_name_the_trials_they_build_on():
    history = play(TpeSearch(), SQUARE, lambda c: c["x"] + c["y"], 20)
    first, second = ask(TpeSearch(), History(SQUARE, LOSS), 2)
    assert first.reason == "the middle of the space"
    assert first.config == {"x": 0.5, "y": 0.5}
    assert "random draw, 2 of 5" in second.reason
    later = ask(TpeSearch(), history)[0].reason
    assert "good trials" in later
    assert "nearest so far: trial" in later


def test_priors_attract_the_first_trials():
    space = Space(x=Float(0, 1, prior=0.1, sure=0.95), y=Float(0, 1))
    found = play(TpeSearch(), space, lambda c: 1.0, 6).x[:, 0]
    assert np.median(np.abs(found - 0.1)) < 0.2


def test_columns_tell_categories_from_numbers():
    columns = columns_of(Space(a=Choice(1, 2, 3), b=Float(0, 1), c=Int(1, 4)))
    assert columns.categories.tolist() == [3, 0, 0]
    assert columns.cells.tolist() == [0.0, 0.0, 0.25]


def test_several_metrics_spread_over_the_front():
    history = play(
        TpeSearch(), SQUARE, lambda c: {"loss": c["x"] + c["y"], "size": 1 - c["x"] + c["y"]}, 60, metrics=PAIR
    )
    later = history.x[30:]
    assert np.median(later[:, 1]) < 0.2
    assert np.ptp(later[:, 0]) > 0.5


@pytest.mark.parametrize("given", [{"start": 0}, {"share": 1.0}, {"candidates": 0}, {"crowd": 0}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError, match=next(iter(given))):
        TpeSearch(**given)
