"""What holds for every search here: it is pure, repeats nothing, gives reasons, and stands bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import LOSS, PAIR, ask, bowl, mixed, play, told

from luthier import Choice, Float, Int, Space, State, Trial
from luthier.contracts import Search
from luthier.history import History
from luthier.search import search_of
from luthier.search.cmaes import CmaesSearch
from luthier.search.zoom import ZoomSearch
from strategies import points, spaces

NAMES = ("tpe", "genetic", "cmaes", "differential", "reinforce", "zoom", "staged")
every = pytest.mark.parametrize("name", NAMES)


def sized(space: Space, losses: list, seed: int = 0, metrics=LOSS) -> History:
    """A history with these results at random configurations."""
    rng = np.random.default_rng(seed)
    history = History(space, metrics, seed=seed, planned=2 * len(losses))
    for loss in losses:
        history = told(history, space.sample(rng), loss)
    return history


@every
def test_it_is_a_search_and_says_what_it_is(name):
    search = search_of(name)
    assert isinstance(search, Search)
    assert search.describe(History(mixed(), LOSS))


@every
def test_a_fresh_instance_gives_the_same_answer(name):
    search, space = search_of(name), mixed()
    history = History(space, LOSS, seed=3, planned=60)
    for k in range(45):
        proposal = ask(search, history)[0]
        if k % 5 == 4:
            assert ask(search_of(name), history) == [proposal]
        running = Trial(history.began, proposal.config, state=State.RUNNING)
        if k % 3 == 2:  # some stay running for a while
            history = history.record(running)
            continue
        result = None if k % 11 == 7 else bowl(proposal.config)
        history = told(history, proposal.config, result)
        if len(history.live) > 2:
            first = history.live[0]
            history = history.record(replace(first, state=State.DONE, metrics={"loss": bowl(first.config)}))


@every
def test_an_older_history_gives_the_older_answer(name):
    search = search_of(name)
    histories = [sized(mixed(), [0.5] * 12), sized(mixed(), [1.0 / k for k in range(1, 30)])]
    answers = [ask(search, history) for history in histories]
    assert [ask(search, history) for history in histories] == answers
    grown = histories[0]
    before = ask(search_of(name), grown)
    later = told(grown, before[0].config, 0.1)
    ask(search, later)
    assert ask(search, grown) == before


@every
def test_proposals_at_once_differ(name):
    history = sized(mixed(), [float(k % 7) for k in range(30)])
    configs = [p.config for p in ask(search_of(name), history, 8)]
    assert len(configs) == 8
    assert all(configs[i] != configs[j] for i in range(8) for j in range(i))


@every
def test_nothing_is_tried_twice_and_a_finite_space_ends(name):
    space = Space(a=Choice("x", "y", "z"), b=Int(1, 4), c=Choice(True, False, when="b > 2"))
    history = play(search_of(name), space, lambda c: c["b"] + len(c["a"]), 30)
    assert len(history) == space.size().total == 18
    assert len({tuple(sorted(t.config.items(), key=str)) for t in history.trials}) == 18


@every
@pytest.mark.parametrize(
    "losses",
    [[1.0] * 30, [None] * 30, [1e300, -1e300, 1.7e308] * 10, [0.0, None] * 15, [1.0], [None], [1e-320] * 15],
    ids=["constant", "failed", "huge", "zero", "one", "one-failure", "tiny"],
)
def test_odd_results_give_sensible_proposals(name, losses):
    assert len(ask(search_of(name), sized(mixed(), losses), 3)) == 3


@every
def test_a_space_with_one_point_is_tried_once(name):
    space = Space(a=Choice("only"), b=7)
    history = History(space, LOSS, planned=10)
    assert [p.config for p in ask(search_of(name), history)] == [{"a": "only", "b": 7}]
    assert ask(search_of(name), told(history, {"a": "only", "b": 7}, 1.0)) == []


@every
def test_a_single_category_beside_a_number_is_no_matter(name):
    space = Space(a=Choice("only"), x=Float(0, 1))
    assert ask(search_of(name), sized(space, [float(k) for k in range(30)]))


@every
def test_two_hundred_dimensions_are_no_matter(name):
    space = Space({f"x{i}": Float(0, 1) if i % 3 else Choice("a", "b", "c") for i in range(200)})
    assert ask(search_of(name), sized(space, [float(k) for k in range(30)]))


@every
def test_copies_told_by_hand_are_no_matter(name):
    history = History(mixed(), LOSS, planned=60)
    config = mixed().sample(np.random.default_rng(0))
    for k in range(30):
        history = told(history, config, float(k))
    assert ask(search_of(name), history)[0].config != config


@pytest.mark.parametrize("name", ["tpe", "genetic", "differential", "zoom", "staged"])
def test_trials_that_a_schedule_has_paused_are_learned_from(name):
    space, rng = Space(x=Float(0, 1), y=Float(0, 1)), np.random.default_rng(0)
    history = History(space, LOSS, planned=100)
    for k in range(40):
        config = space.sample(rng)
        history = history.record(Trial(k, config, state=State.PAUSED, metrics={"loss": config["x"]}))
    found = [search_of(name).propose(history, 1, np.random.default_rng(s))[0].config["x"] for s in range(20)]
    assert np.median(found) < 0.3


@every
def test_several_metrics_are_no_matter(name):
    history = play(search_of(name), mixed(), lambda c: {"loss": bowl(c), "size": c["width"]}, 40, metrics=PAIR)
    assert len(history) == 40


@every
def test_the_first_trial_is_what_the_user_believes(name):
    assert ask(search_of(name), History(mixed(), LOSS))[0].config["lr"] == pytest.approx(1e-2)


@every
@given(space=spaces(), seed=st.integers(0, 999), n=st.integers(0, 30))
@settings(max_examples=15)
def test_any_space_gets_proposals_that_it_holds(name, space, seed, n):
    rng = np.random.default_rng(seed)
    x = points(space, n, seed)
    history = History(space, LOSS, seed=seed, planned=40)
    for row in x[space.allowed(x)]:
        loss = None if rng.random() < 0.2 else float(rng.choice([0.0, 1.0, rng.normal() * 1e9]))
        history = told(history, space.decode(row), loss)
    ask(search_of(name), history, 2)


@pytest.mark.parametrize("make", [CmaesSearch, ZoomSearch])
def test_a_long_run_on_a_plateau_goes_on(make):
    space = Space(x=Choice(*"abcdefgh"), y=Choice(*"abcdefgh"), z=Int(1, 8))
    history = play(make(), space, lambda c: 1.0, 150)
    assert len(history) == 150
